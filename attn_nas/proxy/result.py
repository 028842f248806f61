"""What a proxy run gives back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from attn_nas.errors import AttnNasError

OnEpoch = Callable[[int, float], None]
"""Told after every epoch: its number, from 1, and the validation accuracy."""


class ProxyFailure(AttnNasError):
    """A training run that ended without a score: divergence, or not enough memory."""


@dataclass(frozen=True)
class ProxyResult:
    """Score of one candidate on the validation split.

    ``accuracy`` is a share of 1 and ``loss`` the mean cross-entropy, both after the last epoch; ``curve`` is the accuracy
    after every epoch and ``train_loss`` the mean training loss of every epoch. ``seconds`` is wall time of training and
    validation, ``peak_memory_mb`` the peak of the device (CUDA) or of the process (CPU), ``micro_batch`` the images of one
    forward pass.
    """

    accuracy: float
    loss: float
    curve: tuple[float, ...]
    train_loss: tuple[float, ...]
    seconds: float
    peak_memory_mb: float
    micro_batch: int
    seed: int

    def to_dict(self) -> dict[str, Any]:
        """Plain data, the inverse of `from_dict`."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ProxyResult:
        """The result that `to_dict` wrote."""
        return cls(**{**data, "curve": tuple(data["curve"]), "train_loss": tuple(data["train_loss"])})
