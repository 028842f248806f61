"""Where pages lead: addresses of a server, or places in one file."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol
from urllib.parse import urlencode

from attn_nas.runs.candidate import Candidate


class Links(Protocol):
    """What a page may point at; None where there is nothing to be reached."""

    @property
    def is_live(self) -> bool:
        """Whether there is a server behind the page."""
        ...

    def runs(self) -> str | None:
        """All runs."""
        ...

    def run(self, query: Mapping[str, str] | None = None) -> str:
        """The run, with what is chosen on its page."""
        ...

    def candidate(self, key: str) -> str | None:
        """The page of a candidate."""
        ...

    def compare(self, keys: Sequence[str]) -> str | None:
        """Candidates beside each other."""
        ...

    def insight(self) -> str | None:
        """Effects of mechanisms at sites."""
        ...

    def file(self, candidate: Candidate, name: str) -> str | None:
        """Something to be downloaded for a candidate."""
        ...

    def maps(self, candidate: Candidate) -> str | None:
        """The picture of where it looks."""
        ...

    def raw(self) -> str | None:
        """The study as Optuna's own dashboard shows it."""
        ...


class Anchors:
    """Places in one file that has the candidates with these ``keys``; ``pictures`` are data by key."""

    is_live = False

    def __init__(self, keys: Collection[str], pictures: Mapping[str, str], *, has_insight: bool) -> None:
        self._keys, self._pictures, self._has_insight = keys, pictures, has_insight

    def runs(self) -> None:
        """A report is of one run."""
        return

    def run(self, query: Mapping[str, str] | None = None) -> str:
        """The top."""
        return "#run"

    def candidate(self, key: str) -> str | None:
        """Its section, if it has one."""
        return f"#candidate-{key}" if key in self._keys else None

    def compare(self, keys: Sequence[str]) -> str:
        """The section with the comparison."""
        return "#comparison"

    def insight(self) -> str | None:
        """The section with the heat map."""
        return "#insight" if self._has_insight else None

    def file(self, candidate: Candidate, name: str) -> None:
        """A report has no files beside it."""
        return

    def maps(self, candidate: Candidate) -> str | None:
        """The picture itself."""
        return self._pictures.get(candidate.record.key)

    def raw(self) -> None:
        """There is no server."""
        return


class Addresses:
    """Addresses of the server for the run called ``name``."""

    is_live = True

    def __init__(self, name: str, *, has_runs: bool) -> None:
        self._base, self._has_runs = f"/runs/{name}", has_runs

    def runs(self) -> str | None:
        """The list of runs, if there is more than one."""
        return "/" if self._has_runs else None

    def run(self, query: Mapping[str, str] | None = None) -> str:
        """The page of the run."""
        return f"{self._base}?{urlencode(query)}" if query else self._base

    def part(self, name: str, query: Mapping[str, str]) -> str:
        """A part of its page, or what changes."""
        return f"{self._base}/{name}?{urlencode(query)}"

    def candidate(self, key: str) -> str:
        """Its page."""
        return f"{self._base}/candidates/{key}"

    def compare(self, keys: Sequence[str]) -> str:
        """Their page."""
        return f"{self._base}/compare?{urlencode([('key', key) for key in keys])}"

    def insight(self) -> str:
        """Its page."""
        return f"{self._base}/insight"

    def file(self, candidate: Candidate, name: str) -> str:
        """Its address."""
        return f"{self._base}/candidates/{candidate.record.key}/{name}"

    def maps(self, candidate: Candidate) -> str:
        """Made when it is asked for."""
        return self.file(candidate, "maps.png")

    def raw(self) -> str:
        """The study of this run in Optuna's dashboard."""
        return f"{self._base}/raw"
