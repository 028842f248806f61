"""Scores of a network on a split that it was not trained on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attn_nas.data.dataset import Dataset
from attn_nas.errors import DataError, choose_from
from attn_nas.space.schema import ProxySettings
from attn_nas.space.task import Task
from attn_nas.training.device import Numerics
from attn_nas.training.images import DeviceImages, on_device
from attn_nas.training.metrics import METRICS, Meter

_PIXELS = {"cpu": 2**19, "cuda": 2**22}
_MICRO_BATCHES = 8
"""Limits of an evaluation batch: `_PIXELS` pixels (512 images of 32 x 32 on a CPU, 4,096 on CUDA), and `_MICRO_BATCHES` times
the images of a training forward pass, which fit because no activations are kept for a backward pass."""


@dataclass(frozen=True)
class Scores:
    """Mean scores over a split: ``accuracy`` (0 to 1), ``loss`` (cross-entropy in nats) and ``margin`` (-1 to 1).

    ``accuracy`` is the value of the metric of the training (`attn_nas.training.metrics`), which is the share of right answers
    unless the search space names another. The margin of an image is the probability of the right class minus the largest
    probability of the other classes; for segmentation it is the mean over the pixels. For several labels per image loss and
    margin are means over the classes, each of which is there or not.
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


def metric_of(settings: ProxySettings, task: Task) -> str:
    """Name of the score that a training of ``task`` maximises.

    Raises:
        DataError: ``settings`` name one that ``task`` does not have.

    """
    has = METRICS[task.kind]
    if settings.metric is not None and settings.metric not in has:
        raise DataError(f"proxy.metric = {settings.metric} is not for the {task.kind} of these data: {choose_from('', has)}")
    return settings.metric or has[0]


def evaluate(model: nn.Module, images: DeviceImages, micro_batch: int, metric: str | None = None) -> Scores:
    """Score ``model``, which was trained with ``micro_batch`` images per forward pass, on the validation split.

    ``metric`` is a name of `METRICS`, by default the usual one of the task.
    """
    model.eval()
    split, numerics, task = images.validation, images.numerics, images.task
    metric = metric or METRICS[task.kind][0]
    meter = None if (metric, task.kind) == ("accuracy", "classification") else Meter(metric, task.num_classes, task.ignored)
    batch = evaluation_batch(images.size, numerics, micro_batch)
    sums = torch.zeros(3, dtype=torch.float64, device=numerics.device)
    counted = 0
    with torch.no_grad():
        for pixels, labels in zip(split.images.split(batch), split.labels.split(batch), strict=True):
            inputs = images.normalised(pixels.to(numerics.device)).contiguous(memory_format=numerics.memory_format)
            target = labels.to(numerics.device)
            with numerics.autocast():
                logits = model(inputs)
            found, number = _sums(logits.float(), target, task)
            sums, counted = sums + found, counted + number
            if meter:
                meter.add(logits, target)
    accuracy, loss, margin = (total / max(1, counted) for total in sums.tolist())
    return Scores(meter.value() if meter else accuracy, loss, margin)


def evaluate_test(
    model: nn.Module, dataset: Dataset, numerics: Numerics, micro_batch: int, metric: str | None = None
) -> Scores:
    """Score ``model`` on the test split, as `evaluate` does on the validation split. A search never calls this.

    Raises:
        DataError: the test split of ``dataset`` is not available.

    """
    images = on_device(dataset, numerics)
    test = dataset.load_test()
    test = test if images.streamed else test.to(numerics.device)
    return evaluate(numerics.placed(model), replace(images, validation=test), micro_batch, metric)


def _sums(logits: Tensor, target: Tensor, task: Task) -> tuple[Tensor, int]:
    """The sums over a batch of correct answers, cross-entropies and margins, ``(3,)``, and the number of answers."""
    if task.kind == "multi_label":
        is_there = target.bool()
        right = torch.where(is_there, logits, -logits)
        loss = F.binary_cross_entropy_with_logits(logits, target.float(), reduction="sum")
        return torch.stack([(right > 0).sum(), loss, (2 * right.sigmoid() - 1).sum()]), target.numel()
    if task.kind == "segmentation":
        logits, target = logits.movedim(1, -1).flatten(0, -2), target.flatten().long()
        if task.ignored is not None:
            counted = target != task.ignored
            logits, target = logits[counted], target[counted]
    return _sums_of_classes(logits, target), len(target)


def _sums_of_classes(logits: Tensor, target: Tensor) -> Tensor:
    """Those of answers ``(B, K)`` to labels ``(B,)``."""
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
