"""How well a network does on the validation split."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attn_nas.proxy.images import DeviceImages

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


def evaluate(model: nn.Module, images: DeviceImages, micro_batch: int) -> Scores:
    """Scores of ``model``, trained with ``micro_batch`` images at a time, on the validation split in large batches."""
    model.eval()
    split, numerics = images.validation, images.numerics
    height, width = images.size
    batch = max(1, min(_PIXELS[numerics.device] // (height * width), _MICRO_BATCHES * micro_batch))
    sums = torch.zeros(3, dtype=torch.float64, device=numerics.device)
    with torch.no_grad():
        for pixels, target in zip(split.images.split(batch), split.labels.split(batch), strict=True):
            inputs = images.normalised(pixels).contiguous(memory_format=numerics.memory_format)
            with numerics.autocast():
                logits = model(inputs)
            sums += _sums(logits.float(), target)
    return Scores(*(total / len(split) for total in sums.tolist()))


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
