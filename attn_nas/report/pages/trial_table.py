"""Table of a run's trials: sorted, filtered, in pages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from math import inf
from typing import get_args

from attn_nas.report.pages.paging import Pages, page_asked_for
from attn_nas.runs.record import Record, State
from attn_nas.runs.run import Run

PAGE_SIZE = 25
STATES: tuple[str, ...] = tuple(state for state in get_args(State) if state != "duplicate")
COLUMNS: dict[str, tuple[str, Callable[[Record], float]]] = {
    "number": ("trial", lambda record: record.number),
    "accuracy": ("accuracy", lambda record: _scored(record, -inf)),
    "flops": ("added FLOPs", lambda record: record.cost.flops),
    "params": ("parameters", lambda record: record.cost.params),
    "seconds": ("trained, s", lambda record: record.result.seconds if record.result else -inf),
}
"""Columns that the table can be sorted by: heading and value."""
_DROPPED = ("sort", "order", "page")
"""Parameters that links to another order or page replace; they keep all others, which are filters and choices of the page."""


def _scored(record: Record, otherwise: float) -> float:
    reached = record.result or record.partial
    return reached.accuracy if reached else otherwise


@dataclass(frozen=True)
class TrialTable:
    """Trials of ``run``, filtered and sorted by ``query``, in pages of ``size`` trials; None: all on one page.

    Parameters are ``q`` (text), ``state``, ``mechanism``, ``seed``, ``sort``, ``order`` and ``page``; invalid values are
    ignored.
    """

    run: Run
    query: Mapping[str, str]
    size: int | None = PAGE_SIZE

    @property
    def sort(self) -> str:
        """Column that the table is sorted by."""
        found = self.query.get("sort", "")
        return found if found in COLUMNS else "number"

    @property
    def descends(self) -> bool:
        """True if the largest value is first."""
        return self.query.get("order", "desc") != "asc"

    @cached_property
    def matching(self) -> list[Record]:
        """Trials that pass the filters, sorted."""
        text, state = self.query.get("q", "").strip().lower(), self.query.get("state", "")
        mechanism, seed = self.query.get("mechanism", ""), self.query.get("seed", "")
        found = [
            record
            for record in self.run.records
            if record.state in STATES
            and (not state or record.state == state)
            and (not seed or str(record.seed) == seed)
            and (not mechanism or any(each and each.mechanism == mechanism for _, each in record.genotype.sites))
            and (not text or text in f"{record.key} {record.genotype} {record.reference or ''}".lower())
        ]
        value, metric = COLUMNS[self.sort][1], self.run.metric
        if self.sort == "accuracy" and metric.is_minimized:
            value = lambda record: metric.value(_scored(record, inf))  # noqa: E731
        return sorted(found, key=lambda record: (value(record), record.number), reverse=self.descends)

    @property
    def pages(self) -> Pages[Record]:
        """The page that is asked for."""
        return Pages.of(self.matching, self.size, page_asked_for(self.query.get("page", "")))

    def by(self, column: str) -> dict[str, str]:
        """Return the query that sorts by ``column``; reverses the order if the table is sorted by it already."""
        order = "asc" if column == self.sort and self.descends else "desc"
        return {**self._kept, "sort": column, "order": order}

    def at(self, page: int) -> dict[str, str]:
        """Return the query of another page."""
        return {**self._kept, "sort": self.sort, "order": "desc" if self.descends else "asc", "page": str(page)}

    @property
    def _kept(self) -> dict[str, str]:
        return {name: value for name, value in self.query.items() if value and name not in _DROPPED}

    @cached_property
    def mechanisms(self) -> list[str]:
        """Mechanisms that occur in any trial."""
        return sorted({each.mechanism for record in self.run.records for _, each in record.genotype.sites if each})

    @cached_property
    def seeds(self) -> list[int]:
        """Seeds of all trials."""
        return sorted({record.seed for record in self.run.records})
