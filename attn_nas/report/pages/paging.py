"""Divides the rows of a table into pages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Generic, TypeVar

Row = TypeVar("Row")


@dataclass(frozen=True)
class Pages(Generic[Row]):
    """The ``rows`` of page ``number`` (from 1) of ``count`` pages, of ``total`` rows in all."""

    rows: Sequence[Row]
    number: int
    count: int
    total: int

    @classmethod
    def of(cls, found: Sequence[Row], size: int | None, number: int) -> Pages[Row]:
        """Page ``number``, or the nearest that exists, of all rows ``found``, ``size`` on a page; None: all on one page."""
        count = max(1, ceil(len(found) / size)) if size else 1
        number = min(max(1, number), count)
        rows = found[(number - 1) * size : number * size] if size else found
        return cls(rows, number, count, len(found))


def page_asked_for(written: str) -> int:
    """The number of a page as it stands in an address; 1 for anything that is no number."""
    return int(written) if written.isascii() and written.isdigit() and len(written) < 10 else 1
