"""The scores that our training can maximise, computed batch by batch.

It imports torch alone, so that a copy of this file works by itself. Shapes: ``B`` images, ``K`` classes, ``H`` rows, ``W``
columns. Logits are ``(B, K)``, of a segmentation ``(B, K, H, W)``. Labels are ``(B,)``; for several labels per image zeros and
ones ``(B, K)``; for segmentation masks ``(B, H, W)``.
"""

from __future__ import annotations

import torch
from torch import Tensor

METRICS = {
    "classification": ("accuracy", "balanced_accuracy", "top5"),
    "multi_label": ("mean_ap",),
    "segmentation": ("mean_iou", "accuracy"),
}
"""Names of the scores by the kind of the task; the first is used unless a search space names another. All are from 0 to 1."""


class Meter:
    """Collects the answers of a network and gives its score.

    - ``accuracy``: share of images (of a segmentation: of pixels) whose most probable class is right.
    - ``balanced_accuracy``: mean over the classes of the share of their images that is right; classes without images are left
      out.
    - ``top5``: share of images whose class is among the five most probable.
    - ``mean_ap``: mean over the classes of the average precision, which is the mean, over the images that have the class, of
      the share of them among all images that are ranked as high or higher; classes without images are left out.
    - ``mean_iou``: mean over the classes of the pixels that are the class and are said to be, over those that are one or the
      other; classes that are neither in a mask nor in an answer are left out.

    Pixels of a mask with the value ``ignored`` count for nothing.
    """

    def __init__(self, name: str, num_classes: int, ignored: int | None = None) -> None:
        self._name = name
        self._ignored = ignored
        self._counts = torch.zeros((num_classes, num_classes), dtype=torch.int64)
        self._right = self._all = 0
        self._answers: list[tuple[Tensor, Tensor]] = []

    def add(self, logits: Tensor, target: Tensor) -> None:
        """Add the answers to a batch."""
        if self._name == "mean_ap":
            self._answers.append((logits.float().cpu(), target.bool().cpu()))
        elif self._name == "top5":
            best = logits.topk(min(5, logits.shape[1]), dim=1).indices
            self._right += int((best == target[:, None]).any(1).sum())
            self._all += len(target)
        else:
            answers, labels = logits.argmax(1).flatten(), target.flatten().long()
            if self._ignored is not None:
                counted = labels != self._ignored
                answers, labels = answers[counted], labels[counted]
            classes = len(self._counts)
            counts = torch.bincount(labels * classes + answers, minlength=classes**2)
            self._counts += counts.view(classes, classes).cpu()

    def value(self) -> float:
        """The score of all answers, from 0 to 1; 0 where nothing can be scored."""
        if self._name == "mean_ap":
            scores, targets = (torch.cat(parts) for parts in zip(*self._answers, strict=True))
            found = [_average_precision(scores[:, label], targets[:, label]) for label in range(scores.shape[1])]
            return _mean(torch.tensor([each for each in found if each is not None], dtype=torch.float64))
        if self._name == "top5":
            return self._right / max(1, self._all)
        right, labels, answers = self._counts.diagonal().double(), self._counts.sum(1), self._counts.sum(0)
        if self._name == "accuracy":
            return float(right.sum() / self._counts.sum().clamp_min(1))
        if self._name == "balanced_accuracy":
            return _mean((right / labels)[labels > 0])
        union = labels + answers - right
        return _mean((right / union)[union > 0])


def _mean(values: Tensor) -> float:
    return float(values.mean()) if len(values) else 0.0


def _average_precision(scores: Tensor, is_right: Tensor) -> float | None:
    """The average precision of ``scores`` ``(N,)``; None if no image has the class. Equal scores share a rank."""
    if not is_right.any():
        return None
    order = scores.argsort(descending=True)
    found = is_right[order].cumsum(0).double()
    ranked = torch.arange(1, len(scores) + 1, dtype=torch.float64)
    is_last = torch.ones(len(scores), dtype=torch.bool)
    is_last[:-1] = scores[order][1:] != scores[order][:-1]
    precision, recalled = (found / ranked)[is_last], found[is_last]
    gained = torch.diff(recalled, prepend=torch.zeros(1, dtype=torch.float64))
    return float((precision * gained).sum() / found[-1])
