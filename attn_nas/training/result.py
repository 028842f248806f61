"""What a proxy run gives back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from attn_nas.errors import AttnNasError

_CURVES = ("curve", "loss_curve", "margin_curve", "train_loss")
OnEpoch = Callable[[int, float], None]
"""Told after every epoch: its number, from 1, and the validation accuracy."""


class ProxyFailure(AttnNasError):
    """A training run that ended without a score: divergence, or not enough memory."""


@dataclass(frozen=True)
class ProxyResult:
    """Score of one candidate on the validation split.

    ``accuracy`` is a share of 1, ``loss`` the mean cross-entropy in nats and ``margin`` the mean lead of the right class in
    probability (-1 to 1), all after the last epoch; ``curve``, ``loss_curve`` and ``margin_curve`` are the same after every
    trained epoch, and ``train_loss`` is its mean training loss. ``seconds`` is wall time of training and validation,
    ``cpu_seconds`` the processor time that the process took meanwhile, ``peak_memory_mb`` the peak of the device (CUDA) or of
    the process (CPU), ``micro_batch`` the images of one forward pass.
    """

    accuracy: float
    loss: float
    margin: float
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
        """How many epochs were scored."""
        return len(self.curve)

    def until(self, epochs: int) -> ProxyResult:
        """What it was after so many epochs; times and memory are those of the whole."""
        last = epochs - 1
        return replace(
            self,
            **{name: getattr(self, name)[:epochs] for name in _CURVES},
            accuracy=self.curve[last],
            loss=self.loss_curve[last],
            margin=self.margin_curve[last],
        )

    def followed_by(self, rest: ProxyResult) -> ProxyResult:
        """One result of it and the ``rest`` of the same training."""
        joined = {name: getattr(self, name) + getattr(rest, name) for name in _CURVES}
        return replace(
            rest,
            **joined,
            seconds=self.seconds + rest.seconds,
            cpu_seconds=self.cpu_seconds + rest.cpu_seconds,
            peak_memory_mb=max(self.peak_memory_mb, rest.peak_memory_mb),
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain data, the inverse of `from_dict`."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ProxyResult:
        """The result that `to_dict` wrote; raises ValueError, TypeError, AttributeError."""
        values: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in data.items()}
        made = cls(**values)
        made._check()
        return made

    def _check(self) -> None:
        """Raise ValueError, TypeError unless all is of the kind that it should be, and accuracies are shares of 1."""
        for share in (self.accuracy, *self.curve):
            if not isinstance(share, int | float) or not 0 <= share <= 1:
                raise ValueError(f"the accuracy {share!r} of a result is no share of 1")
        if not self.curve or len({len(getattr(self, name)) for name in _CURVES[:3]}) > 1:
            raise ValueError("the curves of a result have different lengths")
        numbers = (getattr(self, field.name) for field in fields(self) if field.name not in _CURVES)
        curves = (number for name in _CURVES for number in getattr(self, name))
        for number in (*numbers, *curves):
            if not isinstance(number, int | float):
                raise ValueError(f"{number!r} in a result is no number")
