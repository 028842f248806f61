"""The registry of data sets: a search space names one, and its record says how it is loaded and which settings it reads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from attn_nas.errors import SpaceError
from attn_nas.plugins.lazy_class import LazyClass
from attn_nas.plugins.registry import Registry

COMMON_KEYS = ("name", "root", "num_train", "num_validation", "image_size", "seed", "augment")
"""Keys of the section ``data`` that every data set may have."""


@dataclass(frozen=True)
class DataSource:
    """A data set, or a kind of data sets, by its name in a search space.

    Args:
        name: name in the key ``data.name``.
        description: what it is, in one line.
        load: a function that loads it; see `register_dataset`.
        embedded: whether it needs no files; ``data.root`` has no meaning then.
        keys: keys of the section ``data`` that it reads besides `COMMON_KEYS`.
        crop: largest shift of a training image in pixels unless ``data.augment.crop`` says another; None for an eighth of the
            shorter side.
        mirror: whether half of the training images are mirrored unless ``data.augment.mirror`` says another.
        downloads: whether its files can be downloaded.
        check_test: a function that raises DataError where the names of files show that the test split cannot be read.

    """

    name: str
    description: str
    load: Callable[..., Any] | LazyClass
    embedded: bool = False
    keys: tuple[str, ...] = ()
    crop: int | None = 0
    mirror: bool = False
    downloads: bool = False
    check_test: LazyClass | None = None


_PACKED = LazyClass("attn_nas.data.torchvision_sets:packed_set")
_GROUPED = ("group",)
_SOURCES = (
    DataSource(
        "cued_digits",
        "two digits and a coloured cue, generated from scans (embedded)",
        LazyClass("attn_nas.data.digits:cued_digits"),
        embedded=True,
    ),
    DataSource(
        "cluttered_digits",
        "a digit among fragments, generated from scans (embedded)",
        LazyClass("attn_nas.data.digits:cluttered_digits"),
        embedded=True,
    ),
    DataSource("digits", "1,797 scanned digits (embedded)", LazyClass("attn_nas.data.digits:plain_digits"), embedded=True),
    DataSource("cifar10", "CIFAR-10 in torchvision's files", _PACKED, crop=4, mirror=True, downloads=True),
    DataSource("cifar100", "CIFAR-100 in torchvision's files", _PACKED, crop=4, mirror=True, downloads=True),
    DataSource("fashion_mnist", "Fashion-MNIST in torchvision's files", _PACKED, crop=2, mirror=True, downloads=True),
    # Mirrored digits are not digits.
    DataSource("svhn", "SVHN in torchvision's files", _PACKED, crop=2, downloads=True),
    DataSource(
        "image_folder",
        "a folder of images with one folder per class, with or without splits",
        LazyClass("attn_nas.data.image_folder:image_folder"),
        keys=_GROUPED,
        crop=None,
        check_test=LazyClass("attn_nas.data.image_folder:check_test_folder"),
    ),
    DataSource(
        "image_list",
        "a CSV file with the columns path and label, and optionally split, group and slice",
        LazyClass("attn_nas.data.image_list:image_list"),
        keys=("file", "window", "group"),
        crop=None,
        check_test=LazyClass("attn_nas.data.image_list:check_test_list"),
    ),
    DataSource(
        "image_masks",
        "folders images and masks with files of the same names, for segmentation",
        LazyClass("attn_nas.data.image_masks:image_masks"),
        keys=("ignored_index", "classes", "group"),
        crop=None,
        check_test=LazyClass("attn_nas.data.image_masks:check_test_masks"),
    ),
    DataSource(
        "arrays",
        "files of NumPy: images.npy and labels.npy, or one .npz; and the data that a Python program has given to a run",
        LazyClass("attn_nas.data.arrays:arrays"),
        keys=("ignored_index", "classes"),
        check_test=LazyClass("attn_nas.data.arrays:check_test_arrays"),
    ),
)
_REGISTRY: Registry[DataSource] = Registry("data set", {source.name: source for source in _SOURCES})


def register_dataset(
    name: str, load: Callable[..., Any], *, description: str = "", embedded: bool = False, mirror: bool = False, crop: int = 0
) -> DataSource:
    """Add a data set to the registry, so that a search space can name it: ``data: {name: NAME}``. Return its record.

    ::

        def scans(settings):
            return read(settings.root, settings.options["view"])   # anything that Search(data=...) takes

        register_dataset("scans", scans, description="chest scans")

    A module that calls this is a plug-in: name its file under ``plugins`` in the search space, or declare it as an entry point.

    Args:
        name: lower-case letters, digits and underscores.
        load: a function that is called with the settings of the section ``data`` (`attn_nas.space.schema.DataSettings`):
            ``root`` is the folder of the files, ``options`` are keys of your own. It returns what ``Search(data=...)`` takes,
            such as a training and a validation Dataset, or an `attn_nas.data.own.OwnData`.
        description: what it is, in one line.
        embedded: whether it needs no files; ``data.root`` may then be left out.
        mirror: whether half of the training images are mirrored left to right unless the search space says otherwise.
        crop: largest shift of a training image in pixels unless the search space says otherwise.

    Raises:
        SpaceError: the name is taken or invalid.

    """
    if not callable(load):
        raise SpaceError(f"data set {name!r}: load = {load!r} cannot be called: give a function that takes the settings")
    source = DataSource(
        name, description or f"the data set {name}", load, embedded=embedded, keys=("options",), mirror=mirror, crop=crop
    )
    _REGISTRY.add(source, name)
    return source


def dataset_names() -> list[str]:
    """Names of all registered data sets in order of registration, including those of installed plug-ins."""
    return _REGISTRY.names()


def data_source(name: str) -> DataSource:
    """The record of a data set.

    Raises:
        SpaceError: the name is unknown; the message lists all names.

    """
    return _REGISTRY.get(name)
