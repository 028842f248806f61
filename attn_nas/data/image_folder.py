"""Folders of images: one folder per class, in one folder per split or in a single folder that is divided."""

from __future__ import annotations

import logging
import os
import platform
from collections.abc import Sequence
from pathlib import Path

import torch

from attn_nas.data.augment import augmentation_of
from attn_nas.data.dataset import Dataset, Split, hold_out_indices
from attn_nas.data.decoding import Decoded, decode, decode_parts
from attn_nas.data.groups import groups_of_files
from attn_nas.data.listing import ImageListing, Sample, list_images, shown
from attn_nas.data.rules import DataRules
from attn_nas.data.splits import grouped_division, notes_of_equal, notes_of_missing, stratified_division
from attn_nas.errors import DataError
from attn_nas.format import listed
from attn_nas.space.data_settings import DataSettings
from attn_nas.space.task import Task

logger = logging.getLogger(__name__)
_TEST_FOLDERS = ("val", "test")
"""Names of the folder of the test split; the first that exists is read."""
_SPLIT_FOLDERS = ("train", "val", "test", "valid", "validation")


def image_folder(settings: DataSettings, rules: DataRules, download: bool) -> Dataset:
    """Folders ``train/CLASS/*`` and ``val/CLASS/*``, or ``CLASS/*`` alone; images are resized and cropped to ``image_size``.

    The validation split is held out from ``train``: its share of each class, under split rule 1 a share of all images. The
    test split is ``val``, or ``test`` where there is no ``val``; its names are read at once, its images by ``load_test``.
    Without a folder ``train``, the folders are the classes, and a tenth of each class is the test split. A file of groups keeps
    the images of a group together.

    Raises:
        DataError: images are missing or damaged, or a class has too few of them.

    """
    assert settings.root is not None
    root, size = Path(settings.root), settings.size
    listing = _listing(root, rules)
    pool, held = _without_test(listing, root, settings)
    parts = _divided(pool, listing, settings, rules, root)
    train, validation = decode_parts(parts, size, rules.decoding)
    splits = {"training": train.split, "validation": validation.split}
    files = {name: _files(*part, root) for name, part in zip(splits, zip(parts, (train, validation), strict=True), strict=True)}
    equal = notes_of_equal(splits, files)

    def read_test() -> Split:
        samples = held or _listed_test(root, listing, rules).samples
        test = decode(samples, size, rules.decoding)
        compared, names = {**splits, "test": test.split}, {**files, "test": _files(samples, test, root)}
        for note in (*test.notes, *(note for note in notes_of_equal(compared, names) if note not in equal)):
            logger.warning(note)
        return test.split

    height, width = size
    return Dataset(
        settings.name,
        Task(3, height, width, len(listing.classes)),
        train.split,
        validation.split,
        augmentation_of(settings, rules),
        read_test,
        listing.classes,
        (
            *listing.notes,
            *train.notes,
            *validation.notes,
            *notes_of_missing(splits, listing.classes),
            *equal,
            *(_note_of_division(held, root) if held else _notes_of_test(root, listing, rules)),
        ),
        made_with=decoder(),
    )


def check_test_folder(settings: DataSettings, rules: DataRules) -> None:
    """Raise DataError if the test split of a folder of images is missing or has other classes; reads no image."""
    assert settings.root is not None
    root = Path(settings.root)
    if is_divided(root):
        _listed_test(root, list_images(root / "train", rules.decoding), rules)


def is_divided(root: Path) -> bool:
    """Whether a folder of images has a folder for each split; without it its folders are the classes."""
    try:
        folders = {path.name.lower() for path in root.iterdir() if path.is_dir()}
    except OSError:
        return True
    return not folders or not folders.isdisjoint(_SPLIT_FOLDERS)


def _listing(root: Path, rules: DataRules) -> ImageListing:
    """The images that training and validation images are drawn from."""
    return list_images(root / "train" if is_divided(root) else root, rules.decoding)


