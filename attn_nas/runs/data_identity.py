"""The identity of a data set: what a run keeps of its data to recognise it."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from attn_nas.data import Dataset, Split
from attn_nas.errors import DataError, RunError
from attn_nas.runs.folder import RunFolder
from attn_nas.space.task import Task
from attn_nas.training.images import channel_statistics

logger = logging.getLogger(__name__)
_TOLERANCE = 1e-4
"""Largest relative difference between statistics of the same images, which hardware may add up in another order."""
_TEST_DOCUMENT = "test_split.json"
"""File in a run folder with the digest of the test split, from the first time that it was read."""
_AT_A_TIME = 1024


@dataclass(frozen=True)
class Normalization:
    """``mean`` and standard deviation ``std`` of the training pixels, one per channel; pixels are from 0 to 1."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def of(cls, dataset: Dataset) -> Normalization:
        """That of the training images of ``dataset``."""
        mean, std = channel_statistics(dataset.train)
        scale = dataset.train.scale
        return cls(tuple((mean.flatten() / scale).tolist()), tuple((std.flatten() / scale).tolist()))

    def is_close_to(self, other: Normalization) -> bool:
        """Whether both may be of the same images."""
        return all(
            len(mine) == len(theirs) and np.allclose(mine, theirs, rtol=_TOLERANCE)
            for mine, theirs in ((self.mean, other.mean), (self.std, other.std))
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {name: [*values] for name, values in asdict(self).items()}


@dataclass(frozen=True)
class SplitDigest:
    """The number of ``images`` of a split, and SHA-256 of its ``labels`` and of its ``pixels``, both in order."""

    images: int
    labels: str
    pixels: str

    @classmethod
    def of(cls, split: Split) -> SplitDigest:
        """That of ``split``, whose images are on the CPU."""
        labels = hashlib.sha256()
        for part in split.labels.split(_AT_A_TIME):  # masks are as large as images
            labels.update(part.numpy().astype("<i8").tobytes())
        return cls(len(split), labels.hexdigest(), hashlib.sha256(b"".join(split.hashes)).hexdigest())

    def changes(self, now: SplitDigest, name: str) -> list[str]:
        """What of the split with this ``name`` is not as it was, as parts of a sentence."""
        if self.images != now.images:
            return [f"there were {self.images:,} {name} images, now there are {now.images:,}"]
        changed = [f"the pixels of {name} images differ"] * (self.pixels != now.pixels)
        return changed + [f"the labels of {name} images differ"] * (self.labels != now.labels)


@dataclass(frozen=True)
class DataDigest:
    """Digests of the ``train`` and the ``validation`` split, and the software that the pixels were ``made_with``."""

    train: SplitDigest
    validation: SplitDigest
    made_with: str

    @classmethod
    def of(cls, dataset: Dataset) -> DataDigest:
        """That of ``dataset``."""
        return cls(SplitDigest.of(dataset.train), SplitDigest.of(dataset.validation), dataset.made_with)

    def changes(self, now: DataDigest) -> list[str]:
        """What is not as it was, as parts of a sentence."""
        return self.train.changes(now.train, "training") + self.validation.changes(now.validation, "validation")

    def with_pixels_of(self, other: DataDigest) -> DataDigest:
        """The same digest with the pixels of ``other``."""
        return replace(
            self,
            train=replace(self.train, pixels=other.train.pixels),
            validation=replace(self.validation, pixels=other.validation.pixels),
        )


_OTHER_STATISTICS = "mean and deviation of the training pixels differ"
_NO_DIGEST = (
    "The run was begun by a version that kept no digest of its images: whether all images and labels are as they were cannot "
    "be checked"
)


def _made_otherwise(before: str, now: str, which: str = "") -> str:
    return (
        f"Pixels {which}differ from those that the run was begun with. They were made with {before}, now with {now}: whether "
        "the images were changed as well cannot be checked"
    )


class Comparison(NamedTuple):
    """Parts of a sentence about ``changes`` of a data set since a run was begun; sentences about what cannot be compared."""

    changes: tuple[str, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class DataIdentity:
    """What a run keeps of its data set.

    Shape of the images and number of classes, statistics of the pixels, and, in runs that have them, the names of the
    ``classes`` in the order of their labels and a ``digest`` of all training and validation images.
    """

    task: Task
    normalization: Normalization | None
    classes: tuple[str, ...] | None
    digest: DataDigest | None

    @classmethod
    def of(cls, dataset: Dataset) -> DataIdentity:
        """That of ``dataset``."""
        return cls(dataset.task, Normalization.of(dataset), dataset.classes, DataDigest.of(dataset))

    def compare(self, dataset: Dataset) -> Comparison:
        """What of ``dataset`` is not as it was.

        Without a digest, statistics of the training pixels are compared, up to rounding. Pixels that other software has made
        may differ, if numbers, labels and statistics do not; a note says so.
        """
        classes = _class_changes(self.classes, dataset.classes) if self.classes is not None else []
        if self.task != dataset.task:
            classes.append(f"images and classes were {_shape(self.task)}, now they are {_shape(dataset.task)}")
        if classes:
            return Comparison(tuple(classes))
        assert self.normalization  # a run that was begun with data
        is_close = self.normalization.is_close_to(Normalization.of(dataset))
        if self.digest is None:
            return Comparison((), (_NO_DIGEST,)) if is_close else Comparison((_OTHER_STATISTICS,))
        now = DataDigest.of(dataset)
        changes, others = self.digest.changes(now), self.digest.with_pixels_of(now).changes(now)
        if changes and not others and is_close and self.digest.made_with != now.made_with:
            return Comparison((), (_made_otherwise(self.digest.made_with, now.made_with),))
        return Comparison(tuple(changes) if changes or is_close else (_OTHER_STATISTICS,))


def with_known_test(dataset: Dataset, folder: RunFolder) -> Dataset:
    """``dataset`` whose test split is compared with the one that the run in ``folder`` has read first.

    Its ``load_test`` reads the images once. The first time for a run, their digest is written into the run folder.

    Raises:
        DataError: by ``load_test``, if the test split is missing or has changed.
        RunError: by ``load_test``, if the digest cannot be read or written.

    """
    loaded: list[Split] = []

    def load() -> Split:
        if not loaded:
            split = dataset.load_test()
            _check_test(split, dataset, folder)
            loaded.append(split)
        return loaded[0]

    return replace(dataset, load_test=load)


def _check_test(split: Split, dataset: Dataset, folder: RunFolder) -> None:
    now, path = SplitDigest.of(split), folder.path / _TEST_DOCUMENT
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        before, made_with = SplitDigest(**stored["digest"]), stored["made_with"]
    except FileNotFoundError:
        folder.write_document(_TEST_DOCUMENT, {"digest": asdict(now), "made_with": dataset.made_with})
        return
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise RunError(f"{path} cannot be read ({error}): restore it, or delete it and all results of full trainings") from None
    known = before if made_with == dataset.made_with else replace(before, pixels=now.pixels)
    if known != before:
        logger.warning(_made_otherwise(made_with, dataset.made_with, "of test images "))
    if changes := known.changes(now, "test"):
        raise DataError(
            f"the test split of {dataset.name} is not the one that earlier trainings of the run were scored on: "
            f"{'; '.join(changes)}. Restore it, or begin a new run"
        )


def _shape(task: Task) -> str:
    return f"{task.channels} x {task.height} x {task.width} in {task.num_classes} classes"


def _class_changes(before: Sequence[str], now: Sequence[str]) -> list[str]:
    if tuple(before) == tuple(now):
        return []
    gone, new = [name for name in before if name not in now], [name for name in now if name not in before]
    parts = [f"classes are gone: {', '.join(gone)}"] * bool(gone) + [f"classes are new: {', '.join(new)}"] * bool(new)
    return parts or [f"the classes have another order: {', '.join(before)} before, {', '.join(now)} now"]
