"""Costs of mechanisms at one size: counted, and on request timed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attn_nas.attention.mechanism import Mechanism
from attn_nas.cost.count import count_module
from attn_nas.errors import first_line
from attn_nas.training.device import Numerics, choose_numerics, resolve_device
from attn_nas.training.timing import attended_block, time_modules

BATCH = 16
"""Images per batch in timings."""
_MAX_SIDE = 64
_BARE = "bare"


def catalogue_costs(mechanisms: Sequence[Mechanism], channels: int, size: int, timed: bool) -> dict[str, dict[str, Any]]:
    """Return by name the parameters, MACs and FLOPs on an input ``(channels, size, size)``, and if ``timed`` the slowdown.

    A mechanism that cannot be counted has the single entry ``why_not`` with the reason.
    """
    found: dict[str, dict[str, Any]] = {}
    possible = {}
    for mechanism in mechanisms:
        if mechanism.cost_class == "D" and size > _MAX_SIDE:
            found[mechanism.name] = {
                "why_not": f"its memory grows with the square of the pixels: not counted beyond {_MAX_SIDE} a side"
            }
            continue
        try:
            cost = count_module(mechanism.build_typical(channels), (channels, size, size))
        except Exception as error:  # noqa: BLE001  a foreign module may raise anything
            found[mechanism.name] = {"why_not": first_line(error)}
            continue
        found[mechanism.name] = {"params": cost.params, "macs": cost.macs, "flops": cost.flops}
        possible[mechanism.name] = mechanism
    if timed:
        slowdowns = slowdown(possible, channels, size, choose_numerics(resolve_device("auto"), "auto"))
        for name, ratios in slowdowns.items():
            found[name]["slowdown"] = ratios
    return found


def slowdown(
    mechanisms: dict[str, Mechanism], channels: int, size: int, numerics: Numerics, rounds: int = 7
) -> dict[str, dict[str, float]]:
    """Return by name the ``step`` and ``inference`` time of a basic block with the mechanism, as ratios to the bare block."""
    blocks = {name: attended_block(mechanism, channels) for name, mechanism in mechanisms.items()}
    times = time_modules({_BARE: attended_block(None, channels), **blocks}, (channels, size, size), BATCH, numerics, rounds)
    bare = times.pop(_BARE)
    return {
        name: {"step": round(time.step / bare.step, 3), "inference": round(time.inference / bare.inference, 3)}
        for name, time in times.items()
    }
