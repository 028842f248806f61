"""Table of a run's candidates: one row each, sorted, filtered, in pages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from math import inf

from attn_nas.report.pages.paging import Pages, page_asked_for
from attn_nas.report.pages.reading import RunReading
from attn_nas.runs.candidate import Candidate
from attn_nas.space.schema import TIMED

GROUPS = {"": "all", "front": "front", "references": "references", "starred": "starred", "noted": "with a note"}
"""What the table can be limited to, with the words for it."""
_PREFIX = "c_"
"""Prefix of the parameters of this table in an address, which other tables of the page do not read."""


def _likely(candidate: Candidate) -> float:
    return candidate.belief.chance if candidate.belief else -inf


COLUMNS: dict[str, tuple[str, Callable[[Candidate], float]]] = {
    "estimate": ("estimate", lambda candidate: candidate.accuracy),
    "measured": ("average of seeds", lambda candidate: candidate.measured.value),
    "flops": ("added FLOPs", lambda candidate: candidate.added_flops),
    "params": ("parameters", lambda candidate: candidate.record.cost.params),
    "chance": ("likely best for its cost", _likely),
}
"""Columns that the table can be sorted by: heading and value. Scores rise from bad to good whatever the metric is."""


@dataclass(frozen=True)
class CandidateTable:
    """Candidates of ``reading``, filtered and sorted by ``query``, in pages of ``size`` candidates; None: all on one page.

    Parameters are ``c_q`` (text), ``c_group``, ``c_mechanism``, ``c_sort``, ``c_order`` and ``c_page``; invalid values are
    ignored.
    """

    reading: RunReading
    query: Mapping[str, str]
    size: int | None

    def asked(self, name: str) -> str:
        """The value of a parameter of this table, by its name without prefix; empty if it is not given."""
        return self.query.get(_PREFIX + name, "")

    @property
    def sort(self) -> str:
        """Column that the table is sorted by."""
        found = self.asked("sort")
        return found if found in COLUMNS else "estimate"

    @property
    def descends(self) -> bool:
        """True if the largest value, or the best score, is first."""
        return self.asked("order") != "asc"

    @property
    def group(self) -> str:
        """What the table is limited to, one of `GROUPS`."""
        found = self.asked("group")
        return found if found in GROUPS else ""

    @cached_property
    def front(self) -> set[str]:
        """Keys of the members of the front."""
        return {candidate.record.key for candidate in self.reading.run.front}

    @property
    def times(self) -> list[str]:
        """Times that the run minimises, which have a column of their own."""
        return [axis for axis in self.reading.run.axes if axis in TIMED]

    @cached_property
    def matching(self) -> list[Candidate]:
        """Candidates that pass the filters, sorted."""
        text, mechanism = self.asked("q").strip().lower(), self.asked("mechanism")
        found = [
            candidate
            for candidate in self.reading.run.candidates
            if self._is_in_group(candidate)
            and (not mechanism or any(each and each.mechanism == mechanism for _, each in candidate.record.genotype.sites))
            and (not text or text in self._text(candidate))
        ]
        value = COLUMNS[self.sort][1]
        return sorted(found, key=lambda each: (value(each), -each.record.number), reverse=self.descends)

    def _is_in_group(self, candidate: Candidate) -> bool:
        key, note = candidate.record.key, self.reading.note(candidate.record.key)
        allowed = {
            "front": key in self.front,
            "references": bool(candidate.record.reference),
            "starred": note.starred,
            "noted": bool(note.text),
        }
        return allowed.get(self.group, True)

    def _text(self, candidate: Candidate) -> str:
        """What a text is searched in."""
        record = candidate.record
        note = self.reading.note(record.key).text
        return f"{candidate.name} {record.key} {record.genotype} {record.reference or ''} {note}".lower()

    @property
    def pages(self) -> Pages[Candidate]:
        """The page that is asked for."""
        return Pages.of(self.matching, self.size, page_asked_for(self.asked("page")))

    def by(self, column: str) -> dict[str, str]:
        """Return the query that sorts by ``column``; reverses the order if the table is sorted by it already."""
        order = "asc" if column == self.sort and self.descends else "desc"
        return {**self._kept, f"{_PREFIX}sort": column, f"{_PREFIX}order": order}

    def at(self, page: int) -> dict[str, str]:
        """Return the query of another page."""
        order = "desc" if self.descends else "asc"
        return {**self._kept, f"{_PREFIX}sort": self.sort, f"{_PREFIX}order": order, f"{_PREFIX}page": str(page)}

    @property
    def _kept(self) -> dict[str, str]:
        """Filters of this table, which links to another order or page keep, and the parameters of the rest of the page."""
        dropped = [_PREFIX + name for name in ("sort", "order", "page")]
        return {name: value for name, value in self.query.items() if value and name not in dropped}

    @cached_property
    def mechanisms(self) -> list[str]:
        """Mechanisms that occur in any candidate."""
        run = self.reading.run
        return sorted({each.mechanism for found in run.candidates for _, each in found.record.genotype.sites if each})
