"""Pareto geometry for one quantity to maximise (accuracy) and one to minimise (a cost); plain numbers, no torch."""

from collections.abc import Sequence

Point = tuple[float, float]
"""``(accuracy, cost)``: the first is maximised, the second minimised."""


def dominates(a: Point, b: Point) -> bool:
    """Whether ``a`` is at least as good as ``b`` in both and better in one."""
    return a[0] >= b[0] and a[1] <= b[1] and a != b


def front_indices(points: Sequence[Point]) -> list[int]:
    """Indices of the non-dominated points, by rising cost; of equal points the first stands for all."""
    order = sorted(range(len(points)), key=lambda i: (points[i][1], -points[i][0], i))
    front: list[int] = []
    best = float("-inf")
    for i in order:
        if points[i][0] > best:
            front.append(i)
            best = points[i][0]
    return front


def hypervolume(points: Sequence[Point], reference: Point) -> float:
    """Area dominated by ``points`` and bounded by ``reference`` (worst accuracy, worst cost), in accuracy x cost."""
    area = 0.0
    floor, limit = reference
    for i in front_indices(points):
        accuracy, cost = points[i]
        if accuracy > floor and cost < limit:
            area += (accuracy - floor) * (limit - cost)
            floor = accuracy
    return area


def knee_index(points: Sequence[Point]) -> int | None:
    """Index of the point farthest above the chord between the cheapest and the most accurate end of the front.

    Both axes are scaled to the front's extent. A front of one or two points has its most accurate point as knee; no
    points, no knee.
    """
    front = front_indices(points)
    if len(front) < 3:
        return front[-1] if front else None
    low, high = points[front[0]], points[front[-1]]

    def height(i: int) -> float:
        return (points[i][0] - low[0]) / (high[0] - low[0]) - (points[i][1] - low[1]) / (high[1] - low[1])

    return max(front, key=height)
