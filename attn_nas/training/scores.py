"""Scores of a network on a split that it was not trained on."""

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
"""Limits of an evaluation batch: `_PIXELS` pixels (512 images of 32 x 32 on a CPU, 4,096 on CUDA), and `_MICRO_BATCHES` times
the images of a training forward pass, which fit because no activations are kept for a backward pass."""


@dataclass(frozen=True)
class Scores:
    """Mean scores over a split: ``accuracy`` (0 to 1), ``loss`` (cross-entropy in nats) and ``margin`` (-1 to 1).

    The margin of an image is the probability of the right class minus the largest probability of the other classes.
    """

    accuracy: float
    loss: float
    margin: float

    def to_dict(self) -> dict[str, float]:
        """Return plain data, the inverse of `from_dict`."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Scores:
        """Read scores that `to_dict` wrote; raises TypeError for other data."""
        return cls(**data)


def evaluation_batch(size: tuple[int, int], numerics: Numerics, micro_batch: int) -> int:
    """Return how many images of ``size`` (height, width) a network that was trained with ``micro_batch`` scores at a time."""
    return max(1, min(_PIXELS[numerics.device] // (size[0] * size[1]), _MICRO_BATCHES * micro_batch))


def evaluate(model: nn.Module, images: DeviceImages, micro_batch: int) -> Scores:
    """Score ``model``, which was trained with ``micro_batch`` images per forward pass, on the validation split."""
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
    """Score ``model`` on the test split, as `evaluate` does on the validation split. A search never calls this.

    Raises:
        DataError: the test split of ``dataset`` is not available.

    """
    test = dataset.load_test().to(numerics.device)
    return evaluate(numerics.placed(model), replace(on_device(dataset, numerics), validation=test), micro_batch)


def _sums(logits: Tensor, target: Tensor) -> Tensor:
    """Return the sums over a batch of correct answers, cross-entropies and margins, ``(3,)``."""
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
