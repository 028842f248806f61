"""Data sets as files of NumPy: written once, then mapped by every process, so that they may be larger than the memory."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from attn_nas.data.augment import augmentation_of
from attn_nas.data.dataset import Augmentation, Dataset, Split
from attn_nas.data.rules import DataRules
from attn_nas.errors import DataError, first_line
from attn_nas.files import raising_write_error
from attn_nas.space.data_settings import DataSettings
from attn_nas.space.task import Task

DESCRIPTION = "dataset.json"
"""File with all of a data set but its images and labels."""
_AT_A_TIME = 256
_TYPES = ("uint8", "uint16", "float32")
"""Types of images that are stored as they are."""


class ArrayWriter:
    """Writes an array of NumPy item by item, so that neither the number of items nor their size need be known or fit in memory.

    A context manager; the first item gives the shape and the type.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.count = 0
        self.shape: tuple[int, ...] | None = None
        self.dtype: np.dtype[Any] | None = None
        self._file: BinaryIO | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._file:
            self._file.seek(0)
            self._header()
            self._file.close()

    def add(self, item: NDArray[Any]) -> None:
        """Append one item, of the shape and the type of the first."""
        if self._file is None:
            self.shape, self.dtype = item.shape, item.dtype
            self._file = self.path.open("wb")
            self._header()
        if (item.shape, item.dtype) != (self.shape, self.dtype):
            raise DataError(f"{self.path.name}: an item is {item.dtype} {item.shape}, the first is {self.dtype} {self.shape}")
        self._file.write(np.ascontiguousarray(item).data.cast("B") if item.size else b"")
        self.count += 1

    def _header(self) -> None:
        """Write the header; NumPy leaves room in it for a larger number of items."""
        assert self._file
        assert self.dtype is not None
        assert self.shape is not None
        described = {"descr": np.lib.format.dtype_to_descr(self.dtype), "fortran_order": False}
        np.lib.format.write_array_header_1_0(self._file, {**described, "shape": (self.count, *self.shape)})


def mapped(path: Path) -> Tensor:
    """The array of a file of NumPy, mapped into memory; changes of it stay in this process."""
    array = np.load(path, mmap_mode="c") if path.stat().st_size else np.load(path)
    return torch.from_numpy(array)


def mapped_split(folder: Path, name: str) -> Split:
    """The split ``name`` in ``folder``, mapped into memory."""
    files = folder / f"{name}_images.npy", folder / f"{name}_labels.npy"
    return Split(mapped(files[0]), mapped(files[1]), files)


def write_split(split: Split, folder: Path, name: str) -> None:
    """Write a split for other processes to map; one that is mapped from files already is linked. Raises OSError."""
    for part, tensor, file in zip(("images", "labels"), (split.images, split.labels), split.files or (None, None), strict=True):
        path = folder / f"{name}_{part}.npy"
        path.unlink(missing_ok=True)
        if file is not None:
            path.symlink_to(file.absolute())
        else:
            np.save(path, tensor.numpy())


