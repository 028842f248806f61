"""The result of one proxy training."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from math import isfinite
from typing import Any

from attn_nas.errors import AttnNasError

_CURVES = ("curve", "loss_curve", "margin_curve", "train_loss")
OnEpoch = Callable[[int, float], None]
"""Called after every epoch with its number (from 1) and its score: validation accuracy (0 to 1), or that of an objective."""


class ProxyFailure(AttnNasError):
    """A training that ended without a score, because it diverged or ran out of memory."""


@dataclass(frozen=True)
class ProxyResult:
    """Scores of one candidate on the validation split, and the time and memory that its training took.

    A result of an objective of the user has ``accuracy`` and ``curve`` alone, which then hold its score (see
    `attn_nas.space.metric`); ``loss`` and ``margin`` are None.

    After the last epoch: ``accuracy`` (0 to 1), ``loss`` (mean cross-entropy in nats) and ``margin`` (-1 to 1: mean probability
    of the right class minus the largest of the other classes). ``curve``, ``loss_curve`` and ``margin_curve`` hold the same
    three after every trained epoch; ``train_loss`` holds the mean training loss of each epoch.

    ``seconds`` is the wall time of training and validation, ``cpu_seconds`` the processor time of the process in it,
    ``peak_memory_mb`` the peak memory in MiB of the device (CUDA) or of the process (CPU), ``micro_batch`` the number of images
    in one forward pass.
    """

    accuracy: float
    loss: float | None
    margin: float | None
    curve: tuple[float, ...]
    loss_curve: tuple[float, ...]
    margin_curve: tuple[float, ...]
    train_loss: tuple[float, ...]
    seconds: float
    cpu_seconds: float
    peak_memory_mb: float
    micro_batch: int
    seed: int

    @property
    def epochs(self) -> int:
        """Number of epochs that were scored."""
        return len(self.curve)

    def until(self, epochs: int) -> ProxyResult:
        """Return the result as it was after ``epochs`` epochs; times and memory stay those of the whole training."""
        last = epochs - 1
        return replace(
            self,
            **{name: getattr(self, name)[:epochs] for name in _CURVES},
            accuracy=self.curve[last],
            loss=self.loss_curve[last] if self.loss_curve else None,
            margin=self.margin_curve[last] if self.margin_curve else None,
        )

    def followed_by(self, rest: ProxyResult) -> ProxyResult:
        """Join this result with that of the ``rest`` of the same training: curves and times are added, peaks compared."""
        joined = {name: getattr(self, name) + getattr(rest, name) for name in _CURVES}
        return replace(
            rest,
            **joined,
            seconds=self.seconds + rest.seconds,
            cpu_seconds=self.cpu_seconds + rest.cpu_seconds,
            peak_memory_mb=max(self.peak_memory_mb, rest.peak_memory_mb),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, the inverse of `from_dict`."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ProxyResult:
        """Read a result that `to_dict` wrote; raises ValueError, TypeError or AttributeError for other data."""
        values: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in data.items()}
        made = cls(**values)
        made._check()
        return made

    def _check(self) -> None:
        """Raise ValueError or TypeError unless all fields are numbers, curves are equally long and accuracies are in 0..1.

        Scores of an objective may be any numbers.
        """
        is_ours = not (self.loss is None and self.margin is None and self.loss_curve == self.margin_curve == ())
        for share in (self.accuracy, *self.curve):
            if not isinstance(share, int | float) or not (0 <= share <= 1 if is_ours else isfinite(share)):
                raise ValueError(f"the accuracy {share!r} of a result is not in the range 0 to 1")
        if not self.curve or (is_ours and len({len(getattr(self, name)) for name in _CURVES[:3]}) > 1):
            raise ValueError("the curves of a result have different lengths")
        unscored = () if is_ours else ("loss", "margin")
        numbers = (getattr(self, field.name) for field in fields(self) if field.name not in (*_CURVES, *unscored))
        curves = (number for name in _CURVES for number in getattr(self, name))
        for number in (*numbers, *curves):
            if not isinstance(number, int | float):
                raise ValueError(f"{number!r} in a result is not a number")
