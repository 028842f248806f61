"""The identity of a data set: what a run keeps of its data to recognise it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from attn_nas.data import Dataset
from attn_nas.space.task import Task
from attn_nas.training.images import channel_statistics

_TOLERANCE = 1e-4
"""Largest relative difference between statistics of the same images, which hardware may add up in another order."""


@dataclass(frozen=True)
class Normalization:
    """``mean`` and standard deviation ``std`` of the training pixels, one per channel; pixels are from 0 to 1."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def of(cls, dataset: Dataset) -> Normalization:
        """That of the training images of ``dataset``."""
        mean, std = channel_statistics(dataset.train)
        return cls(tuple((mean.flatten() / 255).tolist()), tuple((std.flatten() / 255).tolist()))

    def is_close_to(self, other: Normalization) -> bool:
        """Whether both may be of the same images."""
        return all(
            len(mine) == len(theirs) and np.allclose(mine, theirs, rtol=_TOLERANCE)
            for mine, theirs in ((self.mean, other.mean), (self.std, other.std))
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {name: [*values] for name, values in asdict(self).items()}


@dataclass(frozen=True)
class DataIdentity:
    """Shape of the images, number of classes and statistics of the pixels of a data set."""

    task: Task
    normalization: Normalization

    @classmethod
    def of(cls, dataset: Dataset) -> DataIdentity:
        """That of ``dataset``."""
        return cls(dataset.task, Normalization.of(dataset))

    def matches(self, dataset: Dataset) -> bool:
        """Whether ``dataset`` has this identity, up to rounding of the statistics."""
        return self.task == dataset.task and self.normalization.is_close_to(Normalization.of(dataset))
