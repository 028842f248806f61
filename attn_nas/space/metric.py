"""The metric of a search: its name, its direction, and how its values are shown.

A search always maximises a *score*. `Metric.score` makes it of a value of the metric, and all methods that show something take
a score and write the value. So a metric that is minimised, such as a loss, is turned around here and nowhere else.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from math import isnan
from typing import Any, Literal, get_args

from attn_nas.errors import SpaceError, UsageError, choose_from
from attn_nas.stats.uncertainty import Mean

Direction = Literal["maximize", "minimize"]
_NAME = re.compile(r"[^\W_][\w .@/+()-]{0,59}")
_PREFIX = re.compile(r"^(eval|val|valid|validation|test)[_/]")
_LOSS = re.compile(r"loss|error|mse|mae|perplexity")
_TAKEN = frozenset((
    "key", "costs", "by_seed", "belief", "measured", "flops", "macs", "params", "fvcore_default", "added_flops",
    "summary", "reference", "trial", "profile", "step_time", "latency", "seed", "seconds", "epoch", "epochs", "number",
    "state", "reason", "added", "step", "on front", "FLOPs",
))  # fmt: skip
"""Names of other entries of documents and tables."""


@dataclass(frozen=True)
class Metric:
    """A metric by which candidates are judged.

    Args:
        name: how it is called wherever it is shown, such as ``"dice"``.
        direction: ``"maximize"`` or ``"minimize"``, as Optuna calls them.
        bounded: whether its values lie between 0 and 1. These are shown as percentages, and differences as points.
        unit: unit of an unbounded metric, such as ``"nats"`` or ``"dB"``; empty for none.

    Raises:
        UsageError: a name that cannot be shown or that means something else, another direction, or a unit of percentages.

    """

    name: str
    direction: Direction = "maximize"
    bounded: bool = False
    unit: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not _NAME.fullmatch(self.name):
            raise UsageError(
                f"metric = {self.name!r}: choose a name of 1 to 60 letters, digits, spaces or _ . @ / + ( ) -, that begins "
                "with a letter or a digit"
            )
        if self.name in _TAKEN:
            raise UsageError(f"metric = {self.name!r}: this is the name of something else in tables; choose another name")
        if self.direction not in get_args(Direction):
            raise UsageError(f"direction = {self.direction!r}: {choose_from(self.direction, get_args(Direction))}")
        if not isinstance(self.bounded, bool):
            raise UsageError(f"bounded = {self.bounded!r}: choose True or False")
        if not isinstance(self.unit, str) or len(self.unit) > 20 or not self.unit.isprintable():
            raise UsageError(f"unit = {self.unit!r}: give a short text")
        if self.bounded and self.unit:
            raise UsageError(f"unit = {self.unit!r}: a metric between 0 and 1 is shown in %; leave the unit out")

    @classmethod
    def of(cls, given: str | Metric | Mapping[str, Any]) -> Metric:
        """The metric that a user gives: by name, as a `Metric`, or as a mapping with its fields.

        A known name (`KNOWN`, also as ``val_loss`` or ``eval_loss``) comes with its direction, bounds and unit, which a mapping
        may override. Another name is taken for an unbounded metric that is maximised.

        Raises:
            UsageError: an unknown field, a value that cannot be used, or an unknown loss or error without a direction.

        """
        if isinstance(given, Metric):
            return given
        values: Any = {"name": given} if isinstance(given, str) else given
        if not isinstance(values, Mapping) or "name" not in values:
            raise UsageError(f"metric = {given!r}: give a name, a Metric, or a mapping with name and direction")
        names = [field.name for field in fields(cls)]
        if unknown := [key for key in values if key not in names]:
            raise UsageError(f"metric has no {unknown[0]!r}: {choose_from(unknown[0], names)}")
        changes: dict[str, Any] = {key: value for key, value in values.items() if value is not None}
        name = values["name"]
        if isinstance(name, str):
            known = KNOWN.get(name) or KNOWN.get(_PREFIX.sub("", name.lower().replace(" ", "_")))
            if known:
                return replace(known, **changes)
            if "direction" not in changes and _LOSS.search(name.lower()):
                raise UsageError(
                    f"metric = {name!r}: say whether it is to be minimised: give a mapping with name and direction"
                )
        return cls(**changes)

    @classmethod
    def of_event(cls, stored: Mapping[str, Any] | None) -> Metric:
        """The metric of an event `SearchStarted`: None there means accuracy."""
        return ACCURACY if stored is None else cls.of(stored)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as `of` reads it."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @property
    def is_minimized(self) -> bool:
        """Whether small values are good."""
        return self.direction == "minimize"

    def score(self, value: float) -> float:
        """The score, which is maximised, of a ``value``. Scores of bounded metrics lie between 0 and 1 as well.

        Raises:
            SpaceError: the value is outside the bounds.

        """
        if self.bounded and not 0 <= value <= 1:
            raise SpaceError(
                f"{self.name} = {value:g} is not between 0 and 1: return a share of 1, or declare the metric as "
                f'Metric("{self.name}", bounded=False)'
            )
        return self.value(value)

    def value(self, score: float) -> float:
        """The value of the metric that belongs to a ``score``."""
        if not self.is_minimized:
            return score
        return 1 - score if self.bounded else 0.0 - score

    def change(self, difference: float) -> float:
        """The difference in the metric that belongs to a ``difference`` in scores."""
        return 0.0 - difference if self.is_minimized else difference

    @property
    def score_name(self) -> str:
        """The score as an expression: the name, ``-loss`` or ``1 - error``."""
        if not self.is_minimized:
            return self.name
        return f"1 - {self.name}" if self.bounded else f"-{self.name}"

    @property
    def shown_unit(self) -> str:
        """``%`` for a bounded metric, else its unit."""
        return "%" if self.bounded else self.unit

    @property
    def change_unit(self) -> str:
        """The unit of differences: ``points`` for a bounded metric."""
        return "points" if self.bounded else self.unit

    @property
    def of_change(self) -> str:
        """Name of the quantity of differences: ``points of accuracy``, ``change of loss, nats``."""
        if self.bounded:
            return f"points of {self.name}"
        return f"change of {self.name}" + f", {self.unit}" * bool(self.unit)

    @property
    def better(self) -> str:
        """``more accurate``, or ``better`` for another metric than accuracy."""
        return "more accurate" if self.name == ACCURACY.name else "better"

    @property
    def as_good(self) -> str:
        """``as accurate``, or ``as good`` for another metric than accuracy."""
        return "as accurate" if self.name == ACCURACY.name else "as good"

    @property
    def best(self) -> str:
        """``largest``, or ``smallest`` for a metric that is minimised."""
        return "smallest" if self.is_minimized else "largest"

    @property
    def heading(self) -> str:
        """Name and unit for the head of a column: ``accuracy %``, ``loss nats``, ``psnr``."""
        return f"{self.name} {self.shown_unit}".rstrip()

    @property
    def label(self) -> str:
        """Name and unit for an axis: ``accuracy, %``."""
        return f"{self.name}, {self.shown_unit}" if self.shown_unit else self.name

    def number(self, score: float, digits: int = 2) -> str:
        """The value without its unit: ``71.23``, or with four significant digits where it is not bounded; ``-`` for NaN."""
        if isnan(score):
            return "-"
        return f"{100 * self.value(score):.{digits}f}" if self.bounded else f"{self.value(score):.4g}"

    def text(self, score: float) -> str:
        """The value with its unit: ``71.23 %``."""
        return self._with_unit(self.number(score), self.shown_unit)

    def mean(self, score: Mean, digits: int = 2) -> str:
        """A mean and its error without the unit: ``97.12 ± 0.30``; ``-`` for NaN."""
        if self.bounded:
            return Mean(self.value(score.value), score.standard_error).hundredths(digits)
        return _with_error(self.value(score.value), score.standard_error, "")

    def mean_text(self, score: Mean) -> str:
        """A mean and its error with the unit: ``97.12 ± 0.30 %``."""
        return self._with_unit(self.mean(score), self.shown_unit)

    def lead(self, difference: Mean, digits: int = 2) -> str:
        """A difference and its error without the unit, in the direction of the metric: ``+0.12 ± 0.30``; ``-`` for NaN."""
        change = Mean(self.change(difference.value), difference.standard_error)
        return change.hundredths(digits, signed=True) if self.bounded else _with_error(*_pair(change), "+")

    def lead_text(self, difference: Mean) -> str:
        """A difference and its error with the unit: ``+0.12 ± 0.30 points``."""
        return self._with_unit(self.lead(difference), self.change_unit)

    def spread(self, deviation: float) -> str:
        """A standard deviation, or another difference without a sign, without the unit: ``0.30``."""
        return f"{100 * deviation:.2f}" if self.bounded else f"{deviation:.3g}"

    def spread_text(self, deviation: float) -> str:
        """A standard deviation with its unit: ``0.30 points``."""
        return self._with_unit(self.spread(deviation), self.change_unit)

    def signed(self, difference: float, digits: int = 2) -> str:
        """A difference without its unit, in the direction of the metric: ``+0.30``."""
        change = self.change(difference)
        return f"{100 * change:+.{digits}f}" if self.bounded else f"{change:+.3g}"

    def signed_interval(self, low: float, high: float) -> tuple[str, str]:
        """The ends of an interval of differences, the smaller change first."""
        ends = sorted((low, high), key=self.change)
        return self.signed(ends[0]), self.signed(ends[1])

    def interval(self, low: float, high: float) -> tuple[str, str]:
        """The ends of an interval of scores with their units, the smaller value first."""
        ends = sorted((low, high), key=self.value)
        return self.text(ends[0]), self.text(ends[1])

    @staticmethod
    def _with_unit(number: str, unit: str) -> str:
        return f"{number} {unit}" if unit and number != "-" else number


def _pair(mean: Mean) -> tuple[float, float]:
    return mean.value, mean.standard_error


def _with_error(value: float, error: float, sign: str) -> str:
    """A number with as many decimals as its error has with two significant digits; four significant digits without one."""
    if isnan(value):
        return "-"
    if isnan(error):
        return f"{value:{sign}.4g}"
    if error <= 0:
        return f"{value:{sign}.4g} ± 0"
    small = f"{error:.1e}"
    decimals = 1 - int(small.partition("e")[2])
    if not 0 <= decimals <= 6:
        return f"{value:{sign}.4g} ± {error:.2g}"
    return f"{value:{sign}.{decimals}f} ± {error:.{decimals}f}"


ACCURACY = Metric("accuracy", bounded=True)
"""The share of images whose class is predicted; what our own training reports unless it is told otherwise."""
KNOWN: Mapping[str, Metric] = {
    **{
        name: Metric(name, bounded=True)
        for name in (
            "accuracy", "balanced_accuracy", "top5", "mean_ap", "mean_iou", "dice", "f1", "iou", "auroc", "precision", "recall",
        )
    },
    **{name: Metric(name, "minimize", bounded=True) for name in ("error", "error_rate")},
    **{
        name: Metric(name, "minimize")
        for name in ("loss", "val_loss", "validation_loss", "cross_entropy", "mse", "rmse", "mae", "perplexity")
    },
}  # fmt: skip
"""Metrics whose name says their direction and bounds."""
