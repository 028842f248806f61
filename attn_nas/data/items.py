"""Reads the images and labels that a Python program gives, item by item, and says which item cannot be used and why."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from attn_nas.errors import AttnNasError, DataError, first_line

_IMAGE_KEYS = ("image", "images", "img", "pixel_values", "x", "input")
_LABEL_KEYS = ("label", "labels", "target", "class", "fine_label", "y", "mask", "masks", "annotation", "segmentation")
_CHANNELS = (1, 3, 4)
"""Numbers of channels by which the layout of an array is recognised."""
_TYPES = (np.uint8, np.uint16, np.float32)


@dataclass(frozen=True)
class Source:
    """Images with labels in the order in which they are read.

    Args:
        name: what they are, as ``training data``.
        items: yields an image and a label.
        count: number of items, if it is known before.
        classes: names of the classes, if the source has them.
        notes: sentences for the user.

    """

    name: str
    items: Callable[[], Iterator[tuple[Any, Any]]]
    count: int | None
    classes: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()


def is_array(value: object) -> bool:
    """Whether ``value`` is a tensor or an array of NumPy."""
    return isinstance(value, Tensor | np.ndarray)


def is_pair_of_arrays(value: object) -> bool:
    """Whether ``value`` is ``(images, labels)``, images as one array."""
    return (
        isinstance(value, tuple | list)
        and len(value) == 2
        and is_array(value[0])
        and (is_array(value[1]) or (isinstance(value[1], list | tuple) and not is_array(next(iter(value[1]), None))))
    )


def source_of(value: Any, name: str) -> Source:
    """The items of ``value``: ``(images, labels)`` as arrays, a Dataset of torch or of Hugging Face, or another iterable.

    Raises:
        DataError: it has no items that can be read.

    """
    if is_pair_of_arrays(value):
        return _of_arrays(value[0], value[1], name)
    if isinstance(value, torch.utils.data.DataLoader):
        raise DataError(f"the {name} are a DataLoader, which gives batches: give its dataset (loader.dataset)")
    if is_array(value):
        raise DataError(f"the {name} are an array without labels: give (images, labels)")
    if isinstance(value, str | bytes | int | float | None):
        raise DataError(
            f"the {name} are {value!r}: give (images, labels) as arrays, or a Dataset or another iterable of (image, label)"
        )
    classes = _names_of_classes(value)
    if (
        not hasattr(value, "__getitem__")
        or isinstance(value, torch.utils.data.IterableDataset)
        or not hasattr(value, "__len__")
    ):
        if not isinstance(value, Iterable):
            raise DataError(f"the {name} are {type(value).__name__}, which has no items: give a Dataset of (image, label)")
        return Source(name, lambda: _iterated(value, name), None, classes)
    count = len(value)
    return Source(name, lambda: _indexed(value, count, name), count, classes, _note_of_chance(value, count, name))


def _of_arrays(images: Any, labels: Any, name: str) -> Source:
    if images.ndim not in (3, 4):
        raise DataError(
            f"the {name} have images of shape {tuple(images.shape)}: give (N, C, H, W), or (N, H, W) for grey images"
        )
    if len(images) != len(labels):
        raise DataError(f"the {name} have {len(images):,} images and {len(labels):,} labels: give one label for each image")
    return Source(name, lambda: zip(images, labels, strict=True), len(images))


def _indexed(value: Any, count: int, name: str) -> Iterator[tuple[Any, Any]]:
    for index in range(count):
        try:
            item = value[index]
        except AttnNasError:
            raise
        except Exception as error:
            reason = f"{type(error).__name__}: {first_line(error)}"
            says = f", although its length is {count:,}" if isinstance(error, IndexError) else ""
            raise DataError(f"item {index:,} of the {name} cannot be read ({reason}){says}: correct the Dataset") from error
        yield _pair(item, index, name)


def _iterated(value: Iterable[Any], name: str) -> Iterator[tuple[Any, Any]]:
    index = -1
    items = iter(value)
    while True:
        index += 1
        try:
            item = next(items)
        except StopIteration:
            return
        except AttnNasError:
            raise
        except Exception as error:
            reason = f"{type(error).__name__}: {first_line(error)}"
            raise DataError(f"item {index:,} of the {name} cannot be read ({reason}): correct the Dataset") from error
        yield _pair(item, index, name)


def _pair(item: Any, index: int, name: str) -> tuple[Any, Any]:
    """Image and label of an item: the first two of a tuple, or two keys of a mapping."""
    if isinstance(item, Mapping):
        image = next((key for key in _IMAGE_KEYS if key in item), None)
        label = next((key for key in _LABEL_KEYS if key in item), None)
        if image is None or label is None:
            raise DataError(f"item {index:,} of the {name} has the keys {', '.join(map(str, item))}: name them image and label")
        return item[image], item[label]
    if isinstance(item, tuple | list) and len(item) >= 2:
        return item[0], item[1]
    raise DataError(f"item {index:,} of the {name} is {type(item).__name__}: give a pair of image and label")


def _names_of_classes(value: Any) -> tuple[str, ...] | None:
    """Names of the classes, from a Dataset of torchvision or of Hugging Face."""
    features = getattr(value, "features", None)
    if isinstance(features, Mapping):
        for key in _LABEL_KEYS:
            feature = features.get(key)
            names = getattr(feature, "names", None) or getattr(getattr(feature, "feature", None), "names", None)
            if names:
                return tuple(map(str, names))
    inner = value
    while not hasattr(inner, "classes") and hasattr(inner, "dataset"):  # a Subset of torch
        inner = inner.dataset
    classes = getattr(inner, "classes", None)
    if isinstance(classes, list | tuple) and classes and all(isinstance(each, str) for each in classes):
        return tuple(classes)
    return None


def _note_of_chance(value: Any, count: int, name: str) -> tuple[str, ...]:
    """A sentence if the first item is another image when it is read again."""
    if not count:
        return ()
    try:
        one, two = (np.asarray(_pair(value[0], 0, name)[0]) for _ in range(2))
    except Exception:  # noqa: BLE001  the items are read again, and what is wrong with them is said then
        return ()
    if one.shape == two.shape and np.array_equal(one, two):
        return ()
    return (
        f"The {name} give another image each time that an item is read, as with a random transform: each was read once, and "
        "trainings see this version. Leave random transforms out of the Dataset, and name them in data.augment",
    )


def pixels_of(image: Any, index: int, name: str) -> NDArray[Any]:  # noqa: PLR0912  one branch for each type
    """An image as an array ``(C, H, W)`` of type uint8, uint16 or float32.

    A tensor is ``(C, H, W)`` or ``(H, W)``; an array of NumPy may have its channels last.

    Raises:
        DataError: it is not an image, or has values that are not finite.

    """
    where = f"the image of item {index:,} of the {name}"
    if isinstance(image, Image.Image):
        array = _of_pillow(image)
    elif isinstance(image, Tensor):
        array = image.detach().cpu().float().numpy() if image.is_floating_point() else image.detach().cpu().numpy()
    elif isinstance(image, np.ndarray):
        array = image
    elif isinstance(image, list):
        array = np.asarray(image)
    else:
        raise DataError(f"{where} is {type(image).__name__}: give a tensor, an array of NumPy or an image of Pillow")
    if array.ndim not in (2, 3) or 0 in array.shape:
        raise DataError(f"{where} has the shape {array.shape}: give (C, H, W), or (H, W) for a grey image")
    if array.ndim == 2:
        array = array[None]
    elif not isinstance(image, Tensor) and _is_last(array.shape):
        array = array.transpose(2, 0, 1)
    if array.dtype in _TYPES:
        found = array
    elif array.dtype.kind == "b":
        found = array.astype(np.uint8) * 255
    elif array.dtype.kind in "iu":
        low, high = int(array.min()), int(array.max())
        if low < 0 or high > 65535:
            raise DataError(
                f"{where} has values from {low} to {high} of type {array.dtype}: give uint8, uint16, or floats from 0 to 1"
            )
        found = array.astype(np.uint16)
    elif array.dtype.kind == "f":
        found = array.astype(np.float32)
    else:
        raise DataError(f"{where} has the type {array.dtype}: give uint8, uint16 or floats")
    if found.dtype == np.float32 and not np.isfinite(found).all():
        raise DataError(f"{where} has values that are not finite (NaN or infinity): replace them")
    return found


def _is_last(shape: tuple[int, ...]) -> bool:
    """Whether the last axis of an image is that of the channels."""
    if shape[-1] in _CHANNELS or shape[0] in _CHANNELS:
        return shape[0] not in _CHANNELS
    return shape[-1] < min(shape[:2])


def _of_pillow(image: Image.Image) -> NDArray[Any]:
    """The pixels of an image of Pillow ``(H, W, C)``: grey and 16 bits stay, anything else becomes RGB."""
    if image.mode in ("L", "I;16", "I;16B", "I;16L", "F", "I"):
        return np.asarray(image)
    if image.mode == "1":
        return np.asarray(image.convert("L"))
    return np.asarray(image.convert("RGB"))


def fitted(pixels: NDArray[Any], size: tuple[int, int], *, is_mask: bool = False) -> NDArray[Any]:
    """``pixels`` ``(C, H, W)`` resized, and their middle cut out, so that they have ``size`` ``(height, width)``.

    Colours are averaged (bilinear, antialiased); a mask keeps the values of its nearest pixels.
    """
    if pixels.shape[1:] == size:
        return pixels
    scale = max(wanted / side for wanted, side in zip(size, pixels.shape[1:], strict=True))
    height, width = (max(wanted, round(side * scale)) for wanted, side in zip(size, pixels.shape[1:], strict=True))
    tensor = torch.from_numpy(np.ascontiguousarray(pixels)).float()[None]
    mode = {"mode": "nearest-exact"} if is_mask else {"mode": "bilinear", "antialias": True}
    changed = torch.nn.functional.interpolate(tensor, (height, width), **mode)[0]
    top, left = (height - size[0]) // 2, (width - size[1]) // 2
    found = changed[:, top : top + size[0], left : left + size[1]].numpy()
    return found if pixels.dtype == np.float32 else (found + 0.5).clip(0, np.iinfo(pixels.dtype).max).astype(pixels.dtype)
