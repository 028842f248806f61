"""Choose widths and depths of a trunk without attention to compare candidates with."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from math import ceil

from attn_nas.cost import Cost, CostTable
from attn_nas.errors import SpaceError, UsageError, first_line
from attn_nas.space.schema import ProxySettings
from attn_nas.space.task import Task
from attn_nas.space.trunks import Trunk
from attn_nas.training.images import training_size

MIN_RATIO, MAX_RATIO = 0.7, 1.5
"""Range of the FLOPs of default trunks, relative to the run's trunk; extended to the most expensive member of the front."""
_NUM_SMALLER, _NUM_LARGER = 2, 4
_MAX_DEEPER = 2
"""Maximum number of deeper trunks among the larger trunks."""


def default_trunks(trunk: Trunk, task: Task, proxy: ProxySettings, max_front_flops: float) -> dict[Trunk, Cost]:
    """Choose up to two smaller and four larger trunks of the same family; returns their costs, by rising FLOPs.

    Each differs from ``trunk`` in width alone or in depth alone. The next larger width and the next larger depth are chosen
    first; the others are spread evenly up to 1.5 times the FLOPs of ``trunk``, or up to ``max_front_flops``, the FLOPs of the
    most expensive member of the Pareto front. Trunks that cannot be built, or cannot process the images, are left out.

    Raises:
        UsageError: no trunk qualifies.

    """
    costs = {trunk: trunk_cost(trunk, task, proxy)}
    bare = costs[trunk].flops
    max_ratio = max(MAX_RATIO, max_front_flops / bare)
    for each in _spread(trunk, max_ratio):
        try:
            cost = trunk_cost(each, task, proxy)
        except SpaceError:
            continue
        if MIN_RATIO * bare <= cost.flops <= max_ratio * bare and cost not in costs.values():
            costs[each] = cost
    del costs[trunk]
    if not costs:
        raise UsageError(
            f"no other width or depth of {trunk} that takes these images has {MIN_RATIO:g} to {max_ratio:.3g} times its FLOPs: "
            f"choose with --width (--depth: {trunk.family.depths})"
        )
    return _by_flops(costs)


def requested_trunks(
    trunk: Trunk, task: Task, proxy: ProxySettings, widths: Sequence[int], depths: Sequence[int]
) -> dict[Trunk, Cost]:
    """Combine every width with every depth; returns their costs, by rising FLOPs.

    Without ``widths``, or without ``depths``, the value of ``trunk`` is used.

    Raises:
        SpaceError: a trunk cannot be built, or cannot process the images.
        UsageError: the only combination is ``trunk`` itself.

    """
    asked = {replace(trunk, depth=depth, width=width) for depth in depths or [trunk.depth] for width in widths or [trunk.width]}
    if asked == {trunk}:
        raise UsageError(f"{trunk} is the run's own trunk, which is in the curve anyway: choose another width or depth")
    return _by_flops({each: trunk_cost(each, task, proxy) for each in asked - {trunk}})


def trunk_cost(trunk: Trunk, task: Task, proxy: ProxySettings) -> Cost:
    """Count the cost of a trunk without attention.

    Raises:
        SpaceError: the trunk cannot be built, or cannot process the smallest images of the proxy.

    """
    height, width = training_size((task.height, task.width), proxy.initial_resolution, 0, proxy.epochs)
    try:
        if (height, width) != (task.height, task.width):
            CostTable(trunk, replace(task, height=height, width=width))
        return CostTable(trunk, task).bare
    except SpaceError:
        raise
    except ValueError as error:
        raise SpaceError(f"{trunk} cannot be built: {first_line(error)}") from None


def _spread(trunk: Trunk, max_ratio: float) -> Iterator[Trunk]:
    """Yield trunks whose FLOPs are worth counting, assuming that FLOPs grow with the depth and the square of the width."""
    widths = [(replace(trunk, width=width), (width / trunk.width) ** 2) for width in _around(trunk.width, max_ratio**0.5)]
    legal = (depth for depth in _around(trunk.depth, max_ratio) if trunk.family.is_depth(depth))
    depths = [(replace(trunk, depth=depth), depth / trunk.depth) for depth in legal]
    smaller = sorted(((each, share) for each, share in (*widths, *depths) if MIN_RATIO < share < 1), key=lambda pair: pair[1])
    yield from _evenly([each for each, _ in smaller], _NUM_SMALLER, to_last=False)
    deeper = list(_evenly([each for each, share in depths if share > 1], _MAX_DEEPER))
    yield from deeper
    yield from _evenly([each for each, share in widths if share > 1], _NUM_LARGER - len(deeper))


def _around(value: int, max_ratio: float) -> range:
    """Integers from ``MIN_RATIO`` to ``max_ratio`` times ``value``."""
    return range(max(1, ceil(MIN_RATIO * value)), int(max_ratio * value) + 1)


def _evenly(trunks: Sequence[Trunk], number: int, *, to_last: bool = True) -> Iterable[Trunk]:
    """Pick ``number`` trunks at even distances, from the first; ``to_last`` includes the last."""
    if len(trunks) <= number:
        return trunks
    step = (len(trunks) - to_last) / (number - to_last)
    return [trunks[round(index * step)] for index in range(number)]


def _by_flops(costs: dict[Trunk, Cost]) -> dict[Trunk, Cost]:
    return dict(sorted(costs.items(), key=lambda item: item[1].flops))
