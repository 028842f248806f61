"""Selects candidates of a run: by key, the pick, the front, or the best under a cost limit."""

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
    """A request for candidates of a run; one that is requested twice is selected once.

    ``keys`` are keys or their beginnings. ``best_under`` asks for the pick under a limit of complete FLOPs:
    a number, or a text such as ``"+1%"`` over the bare trunk. ``otherwise`` is selected when nothing is requested.
    """

    keys: Sequence[str] = ()
    pick: bool = False
    front: bool = False
    best_under: int | str | None = None
    otherwise: Literal["front", "pick"] = "front"

    @property
    def is_explicit(self) -> bool:
        """Whether anything is requested."""
        return bool(self.keys or self.pick or self.front) or self.best_under is not None

    def of(self, run: Run) -> list[Candidate]:
        """The selected candidates of ``run``, those of the front first by rising cost.

        Raises:
            RunError: a key is unknown or ambiguous, the run has no scored candidate, or none is within the limit.
            SpaceError: the limit is malformed.

        """
        if not run.candidates:
            raise RunError(f"{run.folder.path} has no finished trial yet")
        found = [run.candidate(key) for key in self.keys]
        by_default = None if self.is_explicit else self.otherwise
        if (self.pick or by_default == "pick") and run.pick:
            found.append(run.pick)
        if self.best_under is not None:
            found.append(self._best_under(run, self.best_under))
        if self.front or not found:
            found = [*run.front, *found]
        return [*{candidate.record.key: candidate for candidate in found}.values()]

    @staticmethod
    def _best_under(run: Run, limit: int | str) -> Candidate:
        if found := run.best_within(limit):
            return found
        most = most_allowed(limit, run.manifest.bare_cost.flops)
        least = min(candidate.record.cost.flops for candidate in run.candidates)
        raise RunError(f"no candidate has at most {most:,} FLOPs ({limit}): the cheapest has {least:,}")
