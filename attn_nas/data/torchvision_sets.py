"""Data sets read with torchvision: CIFAR-10, CIFAR-100, FashionMNIST and SVHN."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from attn_nas.data.augment import augmentation_of
from attn_nas.data.dataset import Dataset, Split, hold_out
from attn_nas.data.rules import DataRules
from attn_nas.data.splits import notes_of_equal, notes_of_missing
from attn_nas.data.torchvision_import import torchvision_datasets
from attn_nas.errors import DataError, first_line
from attn_nas.space.data_settings import DataSettings
from attn_nas.space.task import Task


def _open(name: str, root: Path, download: bool, **which: Any) -> Any:
    loader = getattr(torchvision_datasets(), name)
    try:
        return loader(root, download=download, **which)
    except ModuleNotFoundError as error:
        raise DataError(f"{name} needs the package {error.name}: pip install {error.name}") from None
    except (RuntimeError, OSError, ValueError, EOFError) as error:
        raise DataError(
            f"{name} could not be read from {root.resolve()} ({first_line(error)}). Put its files there, name another folder "
            "(data.root in the search space, --data-root, or ATTN_NAS_DATA), or download it with --download"
        ) from None


def _to_split(images: Any, labels: Any, channels_last: bool) -> Split:
    array = torch.as_tensor(np.asarray(images))
    if array.ndim == 3:
        array = array.unsqueeze(1)
    elif channels_last:
        array = array.permute(0, 3, 1, 2)
    return Split(array.contiguous(), torch.as_tensor(np.asarray(labels), dtype=torch.int64))


@dataclass(frozen=True)
class _Source:
    """Class, arguments and attribute names of a data set in torchvision."""

    loader: str
    num_classes: int
    train: dict[str, Any]
    test: dict[str, Any]
    labels: str = "targets"


_BY_FLAG: Any = {"train": {"train": True}, "test": {"train": False}}
_SOURCES = {
    "cifar10": _Source("CIFAR10", 10, **_BY_FLAG),
    "cifar100": _Source("CIFAR100", 100, **_BY_FLAG),
    "fashion_mnist": _Source("FashionMNIST", 10, **_BY_FLAG),
    "svhn": _Source("SVHN", 10, {"split": "train"}, {"split": "test"}, "labels"),
}


def packed_set(settings: DataSettings, rules: DataRules, download: bool) -> Dataset:
    """CIFAR-10, CIFAR-100, FashionMNIST or SVHN; 10,000 training images are held out for validation by default.

    They are drawn from all images, whatever the rule of the split: published figures keep their splits.
    """
    assert settings.root is not None
    root, source = Path(settings.root), _SOURCES[settings.name]

    def read(part: dict[str, Any]) -> tuple[Split, tuple[str, ...]]:
        opened = _open(source.loader, root, download, **part)
        split = _to_split(opened.data, getattr(opened, source.labels), channels_last=source.loader.startswith("CIFAR"))
        return split, tuple(getattr(opened, "classes", ()))

    pool, classes = read(source.train)
    num_validation = settings.num_validation or 10_000
    chosen, validation = hold_out(pool, num_validation, settings.num_train, settings.seed, settings.name)
    channels, height, width = pool.images.shape[1:]
    task = Task(channels, height, width, source.num_classes)
    splits = {"training": chosen, "validation": validation}
    return Dataset(
        settings.name,
        task,
        chosen,
        validation,
        augmentation_of(settings, rules),
        lambda: read(source.test)[0],
        classes,
        (*notes_of_missing(splits, classes or tuple(map(str, range(source.num_classes)))), *notes_of_equal(splits)),
    )
