"""The labels of images: recognises their kind, and numbers the classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from attn_nas.errors import DataError
from attn_nas.format import listed
from attn_nas.space.task import TaskKind

_MOST_MISSING = 0.5
"""Share of the numbers up to the largest label that may be without an image; beyond it labels are numbers of another kind."""


@dataclass(frozen=True)
class Numbering:
    """Labels of several splits as numbers: ``labels`` by split, the names of the ``classes``, ``notes`` for the user."""

    labels: dict[str, Tensor]
    classes: tuple[str, ...]
    notes: tuple[str, ...] = ()


def plain_label(label: Any, index: int, name: str) -> Any:  # noqa: PLR0912  one branch for each type
    """A label as a Python int, a text, a list of texts, or an array: of zeros and ones, or a mask.

    Raises:
        DataError: it is missing, negative, or nothing that is known.

    """
    where = f"the label of item {index:,} of the {name}"
    if isinstance(label, Image.Image):
        return np.asarray(label)
    if isinstance(label, Tensor):
        label = label.detach().cpu().numpy()
    if isinstance(label, np.generic):
        label = label.item()
    if isinstance(label, np.ndarray):
        if label.ndim <= 1 and label.size == 1:
            label = label.reshape(-1)[0].item()
        elif label.ndim == 1 and label.dtype.kind in "US":
            label = [str(each) for each in label]
        else:
            return label
    if label is None or (isinstance(label, float) and np.isnan(label)) or label == "":
        raise DataError(f"{where} is missing: remove the image, or give it a label")
    if isinstance(label, bool):
        return int(label)
    if isinstance(label, float) and label.is_integer():
        label = int(label)
    if isinstance(label, int):
        if label < 0:
            raise DataError(f"{where} is {label}: labels are 0 or more; remove images without a label")
        return label
    if isinstance(label, bytes):
        label = label.decode(errors="replace")
    if isinstance(label, str):
        return label
    if isinstance(label, list | tuple):
        if all(isinstance(each, str) for each in label):
            return [*label]
        array = np.asarray(label)
        if array.ndim in (1, 2) and array.dtype.kind in "biuf":
            return array
    raise DataError(
        f"{where} is {label!r:.60}: give the number or the name of a class, zeros and ones for several classes, or a mask"
    )


def kind_of(label: Any) -> TaskKind:
    """The kind of task of a label of `plain_label`."""
    if isinstance(label, np.ndarray) and label.ndim >= 2:
        return "segmentation"
    return "multi_label" if isinstance(label, np.ndarray | list) else "classification"


def numbered(labels: dict[str, list[Any]], kind: TaskKind, given: Sequence[str] | None) -> Numbering:
    """Labels by split as tensors: ``(N,)``, or zeros and ones ``(N, K)`` for several classes per image.

    Names are numbered in the order of ``given``, else of the alphabet. Numbers that are not 0, 1, 2 and so on are numbered in
    their order; a note says so.

    Raises:
        DataError: labels of several kinds, a class that is not given, or a class in validation alone.

    """
    return _sets(labels, given) if kind == "multi_label" else _single(labels, given)


def _single(labels: dict[str, list[Any]], given: Sequence[str] | None) -> Numbering:
    every = [label for each in labels.values() for label in each]
    kinds = {type(label).__name__ for label in every}
    if len(kinds) > 1:
        raise DataError(f"some labels are {' and some are '.join(sorted(kinds))}: give all as numbers, or all as names")
    found = sorted(set(every))
    known = set(labels["train"])
    for name, each in labels.items():
        if unknown := sorted(set(each) - known):
            raise DataError(
                f"the {name} data have labels that no training image has: {listed([*map(str, unknown)])}. Give training images "
                "of these classes, or leave them out"
            )
    notes: list[str] = []
    if kinds == {"str"}:
        names = [*given] if given else found
        if unknown := [label for label in found if label not in names]:
            raise DataError(f"the labels {listed(unknown)} are not among the classes {listed(names)}")
    elif given or (found[0] == 0 and found[-1] + 1 <= len(found) / _MOST_MISSING):
        number = len(given) if given else found[-1] + 1
        if found[-1] >= number and not (given and found[0] == 1 and found[-1] == number):
            raise DataError(f"a label is {found[-1]}, but there are {number} classes: labels are 0..{number - 1}")
        shift = int(found[-1] >= number)
        if shift:
            notes.append(f"Labels are from 1 to {number}: they are numbered from 0")
        positions = {label: label - shift for label in found}
        names = [*given] if given else [*map(str, range(number))]
        return Numbering({name: _tensor(each, positions) for name, each in labels.items()}, tuple(names), tuple(notes))
    else:
        names = [*map(str, found)]
        notes.append(f"Labels are {listed(names, 5)}: they are numbered from 0 in this order, and keep their names")
        return Numbering(
            {name: _tensor(each, {label: place for place, label in enumerate(found)}) for name, each in labels.items()},
            tuple(names),
            tuple(notes),
        )
    positions = {label: place for place, label in enumerate(names)}
    return Numbering({name: _tensor(each, positions) for name, each in labels.items()}, tuple(names), tuple(notes))


def _tensor(labels: Sequence[Any], positions: dict[Any, int]) -> Tensor:
    return torch.tensor([positions[label] for label in labels], dtype=torch.int64)


def _sets(labels: dict[str, list[Any]], given: Sequence[str] | None) -> Numbering:
    every = [label for each in labels.values() for label in each]
    if any(isinstance(label, list) for label in every):
        if not all(isinstance(label, list) for label in every):
            raise DataError(
                "some labels are lists of names or empty, and some are lists of numbers: give the names of the classes, or one "
                "zero or one for each class"
            )
        named = sorted({name for label in every for name in label})
        names = [*given] if given else named
        if unknown := [name for name in named if name not in names]:
            raise DataError(f"the labels {listed(unknown)} are not among the classes {listed(names)}")
        rows = {
            split: np.array([[name in label for name in names] for label in each], dtype=np.uint8)
            for split, each in labels.items()
        }
        return Numbering({split: torch.from_numpy(each) for split, each in rows.items()}, tuple(names))
    sizes = {len(label) for label in every if isinstance(label, np.ndarray)}
    if len(sizes) > 1 or not all(isinstance(label, np.ndarray) for label in every):
        raise DataError("labels have different lengths: give one zero or one for each class in every label")
    if not all(np.isin(label, (0, 1)).all() for label in every):
        raise DataError("labels that are lists of numbers must be zeros and ones, one for each class")
    names = [*given] if given else [*map(str, range(sizes.pop()))]
    return Numbering({name: torch.from_numpy(np.stack(each).astype(np.uint8)) for name, each in labels.items()}, tuple(names))
