"""What a documented figure consists of, and how its numbers are written."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from attn_nas.stats.uncertainty import Estimate, Mean

Document = Mapping[str, Any]
Column = tuple[str, Callable[[Any], str]]
"""The heading of a column, and the text of its cell for a row."""

RESULTS = Path(__file__).parents[1] / "results"
BENCHMARKS = "docs/benchmarks.md"


class FigureError(Exception):
    """A figure cannot be rebuilt; the message says why."""


@dataclass(frozen=True)
class Table:
    """A Markdown table of a results document; ``page`` is the documentation's page that has it, if one has."""

    title: str
    rows: Callable[[Document], Iterable[Any]]
    columns: Sequence[Column] | Callable[[Document], Sequence[Column]]
    page: str | None = BENCHMARKS

    def lines(self, document: Document) -> list[str]:
        """Heading, rule and rows; nothing if the document has no rows for this table, such as a ``--quick`` one."""
        rows = list(self.rows(document))
        if not rows:
            return []
        columns = self.columns(document) if callable(self.columns) else self.columns
        cells = [[heading for heading, _ in columns], ["---"] * len(columns)]
        cells += [[write(row) for _, write in columns] for row in rows]
        return ["|" + "|".join(f" {cell} " if cell else " " for cell in line) + "|" for line in cells]


@dataclass(frozen=True)
class Step:
    """A command of a measurement from nothing; the last one of a figure prints the document.

    ``{to}`` in ``words`` is the folder for new results; ``threads`` is OMP_NUM_THREADS, which is unset for None. ``quick`` is
    the command of a quick measurement; a script's has ``--quick`` added where nothing else is said.
    """

    words: str
    quick: str = ""
    threads: int | None = 1

    def command(self, *, quick: bool, to: Path | str = "FOLDER") -> str:
        """The words of the command line."""
        text = (self.quick or f"{self.words} --quick") if quick else self.words
        return text.replace("{to}", str(to))


@dataclass(frozen=True)
class Figure:
    """Tables and pictures of one results file."""

    name: str
    about: str
    results: str
    steps: Sequence[Step]
    tables: Sequence[Table]
    pictures: Mapping[str, Callable[[Document], str]] = field(default_factory=dict)
    """By file name: what draws the picture, as SVG."""

    def load(self, path: Path | None = None) -> Document:
        """The document at ``path``, or the committed one; of a file of JSON lines, all of them under ``lines``.

        Raises:
            FigureError: it is missing, or is no such document.

        """
        path = path or RESULTS / self.results
        try:
            text = path.read_text(encoding="utf-8")
            found = {"lines": [json.loads(line) for line in text.splitlines()]} if path.suffix == ".jsonl" else json.loads(text)
        except OSError as error:
            raise FigureError(f"{path}: cannot be read: {error.strerror}") from None
        except ValueError as error:
            raise FigureError(f"{path}: is damaged: {error}") from None
        if not isinstance(found, dict):
            raise FigureError(f"{path}: is damaged: a JSON object is expected")
        return found

    def markdown(self, document: Document) -> str:
        """All tables, each below its title.

        Raises:
            FigureError: the document lacks what a table shows.

        """
        parts = []
        for table in self.tables:
            lines = self._made(table.lines, document)
            parts.append("\n".join([f"### {table.title}", "", *(lines or ["Not in these results."])]))
        return "\n\n".join(parts)

    def draw(self, document: Document, to: Path) -> list[Path]:
        """Draw the pictures into the folder ``to``; their paths.

        Raises:
            FigureError: the document lacks what a picture shows, or the folder cannot be written.

        """
        drawn = {to / name: self._made(draw, document) for name, draw in self.pictures.items()}
        try:
            for path, svg in drawn.items():
                to.mkdir(parents=True, exist_ok=True)
                path.write_text(svg, encoding="utf-8")
        except OSError as error:
            raise FigureError(f"{to}: cannot be written: {error.strerror}") from None
        return [*drawn]

    def _made(self, make: Callable[[Document], Any], document: Document) -> Any:
        try:
            return make(document)
        except (LookupError, TypeError, ValueError, AttributeError, StopIteration) as error:
            reason = f"{type(error).__name__}: {error}"
            raise FigureError(f"the results of {self.name} ({self.results}) lack what it shows ({reason})") from None


def at(*path: Any) -> Callable[[Any], Any]:
    """What finds a value in nested data by keys and indices."""

    def find(data: Any) -> Any:
        for key in path:
            data = data[key]
        return data

    return find


def cell(*path: Any) -> Callable[[Any], str]:
    """What writes the text found at ``path``."""
    find = at(*path)
    return lambda row: str(find(row))


def number(*path: Any, digits: int = 2, signed: bool = False) -> Callable[[Any], str]:
    """What writes the number found at ``path``."""
    find = at(*path)
    return lambda row: decimal(find(row), digits, signed=signed)


def percentage(*path: Any, digits: int = 1) -> Callable[[Any], str]:
    """What writes the fraction found at ``path`` in percent."""
    find = at(*path)
    return lambda row: percent(find(row), digits)


def interval(*path: Any) -> Callable[[Any], str]:
    """What writes the estimate found at ``path`` with its interval; nothing for None."""
    find = at(*path)
    return lambda row: "" if find(row) is None or find(row)["value"] is None else str(Estimate(**find(row)))


def decimal(value: float | None, digits: int = 2, *, signed: bool = False) -> str:
    """A number with thousands separators; nothing for None."""
    return "" if value is None else f"{value:{'+' if signed else ''},.{digits}f}"


def percent(value: float | None, digits: int = 1) -> str:
    """A fraction (0 to 1) as a percentage; nothing for None."""
    return "" if value is None else f"{100 * value:.{digits}f} %"


def significant(value: float) -> str:
    """Two decimals below 1, one below 10, none above."""
    return decimal(value, 2 if value < 1 else 1 if value < 10 else 0)


def mean(found: Mapping[str, Any], digits: int = 2, *, signed: bool = False) -> str:
    """A fraction's mean and standard error in hundredths: ``9.91 ± 0.01``."""
    error = found["standard_error"]
    return Mean(found["mean"], float("nan") if error is None else error).hundredths(digits, signed=signed)


def code(text: str) -> str:
    """``text`` as code in a cell."""
    return f"`{text.replace('|', chr(92) + '|')}`"


def first(size: int) -> Sequence[Column]:
    """Columns for rows of ``size`` texts, without headings."""
    return [("", partial(_item, index)) for index in range(size)]


def _item(index: int, row: Sequence[str]) -> str:
    return row[index]