def _without_test(listing: ImageListing, root: Path, settings: DataSettings) -> tuple[tuple[Sample, ...], tuple[Sample, ...]]:
    """The images for training and validation, and those held out for the test where the folder has no splits."""
    samples = listing.samples
    if is_divided(root):
        return samples, ()
    tenth = max(1, len(samples) // 10, len(listing.classes))
    rest, held = _division(samples, listing, settings, tenth, None, root)
    return tuple(samples[i] for i in sorted(rest.tolist())), tuple(samples[i] for i in sorted(held.tolist()))


def _division(
    samples: Sequence[Sample],
    listing: ImageListing,
    settings: DataSettings,
    num_validation: int,
    num_train: int | None,
    root: Path,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Indices of the images that are kept and of those held out, by class, or by group where a file names groups."""
    labels, name = [label for _, label in samples], shown(listing.folder)
    if settings.group is not None:
        groups = groups_of_files([path for path, _ in samples], root, settings.group)
        return grouped_division(labels, groups, num_validation, num_train, settings.seed, name)
    return stratified_division(labels, listing.classes, num_validation, num_train, settings.seed, name)


def _note_of_division(held: Sequence[Sample], root: Path) -> tuple[str, ...]:
    return (
        f"{shown(root)} has no splits: {len(held):,} images, of each class its share, were drawn by data.seed as a test split, "
        "which a search does not read",
    )


def _divided(
    samples: Sequence[Sample], listing: ImageListing, settings: DataSettings, rules: DataRules, root: Path
) -> tuple[list[Sample], list[Sample]]:
    """The files of the training and of the validation split; raises DataError."""
    num_train, seed, name = settings.num_train, settings.seed, shown(listing.folder)
    tenth = max(1, len(samples) // 10)
    if rules.split == 1:
        num_validation = settings.num_validation or tenth
        order = torch.randperm(len(samples), generator=torch.Generator().manual_seed(seed))
        wanted = len(samples) if num_train is None else num_train + num_validation
        drawn = [samples[i] for i in order[:wanted].tolist()]
        chosen = hold_out_indices(len(drawn), num_validation, num_train, seed, name)
    else:
        num_validation = settings.num_validation or max(tenth, len(listing.classes))
        drawn = list(samples)
        chosen = _division(samples, listing, settings, num_validation, num_train, root)
    train, validation = ([drawn[i] for i in indices.tolist()] for indices in chosen)
    return train, validation


def _files(samples: Sequence[Sample], decoded: Decoded, root: Path) -> list[str]:
    """Names of the decoded files, relative to ``root``."""
    damaged, above = set(decoded.damaged), os.path.join(root, "")  # noqa: PTH118
    return [shown(path.removeprefix(above)) for path, _ in samples if path not in damaged]


def _listed_test(root: Path, train: ImageListing, rules: DataRules) -> ImageListing:
    """The names of the test images; raises DataError if there are none, or their classes are not those of ``train``."""
    folder = next((root / name for name in _TEST_FOLDERS if (root / name).is_dir()), None)
    if folder is None:
        there = listed(sorted(shown(Path(path.name)) for path in root.iterdir() if path.is_dir()))
        raise DataError(
            f"there is no test split: {shown(root)} has no folder {' or '.join(_TEST_FOLDERS)} (its folders: {there})"
        )
    test = list_images(folder, rules.decoding)
    if test.classes != train.classes:
        missing = [name for name in train.classes if name not in test.classes]
        added = [name for name in test.classes if name not in train.classes]
        differences = [f"without {listed(missing)}"] * bool(missing) + [f"with {listed(added)} besides"] * bool(added)
        raise DataError(
            f"the test split {shown(folder)} has other classes than {shown(train.folder)}: {', '.join(differences)}. Give both "
            "folders the same classes"
        )
    return test


def _notes_of_test(root: Path, train: ImageListing, rules: DataRules) -> tuple[str, ...]:
    """Sentences about a test split that cannot be read, or that is not the only one."""
    try:
        found = _listed_test(root, train, rules)
    except DataError as error:
        text = str(error)
        return (f"{text[:1].upper()}{text[1:]}. A search does not need a test split, a full training (retrain) does",)
    others = [name for name in _TEST_FOLDERS if (root / name).is_dir() and name != found.folder.name]
    used = f"The test split is the folder {found.folder.name}; the folder {listed(others)} is not read"
    return (*found.notes, *([used] if others else []))


def decoder() -> str:
    """The software that decodes images."""
    from PIL import __version__

    return f"Pillow {__version__} on {platform.machine()}"
