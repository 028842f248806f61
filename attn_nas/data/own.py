"""Data that a Python program gives: read once into files of NumPy, which workers and later commands map."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from secrets import token_hex
from typing import Any

import numpy as np
from torch import Tensor

from attn_nas.data.arrays import ArrayWriter, describe, mapped, mapped_split
from attn_nas.data.augment import augmentation_of
from attn_nas.data.dataset import Dataset, Split
from attn_nas.data.image_cache import cache_folder
from attn_nas.data.items import Source, fitted, is_pair_of_arrays, pixels_of, source_of
from attn_nas.data.labels import kind_of, numbered, plain_label
from attn_nas.data.rules import DataRules
from attn_nas.data.splits import grouped_division, notes_of_equal, notes_of_missing, stratified_division
from attn_nas.errors import DataError, UsageError
from attn_nas.events.loading import report_decoded
from attn_nas.files import raising_write_error
from attn_nas.format import listed
from attn_nas.space.data_settings import DataSettings
from attn_nas.space.task import Task, TaskKind

NAME = "arrays"
"""The data set that a run names for data that were given in Python."""
_PARTS = {"train": "training data", "validation": "validation data", "test": "test data"}
_WITHOUT_TEST = "there is no test split: no test data were given when the run was begun"
_COPIED = 256
_MOST_CLASSES = 4096
_VOID = 255
"""Value of the pixels of no class in most data sets with masks of one byte."""


@dataclass(frozen=True, eq=False)
class OwnData:
    """Your own data for ``Search(data=...)``, where more is to be said than the images and labels themselves.

    ::

        Search(space, data=OwnData(train_dataset, test=test_dataset, groups=patients, augment={"crop": 4}))

    ``train``, ``validation`` and ``test`` are each one of: a Dataset of torch, map-style or iterable, of (image, label) or of
    mappings with ``image`` and ``label``; a Dataset of Hugging Face; a pair ``(images, labels)`` of arrays; any other iterable
    of pairs. An image is a tensor ``(C, H, W)``, an array of NumPy, or an image of Pillow, of 8 or 16 bits or floats. A label
    is the number or the name of a class, zeros and ones (or names) for several classes per image, or a mask ``(H, W)``.

    Args:
        train: training data; those of which validation images are held out where there are none.
        validation: data that candidates are scored on; by default a tenth of ``train``, from each class.
        test: data for the last score of a full training; they are read with the others, and a search never scores on them.
        image_size: a side, or height and width, that images are resized and cropped to; by default they stay as they are.
        num_train: most training images, where validation images are held out.
        num_validation: number of validation images to hold out.
        seed: seed of the hold-out.
        augment: random changes of training images, with the keys of the YAML's section ``data.augment``.
        classes: names of the classes in the order of their labels.
        groups: group of each item of ``train``, such as a patient; a hold-out never divides one.
        ignored_index: value of the pixels of masks that belong to no class; 255 by default, if masks have it and not 254.

    Raises:
        SpaceError: a value of the wrong type; the message says which and how to write it.

    """

    train: Any
    validation: Any = None
    test: Any = None
    image_size: int | tuple[int, int] | None = None
    num_train: int | None = None
    num_validation: int | None = None
    seed: int = 0
    augment: Mapping[str, Any] = field(default_factory=dict)
    classes: Sequence[str] | None = None
    groups: Sequence[Any] | None = None
    ignored_index: int | None = None

    @classmethod
    def given(cls, value: Any) -> OwnData | None:
        """The data of ``Search(data=value)``; None if it is a name or a mapping of settings.

        Raises:
            UsageError: it is a tuple of another length.

        """
        if isinstance(value, cls):
            return value
        if isinstance(value, str | os.PathLike | DataSettings) or (isinstance(value, Mapping) and "train" not in value):
            return None
        if isinstance(value, Mapping):  # such as a DatasetDict
            held = value.get("validation", value.get("valid", value.get("val")))
            return cls(value["train"], held, value.get("test"))
        if isinstance(value, tuple) and not is_pair_of_arrays(value):
            if not 2 <= len(value) <= 3:
                raise UsageError(f"data has {len(value)} parts: give (training data, validation data)")
            return cls(*value)
        return cls(value)

    @property
    def settings(self) -> dict[str, Any]:
        """The section ``data`` of a search space for these data."""
        given = {"num_train": self.num_train, "num_validation": self.num_validation}
        sized = {} if self.image_size is None else {"image_size": self.image_size}
        return {"name": NAME, "seed": self.seed, "augment": self.augment, **given, **sized}


def own_dataset(value: Any, settings: DataSettings, rules: DataRules) -> Dataset:
    """The data set of ``value``, which is what ``Search(data=...)`` takes, with ``settings`` of a search space.

    Its arrays are kept in the user's cache folder while this process runs.

    Raises:
        DataError: see `read_own`.

    """
    own = OwnData.given(value)
    if own is None:
        raise DataError(
            f"the data set {settings.name} is {value!r:.80}: return data, such as (train_dataset, validation_dataset)"
        )
    theirs = {key: value for key, value in own.settings.items() if key not in ("name", *settings.model_fields_set)}
    settings = DataSettings.model_validate({**settings.model_dump(exclude_unset=True), **theirs})
    with _nameless_folder() as folder:
        dataset = read_own(own, settings, rules, folder)
        test = dataset.load_test() if own.test is not None else None
    return replace(
        dataset,
        name=settings.name,
        train=replace(dataset.train, files=None),
        validation=replace(dataset.validation, files=None),
        load_test=dataset.load_test if test is None else lambda: replace(test, files=None),
    )


@contextmanager
def _nameless_folder() -> Iterator[Path]:
    """A folder whose files are removed at the end of the block; arrays that are mapped from them stay."""
    folder = (cache_folder() or Path()) / f".own-{os.getpid()}-{token_hex(4)}"
    with raising_write_error(folder):
        folder.mkdir(parents=True, mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def read_own(own: OwnData, settings: DataSettings, rules: DataRules, folder: Path) -> Dataset:
    """Read all data of ``own`` once and write them to ``folder``; the data set is mapped from there.

    Raises:
        DataError: an item cannot be used, or items do not fit each other; the message says which and why.
        WriteError: the folder cannot be written.

    """
    sources = {part: source_of(value, name) for part, name in _PARTS.items() if (value := getattr(own, part)) is not None}
    size = None if own.image_size is None else settings.size
    with raising_write_error(folder):
        read = _read_all(sources, folder, size)
        dataset = _divided(own, sources, read, settings, rules, folder)
        describe(dataset, folder)
    return dataset


@dataclass(frozen=True)
class _Read:
    """Files of what was read, by part: the labels of those that are no masks, and the kind of all labels."""

    labels: dict[str, list[Any]]
    counts: dict[str, int]
    kind: TaskKind
    shape: tuple[int, int, int]
    dtype: str


def _read_all(sources: Mapping[str, Source], folder: Path, size: tuple[int, int] | None) -> _Read:
    labels: dict[str, list[Any]] = {}
    counts: dict[str, int] = {}
    first: tuple[TaskKind, tuple[int, ...], np.dtype[Any]] | None = None
    total = sum(source.count or 0 for source in sources.values())
    done = 0
    for part, source in sources.items():
        labels[part] = []
        with ArrayWriter(folder / f"{part}_images.npy") as images, ArrayWriter(folder / f"{part}_labels.npy") as masks:
            for index, (image, raw) in enumerate(source.items()):
                pixels = pixels_of(image, index, source.name)
                label = plain_label(raw, index, source.name)
                kind = kind_of(label)
                if kind == "segmentation":
                    label = _mask(label, pixels.shape[1:], index, source.name)
                if size:
                    pixels = fitted(pixels, size)
                    label = fitted(label[None], size, is_mask=True)[0] if kind == "segmentation" else label
                first = first or (kind, pixels.shape, pixels.dtype)
                _check_alike(first, (kind, pixels.shape, pixels.dtype), index, source.name, sized=bool(size))
                images.add(pixels)
                if kind == "segmentation":
                    masks.add(label)
                else:
                    labels[part].append(label)
                done += 1
                report_decoded(done, max(total, done + 1))
            counts[part] = images.count
        if not counts[part]:
            raise DataError(f"the {source.name} have no items: give some images")
        if source.count is not None and counts[part] != source.count:
            raise DataError(
                f"the {source.name} have {counts[part]:,} items, although their length is {source.count:,}: correct the Dataset"
            )
    report_decoded(done, done)
    assert first
    channels, height, width = first[1]
    return _Read(labels, counts, first[0], (channels, height, width), str(first[2]))


def _mask(label: Any, size: tuple[int, ...], index: int, name: str) -> Any:
    """A mask ``(H, W)`` of type uint8, or int32 where it has larger values."""
    mask = label[0] if label.ndim == 3 and label.shape[0] == 1 else label
    where = f"the mask of item {index:,} of the {name}"
    if mask.ndim != 2 or mask.shape != tuple(size):
        raise DataError(f"{where} has the shape {label.shape}, its image {tuple(size)}: give one value for each pixel")
    if mask.dtype.kind not in "biu":
        raise DataError(f"{where} has the type {mask.dtype}: give integers, the number of a class for each pixel")
    low = int(mask.min())
    if low < 0:
        raise DataError(f"{where} has the value {low}: give 0 or more, and mark ignored pixels with ignored_index, such as 255")
    return mask.astype(np.int32)


def _narrowed(path: Path) -> None:
    """Rewrite masks of ``path`` as bytes if all of their values fit."""
    masks = mapped(path)
    if any(int(some.max()) > 255 for some in masks.split(_COPIED)):
        return
    with ArrayWriter(path.with_name(f"{path.name}.unfinished")) as writer:
        for mask in masks:
            writer.add(mask.numpy().astype(np.uint8))
    writer.path.replace(path)


def _check_alike(first: Any, found: Any, index: int, name: str, *, sized: bool) -> None:
    """Raise DataError unless an item is of the kind, the shape and the type of the first."""
    if first[0] != found[0]:
        raise DataError(f"the label of item {index:,} of the {name} is for {found[0]}, the first for {first[0]}: give one kind")
    if first[1] != found[1]:
        remedy = "" if sized or first[1][0] != found[1][0] else ": give image_size=[height, width] (OwnData), or resize them"
        raise DataError(f"the image of item {index:,} of the {name} is {_by(found[1])}, the first is {_by(first[1])}{remedy}")
    if first[2] != found[2]:
        raise DataError(f"the image of item {index:,} of the {name} is {found[2]}, the first is {first[2]}: give one type")


def _by(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))


def _named_classes(sources: Mapping[str, Source]) -> Sequence[str] | None:
    """The classes that the data name, in the order of their numbers; raises DataError if they differ."""
    named = {part: source.classes for part, source in sources.items() if source.classes}
    if len({*named.values()}) > 1:
        raise DataError(
            "the classes differ: "
            + "; ".join(f"the {_PARTS[part]} have {listed([*names], 5)}" for part, names in named.items())
            + ". Give Datasets with the same classes in the same order"
        )
    return next(iter(named.values()), None)


def _classes_of_masks(
    sources: Mapping[str, Source], folder: Path, ignored: int | None, notes: list[str]
) -> tuple[int | None, int]:
    """The value of pixels of no class, and the largest class; adds to ``notes``, and raises DataError for other values."""
    found = _values_of_masks(folder)
    if ignored is None and found <= {0, _VOID} and _VOID in found:
        raise DataError(
            f"masks have the values 0 and {_VOID} alone: write 0 and 1 for two classes (mask // {_VOID}), or give "
            f"ignored_index={_VOID} if these pixels count for nothing"
        )
    if ignored is None and _VOID in found and _VOID - 1 not in found:
        ignored = _VOID
        notes.append(f"Pixels with the value {_VOID} in a mask count for nothing: give ignored_index to say otherwise")
    for part in sources if (ignored or 0) < 256 else ():
        _narrowed(folder / f"{part}_labels.npy")
    most = max(found - {ignored}, default=0)
    if most > _MOST_CLASSES:
        raise DataError(f"a mask has the value {most}: give the numbers of classes, and ignored_index for pixels of no class")
    return ignored, most


def _divided(
    own: OwnData, sources: Mapping[str, Source], read: _Read, settings: DataSettings, rules: DataRules, folder: Path
) -> Dataset:
    classes = own.classes or _named_classes(sources)
    notes = [note for source in sources.values() for note in source.notes]
    ignored = own.ignored_index
    if read.kind == "segmentation":
        ignored, most = _classes_of_masks(sources, folder, ignored, notes)
        names = tuple(classes or map(str, range(most + 1)))
    else:
        numbering = numbered(read.labels, read.kind, classes)
        names = numbering.classes
        notes += numbering.notes
        for part, labels in numbering.labels.items():
            np.save(folder / f"{part}_labels.npy", labels.numpy())
    if own.groups is not None and len(own.groups) != read.counts["train"]:
        raise DataError(f"there are {len(own.groups):,} groups for {read.counts['train']:,} training items: give one for each")
    if "validation" not in sources:
        _hold_out(own, read, names, settings, folder)
    elif settings.num_train or settings.num_validation or own.groups is not None:
        raise DataError(
            "num_train, num_validation and groups are for a hold-out: leave them out where validation data are given"
        )
    channels, height, width = read.shape
    train, validation = mapped_split(folder, "train"), mapped_split(folder, "validation")
    splits = {"training": train, "validation": validation}
    compared = {**splits, "test": mapped_split(folder, "test")} if "test" in sources else splits
    notes += [*notes_of_missing(splits, names), *notes_of_equal(compared)]
    if "test" not in sources:
        notes.append("No test data were given: a search does not need them, a full training (retrain) does")
    task = Task(channels, height, width, len(names), read.kind, ignored)
    dataset = Dataset(
        settings.name,
        task,
        train,
        validation,
        augmentation_of(settings, rules, (height, width)),
        lambda: _test_of(folder),
        names,
        tuple(notes),
    )
    if "test" in sources:
        dataset.check_labels(dataset.load_test(), "test")
    return dataset


def _test_of(folder: Path) -> Split:
    if not (folder / "test_images.npy").exists():
        raise DataError(_WITHOUT_TEST)
    return mapped_split(folder, "test")


def _values_of_masks(folder: Path) -> set[int]:
    """The values of the training masks."""
    found: set[int] = set()
    for masks in mapped(folder / "train_labels.npy").split(_COPIED):
        found.update(masks.unique().tolist())
    return found


def _hold_out(own: OwnData, read: _Read, classes: Sequence[str], settings: DataSettings, folder: Path) -> None:
    """Divide the training data in ``folder`` into a training and a validation split."""
    pool = mapped_split(folder, "train")
    single = pool.labels.tolist() if read.kind == "classification" else None
    tenth = max(1, len(pool) // 10)
    name = _PARTS["train"]
    if own.groups is not None:
        train, validation = grouped_division(
            single, own.groups, settings.num_validation or tenth, settings.num_train, settings.seed, name
        )
    elif single is not None:
        number = settings.num_validation or max(tenth, len(classes))
        train, validation = stratified_division(single, classes, number, settings.num_train, settings.seed, name)
    else:
        train, validation = stratified_division(
            [0] * len(pool), ["any"], settings.num_validation or tenth, settings.num_train, settings.seed, name
        )
    for part, indices in (("validation", validation), ("train", train)):
        for kind, tensor in (("images", pool.images), ("labels", pool.labels)):
            with ArrayWriter(folder / f"{part}_{kind}.npy.unfinished") as writer:
                for index in indices.tolist():
                    writer.add(_item(tensor, index))
            writer.path.replace(folder / f"{part}_{kind}.npy")


def _item(tensor: Tensor, index: int) -> Any:
    return tensor[index].numpy() if tensor.ndim > 1 else np.asarray(tensor[index].item(), dtype=np.int64)
