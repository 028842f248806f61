"""Pareto fronts and hypervolumes for one quantity to maximise (accuracy) and costs to minimise."""

from collections.abc import Sequence
from itertools import pairwise

Point = tuple[float, ...]
"""``(accuracy, cost, ...)``: accuracy is maximised, costs are minimised."""


def _as_good(a: Point, b: Point) -> bool:
    return a[0] >= b[0] and all(one <= other for one, other in zip(a[1:], b[1:], strict=True))


def front_indices(points: Sequence[Point]) -> list[int]:
    """Indices of the non-dominated points in order of rising cost; of equal points only the first is listed."""
    order = sorted(range(len(points)), key=lambda i: (*points[i][1:], -points[i][0], i))
    front: list[int] = []
    for i in order:
        if not any(_as_good(points[other], points[i]) for other in reversed(front)):
            front.append(i)
    return front


def hypervolume(points: Sequence[Point], reference: Point) -> float:
    """Volume that ``points`` dominate within ``reference`` (lowest accuracy, highest costs); unit: accuracy x costs."""
    floor, *limits = reference
    if len(limits) == 1:
        return _area(points, floor, limits[0])
    edges = sorted({point[-1] for point in points if point[-1] < limits[-1]})
    volume = 0.0
    for edge, following in pairwise([*edges, limits[-1]]):
        reached = [point[:-1] for point in points if point[-1] <= edge]
        volume += (following - edge) * hypervolume(reached, reference[:-1])
    return volume


def _area(points: Sequence[Point], floor: float, limit: float) -> float:
    area = 0.0
    for accuracy, cost in sorted(points, key=lambda point: (point[1], -point[0])):
        if accuracy > floor and cost < limit:
            area += (accuracy - floor) * (limit - cost)
            floor = accuracy
    return area


def knee_index(points: Sequence[Point]) -> int | None:
    """Index of the knee: the point of the front with the largest accuracy minus mean cost, each scaled to the front's range.

    For one cost this is the point farthest above the line between the cheapest and the most accurate point. The knee of a
    front of one or two points is its most accurate point; without points the result is None.
    """
    front = front_indices(points)
    if len(front) < 3:
        return max(front, key=lambda i: points[i][0], default=None)
    axes = list(zip(*(points[i] for i in front), strict=True))

    def share(axis: int, i: int) -> float:
        low, high = min(axes[axis]), max(axes[axis])
        return (points[i][axis] - low) / (high - low) if high > low else 0.0

    costs = range(1, len(axes))
    return max(front, key=lambda i: share(0, i) - sum(share(axis, i) for axis in costs) / len(costs))
