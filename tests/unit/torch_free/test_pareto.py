"""Pareto geometry, held against Optuna's own."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from optuna._hypervolume import compute_hypervolume

from attn_nas.stats.pareto import front_indices, hypervolume

points = st.integers(1, 3).flatmap(
    lambda costs: st.lists(st.tuples(*[st.integers(0, 8)] * (1 + costs)), max_size=12).map(
        lambda raw: [(a / 8, *map(float, c)) for a, *c in raw]
    )
)


def dominates(a, b):
    """At least as good in everything, and better in something."""
    return a[0] >= b[0] and all(one <= other for one, other in zip(a[1:], b[1:], strict=True)) and a != b


@given(points)
def test_the_front_is_what_nothing_dominates(cloud):
    """Every point off the front equals or is dominated by one on it, and no point on it is dominated."""
    front = [cloud[index] for index in front_indices(cloud)]
    assert not any(dominates(other, point) for point in front for other in cloud)
    assert all(point in front or any(dominates(other, point) for other in front) for point in cloud)
    assert len(set(front)) == len(front)
    assert front == sorted(front, key=lambda point: point[1:])


@given(points)
def test_hypervolume_equals_optunas(cloud):
    """The volume is the one that Optuna computes for the same points and reference point."""
    limits = [6.0] * (len(cloud[0]) - 1 if cloud else 1)
    inside = [(-accuracy, *costs) for accuracy, *costs in cloud if accuracy > 0.25 and max(costs) < 6]
    expected = compute_hypervolume(np.array(inside), np.array([-0.25, *limits])) if inside else 0.0
    assert np.isclose(hypervolume(cloud, (0.25, *limits)), expected)


def test_equal_points_are_represented_once():
    """Of equal points the first stands on the front."""
    assert front_indices([(0.5, 1.0), (0.5, 1.0), (0.5, 2.0)]) == [0]
