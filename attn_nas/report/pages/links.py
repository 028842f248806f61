"""Link targets of the pages: addresses of a server, or anchors in one file."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol
from urllib.parse import urlencode

from attn_nas.runs.candidate import Candidate


class Links(Protocol):
    """Link targets of a page; None if a target does not exist."""

    @property
    def is_live(self) -> bool:
        """True if a server is behind the page."""
        ...

    def runs(self) -> str | None:
        """Target of the list of runs."""
        ...

    def run(self, query: Mapping[str, str] | None = None) -> str:
        """Target of the run, with the choices of its page as ``query``."""
        ...

    def candidate(self, key: str) -> str | None:
        """Target of the page of a candidate."""
        ...

    def compare(self, keys: Sequence[str]) -> str | None:
        """Target of the comparison of candidates."""
        ...

    def insight(self) -> str | None:
        """Target of the effects of mechanisms at sites."""
        ...

    def file(self, candidate: Candidate, name: str) -> str | None:
        """Target of a file of a candidate."""
        ...

    def maps(self, candidate: Candidate) -> str | None:
        """Target of the picture of a candidate's activation maps."""
        ...

    def raw(self) -> str | None:
        """Target of the study in Optuna's dashboard."""
        ...

    def note(self, key: str) -> str | None:
        """Target of the form with the note of a candidate; None where notes cannot be written."""
        ...

    @property
    def form_token(self) -> str:
        """Secret that forms send back."""
        ...


class Anchors:
    """Link targets within a report file with the candidates ``keys``; ``pictures`` maps keys to data URLs."""

    is_live = False

    def __init__(self, keys: Collection[str], pictures: Mapping[str, str], *, has_insight: bool) -> None:
        self._keys, self._pictures, self._has_insight = keys, pictures, has_insight

    def runs(self) -> None:
        """Return None: a report has one run."""
        return

    def run(self, query: Mapping[str, str] | None = None) -> str:
        """Anchor of the run."""
        return "#run"

    def candidate(self, key: str) -> str | None:
        """Anchor of the candidate's section; None if the report lacks it."""
        return f"#candidate-{key}" if key in self._keys else None

    def compare(self, keys: Sequence[str]) -> str:
        """Anchor of the comparison."""
        return "#comparison"

    def insight(self) -> str | None:
        """Anchor of the heat map; None if the report lacks it."""
        return "#insight" if self._has_insight else None

    def file(self, candidate: Candidate, name: str) -> None:
        """Return None: a report has no files."""
        return

    def maps(self, candidate: Candidate) -> str | None:
        """Picture as a data URL; None if the run lacks it."""
        return self._pictures.get(candidate.record.key)

    def raw(self) -> None:
        """Return None: a report has no server."""
        return

    def note(self, key: str) -> None:
        """Return None: a report shows notes, and takes none."""
        return

    form_token = ""


class Addresses:
    """Addresses on the server of the run ``name``; without a ``form_token`` it takes no notes."""

    is_live = True

    def __init__(self, name: str, *, has_runs: bool, form_token: str = "") -> None:
        self._base, self._has_runs = f"/runs/{name}", has_runs
        self.form_token = form_token

    def runs(self) -> str | None:
        """Address of the list of runs; None if the server has only one run."""
        return "/" if self._has_runs else None

    def run(self, query: Mapping[str, str] | None = None) -> str:
        """Address of the page of the run."""
        return f"{self._base}?{urlencode(query)}" if query else self._base

    def part(self, name: str, query: Mapping[str, str]) -> str:
        """Address of a part of the run's page, or of its updates."""
        return f"{self._base}/{name}?{urlencode(query)}"

    def candidate(self, key: str) -> str:
        """Address of the page of a candidate."""
        return f"{self._base}/candidates/{key}"

    def compare(self, keys: Sequence[str]) -> str:
        """Address of the comparison of candidates."""
        return f"{self._base}/compare?{urlencode([('key', key) for key in keys])}"

    def insight(self) -> str:
        """Address of the effects of mechanisms at sites."""
        return f"{self._base}/insight"

    def file(self, candidate: Candidate, name: str) -> str:
        """Address of a file of a candidate."""
        return f"{self._base}/candidates/{candidate.record.key}/{name}"

    def maps(self, candidate: Candidate) -> str:
        """Address of the picture of a candidate's activation maps; the server draws it on request."""
        return self.file(candidate, "maps.png")

    def raw(self) -> str:
        """Address of the study in Optuna's dashboard."""
        return f"{self._base}/raw"

    def note(self, key: str) -> str | None:
        """Address that the form with the note of a candidate is sent to; None if the server takes no notes."""
        return f"{self._base}/candidates/{key}/note" if self.form_token else None
