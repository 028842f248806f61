"""The loss of a batch, by the kind of the task."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from attn_nas.data.dataset import Split
from attn_nas.errors import DataError
from attn_nas.space.schema import ProxySettings
from attn_nas.space.task import Task

Loss = Callable[[Tensor, Tensor], Tensor]
"""Mean loss of logits ``(B, K)`` or ``(B, K, H, W)`` in fp32 and the labels of their images."""
_AT_A_TIME = 256


def loss_of(task: Task, settings: ProxySettings, split: Split) -> Loss:
    """The loss of ``task``: cross-entropy, for several labels per image the mean binary cross-entropy.

    ``settings`` have the smoothing of the labels and the weights of the classes, which come from ``split`` if they are
    ``balanced``: a class then weighs in reverse proportion to its images, or pixels.

    Raises:
        DataError: there are other than one weight per class, or a weighted class has no image.

    """
    weights = class_weights(task, settings, split)
    if weights is not None:
        weights = weights.to(split.images.device)
    if task.kind == "multi_label":
        return lambda logits, target: F.binary_cross_entropy_with_logits(logits, target.float(), pos_weight=weights)
    smoothing = settings.label_smoothing
    if task.kind == "segmentation":
        ignored = -100 if task.ignored is None else task.ignored
        return lambda logits, target: _of_pixels(logits, target.long(), weights, ignored, smoothing)
    return lambda logits, target: F.cross_entropy(logits, target, weight=weights, label_smoothing=smoothing)


def _of_pixels(logits: Tensor, target: Tensor, weights: Tensor | None, ignored: int, smoothing: float) -> Tensor:
    """The mean over the pixels that count; 0 where none does, as in a batch whose masks have nothing but ignored pixels."""
    counted = target != ignored
    share = counted if weights is None else weights[torch.where(counted, target, 0)] * counted
    total = F.cross_entropy(logits, target, weights, ignore_index=ignored, label_smoothing=smoothing, reduction="sum")
    return total / share.sum().clamp_min(1e-12)


def class_weights(task: Task, settings: ProxySettings, split: Split) -> Tensor | None:
    """A weight for each class, ``(K,)`` of mean 1; for several labels per image that of the images that have the class.

    None if all weigh the same.

    Raises:
        DataError: see `loss_of`.

    """
    given = settings.class_weights
    if given == "none":
        return None
    if isinstance(given, list):
        if len(given) != task.num_classes:
            raise DataError(
                f"proxy.class_weights has {len(given)} weights for {task.num_classes} classes: give one for each class"
            )
        return torch.tensor(given, dtype=torch.float32)
    counts = label_counts(split, task).double()
    if not counts.all():
        missing = ", ".join(str(label) for label in (counts == 0).nonzero().flatten().tolist())
        raise DataError(
            f"proxy.class_weights = balanced, but there are no training images of the classes {missing}: add some, or give none"
        )
    if task.kind == "multi_label":
        return ((len(split) - counts) / counts).float()
    return (counts.reciprocal() / counts.reciprocal().mean()).float()


def label_counts(split: Split, task: Task) -> Tensor:
    """How many images of ``split``, for segmentation how many pixels, have each class, ``(K,)``."""
    counts = torch.zeros(task.num_classes, dtype=torch.int64)
    for labels in split.labels.split(_AT_A_TIME) if split.labels.ndim > 1 else (split.labels,):
        if task.kind == "multi_label":
            counts += labels.sum(0).cpu()
        else:
            counted = labels if task.ignored is None else labels[labels != task.ignored]
            counts += torch.bincount(counted.flatten().long(), minlength=task.num_classes).cpu()
    return counts
