"""Images of files that a CSV list names, with their labels."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from attn_nas.data.augment import augmentation_of
from attn_nas.data.dataset import Dataset, Split
from attn_nas.data.decoding import decode_parts
from attn_nas.data.groups import check_groups_named, read_table
from attn_nas.data.image_file import read_opened
from attn_nas.data.image_folder import decoder
from attn_nas.data.items import fitted
from attn_nas.data.labels import numbered
from attn_nas.data.listing import shown
from attn_nas.data.own import OwnData, own_dataset
from attn_nas.data.rules import DataRules
from attn_nas.data.slices import is_slice, read_slice, windowed
from attn_nas.data.splits import grouped_division, notes_of_equal, notes_of_missing, stratified_division
from attn_nas.errors import DataError
from attn_nas.format import listed
from attn_nas.space.data_settings import DataSettings
from attn_nas.space.task import Task, TaskKind

logger = logging.getLogger(__name__)
_PARTS = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "val": "validation",
    "valid": "validation",
    "test": "test",
}
"""Values of the column split, in small letters, and what they mean."""
Row = Mapping[str, str]


def image_list(settings: DataSettings, rules: DataRules, download: bool) -> Dataset:
    """The files that a CSV file names in its columns ``path`` and ``label``, resized and cropped to ``image_size``.

    The column ``split`` says ``train``, ``validation`` or ``test``; without validation images they are held out, by class or by
    the column of groups. Several classes of an image are separated by ``|``. Files of NumPy and NIfTI have values, which
    ``window`` scales; ``slice`` is the number of a slice of a volume.

    Raises:
        DataError: the file or an image cannot be read, or a label is missing.

    """
    table, rows = _table(settings)
    parts = _divided(rows, settings, table)
    root = Path(settings.root or ".")
    if any(is_slice(Path(row["path"])) for row in rows):
        return _of_slices(parts, settings, rules, root)
    samples = {part: [(str(root / row["path"]), 0) for row in each] for part, each in parts.items()}
    kind: TaskKind = "multi_label" if any("|" in row["label"] for row in rows) else "classification"
    labels = {part: [_label(row, kind) for row in each] for part, each in parts.items()}
    numbering = numbered(labels, kind, None)
    both = decode_parts([samples["train"], samples["validation"]], settings.size, rules.decoding)
    decoded = dict(zip(("train", "validation"), both, strict=True))

    def split(part: str, found: Any) -> Split:
        gone = set(found.damaged)
        kept = [place for place, (path, _) in enumerate(samples[part]) if path not in gone]
        return Split(found.split.images, numbering.labels[part][kept])

    train, validation = (split(part, found) for part, found in decoded.items())
    named = {"training": train, "validation": validation}
    equal = notes_of_equal(named)

    def read_test() -> Split:
        if not samples["test"]:
            raise DataError(_without_test(table))
        (found,) = decode_parts([samples["test"]], settings.size, rules.decoding)
        test = split("test", found)
        for note in (*found.notes, *(note for note in notes_of_equal({**named, "test": test}) if note not in equal)):
            logger.warning(note)
        return test

    height, width = settings.size
    return Dataset(
        settings.name,
        Task(3, height, width, len(numbering.classes), kind),
        train,
        validation,
        augmentation_of(settings, rules),
        read_test,
        numbering.classes,
        (
            *(note for found in decoded.values() for note in found.notes),
            *numbering.notes,
            *notes_of_missing(named, numbering.classes),
            *equal,
            *(
                []
                if samples["test"]
                else [f"{_without_test(table)}. A search does not need it, a full training (retrain) does"]
            ),
        ),
        made_with=decoder(),
    )


def check_test_list(settings: DataSettings, rules: DataRules) -> None:
    """Raise DataError if the list names no test images; reads no image."""
    table, rows = _table(settings)
    if not any(_part(row, table) == "test" for row in rows):
        raise DataError(_without_test(table))


def _without_test(table: Path) -> str:
    return f"There is no test split: no line of {shown(table)} says test in the column split"


def _table(settings: DataSettings) -> tuple[Path, list[dict[str, str]]]:
    """The path of the list, and its rows; raises DataError."""
    assert settings.root is not None
    root = Path(settings.root)
    if settings.file is not None:
        table = root / settings.file
    else:
        found = sorted(root.glob("*.csv"))
        if len(found) != 1:
            raise DataError(f"{shown(root)} has {len(found)} .csv files: name the list with data.file, relative to this folder")
        table = found[0]
    rows = read_table(table, ("path", "label"))
    for number, row in enumerate(rows, start=2):
        for name in ("path", "label"):
            if not row[name].strip():
                raise DataError(f"{shown(table)}, line {number}: the {name} is missing: write it, or remove the line")
    if repeated := [path for path, count in Counter((row["path"], row.get("slice", "")) for row in rows).items() if count > 1]:
        names = listed([path for path, _ in repeated], 3)
        raise DataError(f"{shown(table)} names {names} more than once: keep one line for each image")
    missing = [row["path"] for row in rows if not (root / row["path"]).is_file()]
    if missing:
        raise DataError(
            f"{len(missing):,} of the {len(rows):,} files in {shown(table)} are missing: {listed(missing, 3)}. Paths are "
            f"relative to {shown(root)}"
        )
    return table, rows


def _part(row: Row, table: Path) -> str:
    given = row.get("split", "train").strip().lower()
    if given not in _PARTS:
        raise DataError(f"{shown(table)}: the split of {row['path']} is {given!r}: write train, validation or test")
    return _PARTS[given]


def _divided(rows: Sequence[Row], settings: DataSettings, table: Path) -> dict[str, list[Row]]:
    """The rows of each split; validation rows are held out where the list has none."""
    parts: dict[str, list[Row]] = {"train": [], "validation": [], "test": []}
    for row in rows:
        parts[_part(row, table)].append(row)
    column = settings.group or ("group" if "group" in rows[0] else None)
    if column is not None and column not in rows[0]:
        raise DataError(f"{shown(table)} has no column {column}, which data.group names: its columns are {', '.join(rows[0])}")
    if column is not None:
        check_groups_named(rows, column, table)
        _check_groups(parts, column, table)
    if not parts["validation"]:
        pool = parts["train"]
        names = sorted({row["label"] for row in pool})
        single = [names.index(row["label"]) for row in pool]
        tenth = settings.num_validation or max(1, len(pool) // 10)
        name = shown(table)
        if column is not None:
            groups = [row[column] for row in pool]
            chosen = grouped_division(single, groups, tenth, settings.num_train, settings.seed, name)
        elif any("|" in name for name in names):
            chosen = stratified_division([0] * len(pool), ["any"], tenth, settings.num_train, settings.seed, name)
        else:
            number = settings.num_validation or max(tenth, len(names))
            chosen = stratified_division(single, names, number, settings.num_train, settings.seed, name)
        parts["train"], parts["validation"] = ([pool[i] for i in indices.tolist()] for indices in chosen)
    elif settings.num_train or settings.num_validation:
        raise DataError(f"{shown(table)} names its validation images: leave data.num_train and data.num_validation out")
    return parts


def _check_groups(parts: Mapping[str, Sequence[Row]], column: str, table: Path) -> None:
    """Raise DataError if the column split divides a group."""
    seen: dict[str, str] = {}
    for part, rows in parts.items():
        for row in rows:
            if seen.setdefault(row[column], part) != part:
                raise DataError(
                    f"{shown(table)} has the {column} {row[column]} in {seen[row[column]]} and in {part}: its images are "
                    "alike, and scores would be too good. Put all of a group into one split"
                )


def _label(row: Row, kind: str) -> Any:
    """The label of a row: a name, a number, or a list of names."""
    text = row["label"].strip()
    if kind == "multi_label":
        return [name.strip() for name in text.split("|") if name.strip()]
    return text


def _of_slices(parts: Mapping[str, Sequence[Row]], settings: DataSettings, rules: DataRules, root: Path) -> Dataset:
    """Images of which some are files of values, with as many channels as these have."""
    kind = "multi_label" if any("|" in row["label"] for rows in parts.values() for row in rows) else "classification"

    def items(rows: Sequence[Row]) -> Any:
        return ((_values(root / row["path"], row, settings), _label(row, kind)) for row in rows)

    own = OwnData(items(parts["train"]), items(parts["validation"]), items(parts["test"]) if parts["test"] else None)
    plain = settings.model_copy(update={"num_train": None, "num_validation": None})
    dataset = own_dataset(own, plain, rules)
    return replace(dataset, augmentation=augmentation_of(settings, rules))


def _grey(path: Path) -> NDArray[np.uint16]:
    """The pixels ``(H, W)`` of an image in grey, from 0 to 65535; raises DataError."""
    mode, values = read_opened(path, _pixels)
    if mode == "F":
        raise DataError(f"{shown(path)} is an image of floats: save it as .npy, and name its range with data.window")
    if not mode.startswith("I"):
        return values.astype(np.uint16) * 257
    if not (values.min() >= 0 and values.max() <= 65535):
        raise DataError(f"{shown(path)} has values from {values.min()} to {values.max()}: integers must be from 0 to 65535")
    return values.astype(np.uint16)


def _pixels(opened: Image.Image) -> tuple[str, NDArray[Any]]:
    """The mode of an image, and its values ``(H, W)``: those of more than 8 bits as they are, others in grey."""
    has_more = opened.mode == "F" or opened.mode.startswith("I")
    return opened.mode, np.asarray(opened if has_more else opened.convert("L"))


def _values(path: Path, row: Row, settings: DataSettings) -> Any:
    if not is_slice(path):
        return fitted(_grey(path)[None], settings.size)
    number = row.get("slice", "").strip()
    if number and not number.isdecimal():
        raise DataError(f"the slice of {shown(path)} is {number!r}: write its number, from 0")
    values = read_slice(path, int(number) if number else None)
    if settings.window is not None:
        return fitted(windowed(values, settings.window, path), settings.size)
    if values.dtype == np.uint8:
        return fitted(values, settings.size)
    raise DataError(
        f"{shown(path)} has values from {values.min():g} to {values.max():g} of type {values.dtype}: say with data.window "
        "which of them become 0 and 1, as [lowest, highest]"
    )
