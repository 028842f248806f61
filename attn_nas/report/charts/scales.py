"""Axes of scores and of costs, with ticks at round numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil, copysign, floor, log10

from attn_nas.space.metric import ACCURACY, Metric
from attn_nas.space.schema import TIMED

_LINEAR_BELOW = 1e3
_MIN_ACCURACY_RANGE = 0.01
_MIN_RELATIVE_RANGE = 1e-3
_NUM_STEPS = 5
UNITS = {
    "flops": "FLOPs (multiply-adds)",
    "macs": "MACs",
    "params": "parameters",
    "step_time": "time of a training step",
    "latency": "time of inference of one image",
}


def round_step(extent: float) -> float:
    """Return the round number that divides ``extent`` into at most five steps."""
    raw = extent / _NUM_STEPS
    power = 10.0 ** floor(log10(raw))
    return float(next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw))


def short(value: float, *, signed: bool = True) -> str:
    """Write a number with three digits and a unit, as ``+32.3k``."""
    size = abs(value)
    text = next(
        (f"{size / unit:.3g}{name}" for unit, name in ((1e9, "G"), (1e6, "M"), (1e3, "k")) if size >= unit), f"{size:.3g}"
    )
    sign = "-" if value < 0 else "+" if value > 0 and signed else ""
    return f"{sign}{text}"


@dataclass(frozen=True)
class Axis:
    """Maps values to positions from 0 to 1.

    ``low`` and ``high`` are the values at the ends, after ``warp``, which makes a scale logarithmic. ``ticks`` are values with
    their texts.
    """

    low: float
    high: float
    ticks: Sequence[tuple[float, str]]
    label: str
    warp: Callable[[float], float] = float

    def share(self, value: float) -> float:
        """Return the position of ``value``: 0 at the lower end, 1 at the upper end."""
        return (self.warp(value) - self.low) / (self.high - self.low)


def score_axis(scores: Sequence[float], metric: Metric = ACCURACY) -> Axis:
    """Make an axis of scores, from a tick to a tick, labelled with the values of the ``metric``; better is farther up."""
    low, high = min(scores, default=0.0), max(scores, default=1.0)
    least = _MIN_ACCURACY_RANGE if metric.bounded else _MIN_RELATIVE_RANGE * max(abs(low), abs(high)) or 1.0
    if high - low < least:
        low, high = low - least, high + least
    step = round_step(high - low)
    first, last = floor(low / step), ceil(high / step)
    unit = 100 if metric.bounded else 1
    ticks = [(step * number, f"{unit * metric.value(step * number):.4g}") for number in range(first, last + 1)]
    return Axis(first * step, last * step, ticks, axis_label(metric))


def axis_label(metric: Metric) -> str:
    """The label of an axis of ``metric``."""
    return f"validation {metric.label}" if metric == ACCURACY else metric.label


def cost_axis(costs: Sequence[float], bare: float, axis: str) -> Axis:
    """Make an axis of extra ``costs`` over the ``bare`` trunk's, linear up to a thousand and logarithmic beyond.

    Times are ratios to the bare trunk's, on a linear scale.
    """
    if axis in TIMED:
        return _linear(costs, f"{UNITS[axis]}, relative to the bare trunk")
    added = [cost - bare for cost in (*costs, bare)]
    low, high = floor(2 * _warp(min(added)) - 0.5) / 2, ceil(2 * _warp(max(added)) + 0.5) / 2
    label = f"extra {UNITS[axis]} over the bare trunk ({bare:,.0f}); log scale, linear within 1k"
    ticks = [(bare + tick, short(tick)) for tick in _cost_ticks(min(added), max(added))]
    return Axis(low, high, ticks, label, lambda value: _warp(value - bare))


def _linear(values: Sequence[float], label: str) -> Axis:
    low, high = min(values, default=0.0), max(values, default=1.0)
    step = round_step(high - low or abs(high) or 1.0)
    first, last = floor(low / step), ceil(high / step)
    if first == last:
        first, last = first - 1, last + 1
    return Axis(first * step, last * step, [(step * n, f"{step * n:.4g}") for n in range(first, last + 1)], label)


def _warp(value: float) -> float:
    size = abs(value) / _LINEAR_BELOW
    return copysign(size if size < 1 else 1 + log10(size), value)


def _cost_ticks(low: float, high: float) -> list[float]:
    ticks = [0.0]
    for sign, limit in ((1, high), (-1, -low)):
        power = 3
        while 10**power <= limit:
            ticks.append(sign * 10.0**power)
            power += 1
    return sorted(ticks)
