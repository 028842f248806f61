"""Data sets read with torchvision: CIFAR-10, CIFAR-100, FashionMNIST, SVHN and folders of images."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from attn_nas.data.dataset import Augmentation, Dataset, Split, hold_out
from attn_nas.data.torchvision_import import torchvision_datasets
from attn_nas.errors import DataError, first_line
from attn_nas.space.schema import DataSettings
from attn_nas.space.task import Task


def data_root(settings: DataSettings) -> Path:
    """Folder of the files: the setting, else the environment variable ``ATTN_NAS_DATA``, else ``data``."""
    return Path(settings.root or os.environ.get("ATTN_NAS_DATA") or "data").expanduser()


def _open(name: str, root: Path, download: bool, **which: Any) -> Any:
    loader = getattr(torchvision_datasets(), name)
    try:
        return loader(root, download=download, **which)
    except ModuleNotFoundError as error:
        raise DataError(f"{name} needs the package {error.name}: pip install {error.name}") from None
    except (RuntimeError, OSError, ValueError, EOFError) as error:
        raise DataError(
            f"{name} could not be read from {root.resolve()} ({first_line(error)}). Put its files there, name another folder "
            "(data.root in the search space, or ATTN_NAS_DATA), or download it with --download"
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
    """Class, arguments and attribute names of a data set in torchvision, and its augmentation."""

    loader: str
    num_classes: int
    augmentation: Augmentation
    train: dict[str, Any]
    test: dict[str, Any]
    labels: str = "targets"


_BY_FLAG: Any = {"train": {"train": True}, "test": {"train": False}}
_SOURCES = {
    "cifar10": _Source("CIFAR10", 10, Augmentation(crop=4, flip=True), **_BY_FLAG),
    "cifar100": _Source("CIFAR100", 100, Augmentation(crop=4, flip=True), **_BY_FLAG),
    "fashion_mnist": _Source("FashionMNIST", 10, Augmentation(crop=2, flip=True), **_BY_FLAG),
    # Mirrored digits are not digits.
    "svhn": _Source("SVHN", 10, Augmentation(crop=2), {"split": "train"}, {"split": "test"}, "labels"),
}


def packed_set(settings: DataSettings, download: bool) -> Dataset:
    """CIFAR-10, CIFAR-100, FashionMNIST or SVHN; 10,000 training images are held out for validation by default."""
    root, source = data_root(settings), _SOURCES[settings.name]

    def read(part: dict[str, Any]) -> Split:
        opened = _open(source.loader, root, download, **part)
        return _to_split(opened.data, getattr(opened, source.labels), channels_last=source.loader.startswith("CIFAR"))

    pool = read(source.train)
    num_validation = settings.num_validation or 10_000
    chosen, validation = hold_out(pool, num_validation, settings.num_train, settings.seed, settings.name)
    channels, height, width = pool.images.shape[1:]
    task = Task(channels, height, width, source.num_classes)
    return Dataset(settings.name, task, chosen, validation, source.augmentation, partial(read, source.test))


def image_folder(settings: DataSettings, download: bool) -> Dataset:
    """Folders ``train/CLASS/*`` and ``val/CLASS/*``; images are resized and centre-cropped to ``image_size`` pixels.

    The validation split is held out from ``train``; ``val`` is the test split. Training images are cropped and mirrored at
    random.
    """
    root = data_root(settings)
    folder = _open_folder(root / "train")
    order = torch.randperm(len(folder.samples), generator=torch.Generator().manual_seed(settings.seed))
    num_validation = settings.num_validation or max(1, len(order) // 10)
    wanted = len(order) if settings.num_train is None else settings.num_train + num_validation
    samples = [folder.samples[i] for i in order[:wanted].tolist()]
    pool = _decode(samples, settings.image_size)
    chosen, validation = hold_out(pool, num_validation, settings.num_train, settings.seed, str(root))
    task = Task(3, settings.image_size, settings.image_size, len(folder.classes))
    crop = settings.image_size // 8

    def read_test() -> Split:
        test = _open_folder(root / "val")
        if test.classes != folder.classes:
            raise DataError(f"{root / 'val'} has other classes than {root / 'train'}")
        return _decode(test.samples, settings.image_size)

    return Dataset(settings.name, task, chosen, validation, Augmentation(crop=crop, flip=True), read_test)


def _open_folder(folder: Path) -> Any:
    try:
        return torchvision_datasets().ImageFolder(folder)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DataError(
            f"no images under {folder.resolve()}: it needs one folder of images per class, as in train/CLASS/name.jpg "
            f"({first_line(error)})"
        ) from None


def _decode(samples: list[tuple[str, int]], size: int) -> Split:
    from PIL import Image, ImageOps, UnidentifiedImageError

    images = torch.empty((len(samples), 3, size, size), dtype=torch.uint8)
    for index, (path, _) in enumerate(samples):
        try:
            with Image.open(path) as opened:
                fitted = ImageOps.fit(opened.convert("RGB"), (size, size), Image.Resampling.BILINEAR)
        except (UnidentifiedImageError, OSError, SyntaxError) as error:
            raise DataError(f"{path} is not a readable image ({error}): remove or replace it") from None
        images[index] = torch.from_numpy(np.array(fitted)).permute(2, 0, 1)
    return Split(images, torch.tensor([label for _, label in samples], dtype=torch.int64))
