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
