"""How far a run can be trusted: the seeds of the networks that matter, and which of them are tied."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from math import isnan

from attn_nas.errors import RunError
from attn_nas.followups.full_scores import FullScore, FullScores
from attn_nas.format import capitalised, likely, reference_label
from attn_nas.report.pick_label import pick_label
from attn_nas.runs.candidate import Candidate
from attn_nas.runs.pick_words import PickWords
from attn_nas.runs.run import WITHIN, Run
from attn_nas.stats.choice import SURE

_NUM_REFERENCES = 3
_MARGIN = 0.06
"""Free space at both ends of the axis, as a share of its length."""


@dataclass(frozen=True)
class SeedRow:
    """A network with its seeds on an axis from 0 to 100: ``dots``, the ``estimate``, and the 90 % interval ``low`` to ``high``.

    ``role`` says why it is listed. A ``tied`` network cannot be told apart from the best. Numbers are None without an estimate.
    """

    candidate: Candidate
    role: str
    tied: bool
    dots: tuple[float, ...]
    estimate: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Trust:
    """What to think of the figures of ``run``."""

    run: Run

    @cached_property
    def roles(self) -> dict[str, tuple[Candidate, list[str]]]:
        """The networks that matter by key, each with its roles: the pick, the alternatives, the best, three references."""
        found: dict[str, tuple[Candidate, list[str]]] = {}
        for candidate, role in self._named():
            found.setdefault(candidate.record.key, (candidate, []))[1].append(role)
        return found

    def _named(self) -> Iterator[tuple[Candidate, str]]:
        run, verdict = self.run, self.run.verdict
        if run.pick is None:
            return
        yield run.pick, pick_label(run)
        for limit in WITHIN:
            within = run.best_within(limit)
            if within and within != run.pick:
                yield within, f"pick within {limit[:-1]} %"
        if verdict.best and verdict.best != verdict.pick:
            yield run.candidate(verdict.best), f"{run.metric.best} estimate"
        bare = [each for each in run.references if each.record.key == verdict.bare]
        others = sorted((each for each in run.references if each not in bare), key=lambda each: -each.accuracy)
        for reference in [*bare, *others][:_NUM_REFERENCES]:
            yield reference, f"reference: {reference_label(str(reference.record.reference))}"

    @cached_property
    def rows(self) -> list[SeedRow]:
        """One row for each network, the best first."""
        found = [candidate for candidate, _ in self.roles.values()]
        found.sort(key=lambda each: -each.accuracy)
        return [
            SeedRow(
                each,
                ", ".join(self.roles[each.record.key][1]),
                self._is_tied(each),
                tuple(self._place(result.accuracy) for result in each.results),
                self._place(each.belief.mean) if each.belief else None,
                self._place(each.belief.low) if each.belief else None,
                self._place(each.belief.high) if each.belief else None,
            )
            for each in found
        ]

    def _is_tied(self, candidate: Candidate) -> bool:
        """True if the best is less than `SURE` sure to be better, where the run allows such claims."""
        verdict, beliefs, key = self.run.verdict, self.run.beliefs, candidate.record.key
        if not verdict.allows_claims or beliefs is None or verdict.best is None or candidate.belief is None:
            return False
        return key == verdict.best or beliefs.difference(verdict.best, key).probability < SURE

    @cached_property
    def _range(self) -> tuple[float, float]:
        """The scores with the lowest and the highest value of the metric, of all seeds and intervals."""
        candidates = [candidate for candidate, _ in self.roles.values()]
        scores = [result.accuracy for each in candidates for result in each.results]
        scores += [end for each in candidates if each.belief for end in (each.belief.low, each.belief.high)]
        return min(scores, key=self.run.metric.value), max(scores, key=self.run.metric.value)

    def _place(self, score: float) -> float:
        """Position of a ``score`` on the axis, from 0 (left) to 100; values of the metric rise to the right."""
        low, high = map(self.run.metric.value, self._range)
        share = (self.run.metric.value(score) - low) / (high - low) if high > low else 0.5
        return round(100 * (_MARGIN + (1 - 2 * _MARGIN) * share), 2)

    @property
    def ends(self) -> tuple[str, str]:
        """The lowest and the highest value on the axis, with units."""
        low, high = self._range
        return self.run.metric.text(low), self.run.metric.text(high)

    @property
    def summary(self) -> str:
        """Which networks are tied, as a sentence."""
        tied = [row for row in self.rows if row.tied]
        if not self.run.verdict.allows_claims:
            return self.run.verdict.text
        best = capitalised(self.run.names[self.run.verdict.best or ""])
        if len(tied) == 1:
            return f"{best} is at least {likely(SURE)} sure to be {self.run.metric.better} than each other network below."
        names = f"the {len(tied)} networks with a bar at the left cannot be told apart"
        return f"{capitalised(names)}: {best} is less than {likely(SURE)} sure to be {self.run.metric.better} than the others."

    @property
    def warning(self) -> str:
        """What a short training does not know, and what an audit of it has found."""
        words = PickWords.of(self.run)
        found = words.warning if words else ""
        return f"A short training finds the region of good placements, not the best of them. {found}".rstrip()

    @cached_property
    def full(self) -> FullScores | None:
        """What the last full training has reached; None if there was none, or if its file is damaged."""
        try:
            return FullScores.read(self.run.folder, self.run.metric)
        except RunError:
            return None

    @property
    def full_rows(self) -> list[tuple[FullScore, str]]:
        """Networks of the full training with their gain over no attention in words, the best first."""
        networks = self.full.networks if self.full else ()
        return [(each, self._gain(each)) for each in sorted(networks, key=lambda each: -each.score)]

    def _gain(self, score: FullScore) -> str:
        if score.gain is None:
            return ""
        unit, digits = (100, ".2f") if self.run.metric.bounded else (1, ".3g")
        mean, low, high = (format(unit * each, f"+{digits}") for each in score.gain)
        return mean if isnan(score.gain[1]) else f"{mean} ({low} to {high})"
