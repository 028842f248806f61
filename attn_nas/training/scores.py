"""How well a network does on a split that it was not trained on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attn_nas.data.dataset import Dataset
from attn_nas.training.device import Numerics
from attn_nas.training.images import DeviceImages, on_device

_PIXELS = {"cpu": 2**19, "cuda": 2**22}
_MICRO_BATCHES = 8
"""A batch has at most so many pixels (512 or 4,096 images of 32 x 32), and at most so many times the images of a forward
pass in training: without gradients that many fit where one does with them."""


@dataclass(frozen=True)
class Scores:
    """``accuracy`` is a share of 1, ``loss`` the mean cross-entropy in nats.

    ``margin`` is the mean lead of the right class: its probability less the largest of the others, from -1 to 1.
    """

    accuracy: float
    loss: float
    margin: float

    def to_dict(self) -> dict[str, float]:
        """Plain data, the inverse of `from_dict`."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Scores:
        """The scores that `to_dict` wrote."""
        return cls(**data)


def evaluation_batch(size: tuple[int, int], numerics: Numerics, micro_batch: int) -> int:
    """How many images of ``size`` are scored at a time by a network that was trained with ``micro_batch``."""
    return max(1, min(_PIXELS[numerics.device] // (size[0] * size[1]), _MICRO_BATCHES * micro_batch))


def evaluate(model: nn.Module, images: DeviceImages, micro_batch: int) -> Scores:
    """Scores of ``model``, trained with ``micro_batch`` images at a time, on the validation split in large batches."""
    model.eval()
    split, numerics = images.validation, images.numerics
    batch = evaluation_batch(images.size, numerics, micro_batch)
    sums = torch.zeros(3, dtype=torch.float64, device=numerics.device)
    with torch.no_grad():
        for pixels, target in zip(split.images.split(batch), split.labels.split(batch), strict=True):
            inputs = images.normalised(pixels).contiguous(memory_format=numerics.memory_format)
            with numerics.autocast():
                logits = model(inputs)
            sums += _sums(logits.float(), target)
    return Scores(*(total / len(split) for total in sums.tolist()))


def evaluate_test(model: nn.Module, dataset: Dataset, numerics: Numerics, micro_batch: int) -> Scores:
    """Scores of ``model`` on the test split, otherwise as `evaluate`: for entries of a benchmark, and never in a search.

    Raises:
        DataError: the data set has no test split here.

    """
    test = dataset.load_test().to(numerics.device)
    return evaluate(numerics.placed(model), replace(on_device(dataset, numerics), validation=test), micro_batch)


def _sums(logits: Tensor, target: Tensor) -> Tensor:
    """Right answers, cross-entropies and margins of a batch, added up: ``(3,)``."""
    probability = logits.softmax(1)
    right = probability.gather(1, target[:, None])
    others = probability.scatter(1, target[:, None], 0.0).amax(1)
    return torch.stack(
        [
            (logits.argmax(1) == target).sum(),
            F.cross_entropy(logits, target, reduction="sum"),
            (right[:, 0] - others).sum(),
        ]
    )
