"""Which candidates of a run are meant: by key, the knee, the front, or the best that costs no more than so much."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from attn_nas.errors import RunError
from attn_nas.runs.candidate import Candidate
from attn_nas.runs.run import Run
from attn_nas.space.limits import most_allowed


@dataclass(frozen=True)
class Selection:
    """Candidates of a run; what is asked for more than once is meant once, and nothing asked for means ``otherwise``.

    ``keys`` are keys or their beginnings, ``best_under`` limits the complete FLOPs: a number, or such as ``"+1%"`` over the
    bare trunk.
    """

    keys: Sequence[str] = ()
    knee: bool = False
    front: bool = False
    best_under: int | str | None = None
    otherwise: Literal["front", "knee"] = "front"

    @property
    def is_asked_for(self) -> bool:
        """Whether anything is."""
        return bool(self.keys or self.knee or self.front) or self.best_under is not None

    def of(self, run: Run) -> list[Candidate]:
        """The candidates meant, those of the front first by rising cost.

        Raises:
            RunError: a key is unknown or ambiguous, the run has no scored candidate, or none is as cheap as that.
            SpaceError: the limit is no limit.

        """
        if not run.candidates:
            raise RunError(f"{run.folder.path} has no finished trial yet")
        found = [run.candidate(key) for key in self.keys]
        by_default = None if self.is_asked_for else self.otherwise
        if (self.knee or by_default == "knee") and run.knee:
            found.append(run.knee)
        if self.best_under is not None:
            found.append(self._best_under(run, self.best_under))
        if self.front or not found:
            found = [*run.front, *found]
        return [*{candidate.record.key: candidate for candidate in found}.values()]

    @staticmethod
    def _best_under(run: Run, limit: int | str) -> Candidate:
        most = most_allowed(limit, run.manifest.bare_cost.flops)
        cheap = [candidate for candidate in run.candidates if candidate.record.cost.flops <= most]
        if not cheap:
            least = min(candidate.record.cost.flops for candidate in run.candidates)
            raise RunError(f"no candidate has at most {most:,} FLOPs ({limit}): the cheapest has {least:,}")
        return max(cheap, key=lambda candidate: candidate.accuracy)