def share_dataset(dataset: Dataset, folder: Path, *, test: bool = False) -> None:
    """Write the splits to ``folder``, for all processes to map; the test split only if ``test``. Raises WriteError."""
    splits = {"train": dataset.train, "validation": dataset.validation}
    if test:
        splits["test"] = dataset.load_test()
    with raising_write_error(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for name, split in splits.items():
            write_split(split, folder, name)
        describe(dataset, folder)


def describe(dataset: Dataset, folder: Path) -> None:
    """Write all of ``dataset`` but its splits; raises OSError."""
    described = {
        "name": dataset.name,
        "task": vars(dataset.task),
        "augmentation": vars(dataset.augmentation),
        "classes": dataset.classes,
        "notes": dataset.notes,
    }
    (folder / DESCRIPTION).write_text(json.dumps(described), encoding="utf-8")


def shared_dataset(folder: Path, without_test: str = "a search does not read the test split") -> Dataset:
    """Map the data set that `share_dataset` wrote, copy-on-write.

    Its test split raises DataError with the reason ``without_test`` if it was not written.
    """
    described = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
    augmentation = described["augmentation"]

    def test() -> Split:
        if not (folder / "test_images.npy").exists():
            raise DataError(without_test)
        return mapped_split(folder, "test")

    return Dataset(
        described["name"],
        Task(**described["task"]),
        mapped_split(folder, "train"),
        mapped_split(folder, "validation"),
        Augmentation(**{**augmentation, "transforms": tuple(map(tuple, augmentation["transforms"]))}),
        test,
        tuple(described["classes"]),
        tuple(described["notes"]),
    )


def arrays(settings: DataSettings, rules: DataRules, download: bool) -> Dataset:
    """Files of NumPy in a folder.

    The folder has ``images.npy`` and ``labels.npy``, from which validation images are held out, or ``train_images.npy``,
    ``train_labels.npy`` and the same for ``validation`` (or ``val``) and ``test``; each may have ``groups.npy`` besides. Or it
    has one ``.npz`` file with arrays of these names. Images are ``(N, H, W)``, ``(N, C, H, W)`` or ``(N, H, W, C)``. A run that
    was given data in Python has such a folder too.

    Raises:
        DataError: files are missing, damaged, or do not fit each other.

    """
    from attn_nas.data.own import own_dataset

    assert settings.root is not None
    root = Path(settings.root)
    if (root / DESCRIPTION).exists():
        try:
            kept = shared_dataset(root, "there is no test split: no test data were given when the run was begun")
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(f"the data in {root} are damaged ({first_line(error)}): restore them, or begin a new run") from None
        task = kept.task
        return replace(kept, augmentation=augmentation_of(settings, rules, (task.height, task.width)))
    return own_dataset(_own_of(root, settings), settings, rules)


def check_test_arrays(settings: DataSettings, rules: DataRules) -> None:
    """Raise DataError if the folder has no test split; reads no image."""
    assert settings.root is not None
    root = Path(settings.root)
    if (root / DESCRIPTION).exists():
        if not (root / "test_images.npy").exists():
            raise DataError("there is no test split: no test data were given when the run was begun")
    elif not any(name.startswith("test_") for name in _named_arrays(root)):
        raise DataError(f"there is no test split: {root} has no test_images and test_labels")


def _own_of(root: Path, settings: DataSettings) -> Any:
    from attn_nas.data.own import OwnData

    named = _named_arrays(root)
    found: dict[str, Any] = {}
    for part, prefixes in (("train", ("train_", "")), ("validation", ("validation_", "val_")), ("test", ("test_",))):
        for prefix in prefixes:
            if f"{prefix}images" in named:
                if f"{prefix}labels" not in named:
                    raise DataError(f"{root} has {prefix}images, but no {prefix}labels: add them")
                found[part] = (named[f"{prefix}images"](), named[f"{prefix}labels"]())
                if part == "train" and f"{prefix}groups" in named:
                    found["groups"] = named[f"{prefix}groups"]().tolist()
                break
    if "train" not in found:
        there = ", ".join(sorted(named)) or "none"
        raise DataError(
            f"{root} has no arrays images and labels (or train_images and train_labels), as .npy files or in one .npz file; it "
            f"has {there}"
        )
    return OwnData(**found, classes=settings.classes, ignored_index=settings.ignored_index)


def _named_arrays(root: Path) -> dict[str, Callable[[], NDArray[Any]]]:
    """The arrays in a folder by name, each as a function that reads it."""
    packed = sorted(root.glob("*.npz"))
    if len(packed) == 1:
        try:
            with np.load(packed[0]) as opened:
                names = opened.files
        except (OSError, ValueError) as error:
            raise DataError(f"{packed[0]} cannot be read: {first_line(error)}") from None
        return {name: lambda name=name: _loaded(packed[0], name) for name in names}  # type: ignore[misc]
    return {path.stem: lambda path=path: _loaded(path) for path in sorted(root.glob("*.npy"))}  # type: ignore[misc]


def _loaded(path: Path, name: str | None = None) -> NDArray[Any]:
    """An array of a file, which may not contain Python objects; raises DataError."""
    try:
        if name is None:
            found: NDArray[Any] = np.load(path, mmap_mode="r")
            return found
        with np.load(path) as opened:
            return np.asarray(opened[name])
    except (OSError, ValueError, EOFError) as error:
        raise DataError(
            f"{path} cannot be read as an array of numbers or text ({first_line(error)}): save it without objects"
        ) from None
