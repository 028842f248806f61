"""Groups of images, such as those of a patient, which a hold-out never divides."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from attn_nas.data.listing import shown
from attn_nas.errors import DataError
from attn_nas.format import listed


def read_table(path: Path, needed: Sequence[str]) -> list[dict[str, str]]:
    """The rows of a CSV file with a line of names, separated by commas, semicolons or tabs.

    Raises:
        DataError: it cannot be read, has no rows, or lacks one of the ``needed`` columns.

    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            first = file.readline()
            file.seek(0)
            separator = max(",;\t", key=first.count)
            rows = [*csv.DictReader(file, delimiter=separator, strict=True)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(
            f"{shown(path)} cannot be read as a CSV file in UTF-8: {getattr(error, 'strerror', None) or error}"
        ) from None
    if not rows:
        raise DataError(f"{shown(path)} has no rows: give a line of names ({', '.join(needed)}), and a line for each image")
    has = [name for name in rows[0] if name is not None]
    if missing := [name for name in needed if name not in has]:
        raise DataError(f"{shown(path)} has no column {listed(missing)}: its columns are {', '.join(has)}")
    for number, row in enumerate(rows, start=2):
        if None in row or None in row.values():
            raise DataError(f"{shown(path)}, line {number}: it has not as many values as there are names in the first line")
    return rows


def check_groups_named(rows: Sequence[Mapping[str, str]], column: str, table: Path) -> None:
    """Raise DataError if a row of ``table`` names no group in its ``column``: these images would count as one group."""
    blank = [str(number) for number, row in enumerate(rows, start=2) if not row[column].strip()]
    if blank:
        raise DataError(
            f"{shown(table)} names no {column} in {len(blank):,} of its {len(rows):,} lines (line {listed(blank, 3)}): name "
            "it, and give an image that belongs to no other a name of its own"
        )


def groups_of_files(paths: Sequence[str], root: Path, file: str) -> list[str]:
    """The group of each of the ``paths``, from a CSV file, relative to ``root``, with the columns ``path`` and ``group``.

    Raises:
        DataError: the file cannot be read, or does not name an image.

    """
    table = root / file
    rows = read_table(table, ("path", "group"))
    check_groups_named(rows, "group", table)
    groups = {str(root / row["path"]): row["group"] for row in rows}
    missing = [shown(Path(path).relative_to(root)) for path in paths if path not in groups]
    if missing:
        raise DataError(
            f"{shown(table)} has no group for {len(missing):,} of {len(paths):,} images: {listed(missing, 3)}. Add a line for "
            f"each, with the path relative to {shown(root)}"
        )
    return [groups[path] for path in paths]
