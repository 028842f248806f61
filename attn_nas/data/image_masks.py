"""Images with masks, for segmentation: two folders with files of the same names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from attn_nas.data.augment import augmentation_of
from attn_nas.data.dataset import Dataset
from attn_nas.data.groups import groups_of_files
from attn_nas.data.image_file import read_opened
from attn_nas.data.image_folder import decoder
from attn_nas.data.items import fitted
from attn_nas.data.listing import is_image, shown
from attn_nas.data.own import OwnData, own_dataset
from attn_nas.data.pixels import fitted as fitted_image
from attn_nas.data.pixels import in_colours
from attn_nas.data.rules import DataRules
from attn_nas.errors import DataError
from attn_nas.format import listed
from attn_nas.space.data_settings import DataSettings

_SPLITS = {"train": ("train",), "validation": ("val", "validation", "valid"), "test": ("test",)}
_IMAGES, _MASKS = "images", "masks"
_Pair = tuple[Path, Path]


def image_masks(settings: DataSettings, rules: DataRules, download: bool) -> Dataset:
    """Folders ``images`` and ``masks`` with files of the same names, in ``root``, or in its ``train``, ``val`` and ``test``.

    A mask is an image of one channel, or with a palette, whose values are the numbers of the classes; pixels of
    ``ignored_index`` count for nothing. Images are resized and cropped to ``image_size``; masks are too, each pixel keeping the
    class of the nearest. Without a folder of validation images these are held out.

    Raises:
        DataError: an image has no mask, or one of them cannot be read; the message names it.

    """
    assert settings.root is not None
    root = Path(settings.root)
    parts = _pairs(root)
    own = OwnData(
        _Pairs(parts["train"], settings),
        _Pairs(parts["validation"], settings) if "validation" in parts else None,
        _Pairs(parts["test"], settings) if "test" in parts else None,
        classes=settings.classes,
        groups=None
        if settings.group is None
        else groups_of_files([str(image) for image, _ in parts["train"]], root, settings.group),
        ignored_index=settings.ignored_index,
    )
    dataset = own_dataset(own, settings, rules)
    return replace(dataset, augmentation=augmentation_of(settings, rules), made_with=decoder())


def check_test_masks(settings: DataSettings, rules: DataRules) -> None:
    """Raise DataError if there is no folder of test images; reads no image."""
    assert settings.root is not None
    if "test" not in _pairs(Path(settings.root)):
        raise DataError(f"there is no test split: {shown(Path(settings.root))} has no folder test/{_IMAGES}")


def _pairs(root: Path) -> dict[str, list[_Pair]]:
    """Image and mask by split; raises DataError."""
    found = {}
    for part, names in _SPLITS.items():
        folder = next((root / name for name in names if (root / name / _IMAGES).is_dir()), None)
        if folder is not None:
            found[part] = _of_folder(folder)
    if "train" not in found:
        if not (root / _IMAGES).is_dir():
            raise DataError(
                f"{shown(root)} has no folder {_IMAGES} or train/{_IMAGES}: put images there, and masks in {_MASKS}"
            )
        found["train"] = _of_folder(root)
    return found


def _of_folder(folder: Path) -> list[_Pair]:
    images = _images_below(folder / _IMAGES)
    if not images:
        raise DataError(f"there are no images in {shown(folder / _IMAGES)}")
    masks = {path.relative_to(folder / _MASKS).with_suffix(""): path for path in _images_below(folder / _MASKS)}
    names = [path.relative_to(folder / _IMAGES).with_suffix("") for path in images]
    if missing := [shown(image) for image, name in zip(images, names, strict=True) if name not in masks]:
        raise DataError(
            f"{len(missing):,} of {len(images):,} images have no mask of the same name in {shown(folder / _MASKS)}: "
            f"{listed(missing, 3)}"
        )
    return [(image, masks[name]) for image, name in zip(images, names, strict=True)]


def _images_below(folder: Path) -> list[Path]:
    """The image files below ``folder``, sorted; those in hidden folders, such as copies of an editor, do not count."""
    files = (path for path in folder.rglob("*") if is_image(path.name) and path.is_file())
    return sorted(path for path in files if not any(part.startswith(".") for part in path.relative_to(folder).parts))


class _Pairs(Sequence[Any]):
    """Image ``(3, H, W)`` and mask ``(H, W)`` of each pair of files."""

    def __init__(self, pairs: Sequence[_Pair], settings: DataSettings) -> None:
        self._pairs, self._size = pairs, settings.size

    def __len__(self) -> int:
        return len(self._pairs)

    def __iter__(self) -> Iterator[Any]:
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: Any) -> Any:
        image, mask = self._pairs[index]
        height, width = self._size
        size, colours = read_opened(image, lambda opened: (_upright(opened), in_colours(opened, max(height, width), 2)))
        classes = read_opened(mask, np.asarray)
        classes = classes.astype(np.uint8) if classes.dtype == bool else classes
        if classes.ndim != 2:
            raise DataError(
                f"the mask {shown(mask)} has {classes.shape[2]} channels: save one channel, or a palette, with the number of a "
                "class in each pixel"
            )
        if classes.shape != size:
            raise DataError(
                f"the mask {shown(mask)} has {classes.shape[1]} x {classes.shape[0]} pixels, its image, turned upright by its "
                f"EXIF data, {size[1]} x {size[0]}: save both in one size and direction"
            )
        return fitted_image(colours, width, height).transpose(2, 0, 1), fitted(classes[None], self._size, is_mask=True)[0]


def _upright(opened: Image.Image) -> tuple[int, int]:
    """Height and width of an image as people see it."""
    width, height = opened.size
    return (width, height) if opened.getexif().get(274, 1) in (5, 6, 7, 8) else (height, width)
