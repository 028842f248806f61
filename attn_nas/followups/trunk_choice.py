"""Which widths and depths of a trunk are set beside its attention."""

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

LEAST, MOST = 0.7, 1.5
"""FLOPs of the smallest and the largest that is chosen, over the bare trunk's; the front's dearest may go beyond."""
_SMALLER, _LARGER = 2, 4
_DEEPER = 2
"""Of the larger, how many are deeper at most."""


def chosen_trunks(trunk: Trunk, task: Task, proxy: ProxySettings, dearest: float) -> dict[Trunk, Cost]:
    """Up to six others of the family, two smaller and four larger, by rising FLOPs, with their costs.

    Each differs from ``trunk`` in width or in depth alone. The next width and the next depth are among them, the rest is
    spread up to half as many FLOPs again, or up to ``dearest``, the most FLOPs of the front. What cannot be built, or cannot
    take the images, is left out.

    Raises:
        UsageError: there is none.

    """
    costs = {trunk: trunk_cost(trunk, task, proxy)}
    bare = costs[trunk].flops
    most = max(MOST, dearest / bare)
    for each in _spread(trunk, most):
        try:
            cost = trunk_cost(each, task, proxy)
        except SpaceError:
            continue
        if LEAST * bare <= cost.flops <= most * bare and cost not in costs.values():
            costs[each] = cost
    del costs[trunk]
    if not costs:
        raise UsageError(
            f"no other width or depth of {trunk} that takes these images has {LEAST:g} to {most:.3g} times its FLOPs: "
            f"choose with --width (--depth: {trunk.family.depths})"
        )
    return _by_flops(costs)


def asked_trunks(
    trunk: Trunk, task: Task, proxy: ProxySettings, widths: Sequence[int], depths: Sequence[int]
) -> dict[Trunk, Cost]:
    """Every one of ``widths`` at every one of ``depths``, by rising FLOPs, with their costs; none given: that of ``trunk``.

    Raises:
        SpaceError: one that cannot be built, or cannot take the images.
        UsageError: nothing but ``trunk`` itself.

    """
    asked = {replace(trunk, depth=depth, width=width) for depth in depths or [trunk.depth] for width in widths or [trunk.width]}
    if asked == {trunk}:
        raise UsageError(f"{trunk} is the run's own trunk, which is in the curve anyway: choose another width or depth")
    return _by_flops({each: trunk_cost(each, task, proxy) for each in asked - {trunk}})


def trunk_cost(trunk: Trunk, task: Task, proxy: ProxySettings) -> Cost:
    """The full count of a bare trunk; raises SpaceError if it cannot be built, or cannot take the proxy's smallest images."""
    height, width = training_size((task.height, task.width), proxy.initial_resolution, 0, proxy.epochs)
    try:
        if (height, width) != (task.height, task.width):
            CostTable(trunk, replace(task, height=height, width=width))
        return CostTable(trunk, task).bare
    except SpaceError:
        raise
    except ValueError as error:
        raise SpaceError(f"{trunk} cannot be built: {first_line(error)}") from None


def _spread(trunk: Trunk, most: float) -> Iterator[Trunk]:
    """What is worth counting: FLOPs grow about with the depth and the square of the width."""
    widths = [(replace(trunk, width=width), (width / trunk.width) ** 2) for width in _around(trunk.width, most**0.5)]
    legal = (depth for depth in _around(trunk.depth, most) if trunk.family.is_depth(depth))
    depths = [(replace(trunk, depth=depth), depth / trunk.depth) for depth in legal]
    smaller = sorted(((each, share) for each, share in (*widths, *depths) if LEAST < share < 1), key=lambda pair: pair[1])
    yield from _evenly([each for each, _ in smaller], _SMALLER, to_last=False)
    deeper = list(_evenly([each for each, share in depths if share > 1], _DEEPER))
    yield from deeper
    yield from _evenly([each for each, share in widths if share > 1], _LARGER - len(deeper))


def _around(value: int, most: float) -> range:
    """Whole numbers from ``LEAST`` to ``most`` times ``value``."""
    return range(max(1, ceil(LEAST * value)), int(most * value) + 1)


def _evenly(trunks: Sequence[Trunk], number: int, *, to_last: bool = True) -> Iterable[Trunk]:
    """``number`` of them at even distances from the first, the last among them if so."""
    if len(trunks) <= number:
        return trunks
    step = (len(trunks) - to_last) / (number - to_last)
    return [trunks[round(index * step)] for index in range(number)]


def _by_flops(costs: dict[Trunk, Cost]) -> dict[Trunk, Cost]:
    return dict(sorted(costs.items(), key=lambda item: item[1].flops))
