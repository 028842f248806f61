"""Pareto geometry, held against Optuna's own."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from optuna._hypervolume import compute_hypervolume

from attn_nas.front import dominates, front_indices, hypervolume, knee_index

points = st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), max_size=12).map(
    lambda raw: [(a / 8, float(c)) for a, c in raw]
)


@given(points)
def test_the_front_is_what_nothing_dominates(cloud):
    """Every point off the front equals or is dominated by one on it, and no point on it is dominated."""
    front = [cloud[index] for index in front_indices(cloud)]
    assert not any(dominates(other, point) for point in front for other in cloud)
    assert all(point in front or any(dominates(other, point) for other in front) for point in cloud)
    assert len(set(front)) == len(front)
    assert front == sorted(front, key=lambda point: point[1])


@given(points)
def test_hypervolume_equals_optunas(cloud):
    """The area is the one that Optuna computes for the same points and reference point."""
    inside = [(-accuracy, cost) for accuracy, cost in cloud if accuracy > 0.25 and cost < 6]
    expected = compute_hypervolume(np.array(inside), np.array([-0.25, 6.0])) if inside else 0.0
    assert np.isclose(hypervolume(cloud, (0.25, 6.0)), expected)


def test_the_knee_is_the_bend():
    """Of a bent front the knee is its bend; of two points the more accurate; of none, none."""
    assert knee_index([(0.1, 0.0), (0.8, 1.0), (0.9, 10.0), (0.2, 5.0)]) == 1
    assert knee_index([(0.1, 0.0), (0.8, 1.0)]) == 1
    assert knee_index([(0.5, 3.0)]) == 0
    assert knee_index([]) is None


def test_equal_points_are_represented_once():
    """Of equal points the first stands on the front."""
    assert front_indices([(0.5, 1.0), (0.5, 1.0), (0.5, 2.0)]) == [0]
