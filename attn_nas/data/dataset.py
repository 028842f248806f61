"""Data sets in memory: splits, augmentation and task."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from attn_nas.errors import DataError
from attn_nas.space.task import Task

SCALES = {torch.uint8: 255, torch.uint16: 65535, torch.float32: 1}
"""Types of stored pixels, and the value that stands for 1."""
_AT_A_TIME = 256
"""Labels that are checked at a time, so that those of a large set on disk are never all in memory."""


@dataclass(frozen=True, eq=False)
class Split:
    """Images ``(N, C, H, W)`` of type uint8, uint16 or float32, and a label for each; compared by identity.

    Labels are int64 ``(N,)`` for classification, uint8 ``(N, K)`` of zeros and ones for several classes per image, and masks
    ``(N, H, W)`` of type uint8 or int32 for segmentation. ``files`` are the files of NumPy that both are mapped from.

    Raises:
        DataError: the images have another type or shape, or the numbers of images and labels differ.

    """

    images: Tensor
    labels: Tensor
    files: tuple[Path, Path] | None = None

    def __post_init__(self) -> None:
        if self.images.ndim != 4 or self.images.dtype not in SCALES or len(self.images) != len(self.labels):
            raise DataError(
                f"images must be uint8, uint16 or float32 (N, C, H, W) with one label each, not {self.images.dtype} "
                f"{tuple(self.images.shape)} with {len(self.labels)} labels"
            )

    @property
    def scale(self) -> int:
        """The value of a stored pixel that stands for 1: 255, 65535, or 1 for floats."""
        return SCALES[self.images.dtype]

    @property
    def num_bytes(self) -> int:
        """Bytes of the images and the labels."""
        return self.images.nbytes + self.labels.nbytes

    def __len__(self) -> int:
        return len(self.images)

    @cached_property
    def hashes(self) -> tuple[bytes, ...]:
        """SHA-256 of the pixels of each image: equal images have equal hashes. Computed once; the images are on the CPU."""
        return tuple(hashlib.sha256(image).digest() for image in self.images.contiguous().numpy())

    def to(self, device: str) -> Split:
        """A copy of the split on ``device``."""
        return Split(self.images.to(device), self.labels.to(device))

    def take(self, indices: Tensor) -> Split:
        """The images and labels at ``indices`` ``(n,)``."""
        return Split(self.images[indices], self.labels[indices])


@dataclass(frozen=True)
class Augmentation:
    """Random augmentation of training batches.

    Args:
        crop: pixels of zero padding before a random crop to the original size; 0 for none.
        flip: mirror half of the images horizontally.
        cutout: side of a square of zeros in pixels; 0 for none.
        resize: smallest share of the area of a random part of the image that is resized to the whole; 1 for none.
        transforms: names of classes of ``torchvision.transforms.v2`` with their keyword arguments as JSON, in their order.

    """

    crop: int = 0
    flip: bool = False
    cutout: int = 0
    resize: float = 1.0
    transforms: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        """What happens to training images, as ``shifted by up to 4 pixels, half of them mirrored left to right``."""
        parts = [f"shifted by up to {self.crop} pixels" if self.crop else "not shifted"]
        parts.append("half of them mirrored left to right" if self.flip else "not mirrored")
        if self.cutout:
            parts.append(f"a square of {self.cutout} pixels set to zero")
        if self.resize < 1:
            parts.append(f"a random part of at least {self.resize:.0%} of the area resized to the whole")
        if self.transforms:
            parts.append(f"changed by {', '.join(name for name, _ in self.transforms)} of torchvision")
        return ", ".join(parts)


@dataclass(frozen=True, eq=False)
class Dataset:
    """A task with its training and validation split.

    ``load_test`` loads the test split; a search never calls it. ``classes`` are the names of the classes in the order of their
    labels; classes without names are numbered from 0. ``notes`` are sentences about the data that a user should read before a
    search. ``made_with`` names the software that computed the pixels, which other versions of it may compute in another way;
    it is empty where the pixels are those of a file.

    Raises:
        DataError: there are fewer than two classes, a split is empty, a label is out of range, or the number of names is not
            that of the classes.

    """

    name: str
    task: Task
    train: Split
    validation: Split
    augmentation: Augmentation
    load_test: Callable[[], Split]
    classes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    made_with: str = ""

    def __post_init__(self) -> None:
        if self.task.num_classes < 2:
            raise DataError(f"{self.name} has {self.task.num_classes} class: a search needs at least 2")
        if not self.classes:
            object.__setattr__(self, "classes", tuple(map(str, range(self.task.num_classes))))
        if len(self.classes) != self.task.num_classes:
            raise DataError(f"{self.name} has {self.task.num_classes} classes, but {len(self.classes)} names of classes")
        for name, split in (("training", self.train), ("validation", self.validation)):
            if not len(split):
                raise DataError(f"{self.name} has no {name} images")
            self.check_labels(split, name)

    def check_labels(self, split: Split, name: str) -> None:
        """Raise DataError unless the labels of ``split``, by its ``name``, are those of the task."""
        task = self.task
        shape = {"multi_label": (task.num_classes,), "segmentation": (task.height, task.width)}.get(task.kind, ())
        if split.labels.shape[1:] != shape:
            wanted = " x ".join(map(str, ("N", *shape)))
            raise DataError(f"{self.name} has {name} labels of shape {tuple(split.labels.shape)}: {task.kind} needs {wanted}")
        most = 1 if task.kind == "multi_label" else task.num_classes - 1
        for labels in split.labels.split(_AT_A_TIME) if shape else (split.labels,):
            counted = labels if task.ignored is None else labels[labels != task.ignored]
            if counted.numel() and (int(counted.min()) < 0 or int(counted.max()) > most):
                raise DataError(f"{self.name} has {name} labels outside 0..{most}")

    def __str__(self) -> str:
        """Name, numbers of images and augmentation, in one line."""
        return (
            f"{self.name}: {len(self.train):,} training and {len(self.validation):,} validation images of "
            f"{self.task.num_classes} classes; training images are {self.augmentation}"
        )


def hold_out(pool: Split, num_validation: int, num_train: int | None, seed: int, name: str) -> tuple[Split, Split]:
    """Divide ``pool`` at random into a training and a validation split; see `hold_out_indices`.

    Raises:
        DataError: the pool has too few images.

    """
    train, validation = hold_out_indices(len(pool), num_validation, num_train, seed, name)
    return pool.take(train), pool.take(validation)


def hold_out_indices(available: int, num_validation: int, num_train: int | None, seed: int, name: str) -> tuple[Tensor, Tensor]:
    """Divide ``available`` images at random; returns the indices of the training and of the validation images.

    Args:
        available: number of images.
        num_validation: number of validation images.
        num_train: number of training images; None for all others.
        seed: seed of the division.
        name: name of the data set, for messages.

    Raises:
        DataError: there are too few images.

    """
    check_numbers(available, num_validation, num_train, name)
    order = torch.randperm(available, generator=torch.Generator().manual_seed(seed))
    end = None if num_train is None else num_validation + num_train
    return order[num_validation:end], order[:num_validation]


def check_numbers(available: int, num_validation: int, num_train: int | None, name: str) -> None:
    """Raise DataError unless ``available`` images are enough for both splits; ``num_train`` is None for all others."""
    left = available - num_validation
    if left < 1 or (num_train is not None and num_train > left):
        raise DataError(
            f"{name} has {available} training images: cannot hold out {num_validation} for validation and "
            f"train on {num_train or 'the rest'}"
        )
