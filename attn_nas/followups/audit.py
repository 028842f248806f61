"""Audit of the short training (proxy): trains a sample of candidates for longer and compares the two rankings."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attn_nas.engine.objective import GivenObjective
from attn_nas.errors import RunError, UsageError
from attn_nas.execution.replicates import OnReplicate, ReplicateFolder
from attn_nas.execution.resources import Resources
from attn_nas.followups.training_plan import FollowUp, SeedPurpose, TrainingPlan, seeds_for
from attn_nas.runs.candidate import Candidate
from attn_nas.runs.run import Run
from attn_nas.space.metric import ACCURACY
from attn_nas.space.schema import ProxySettings
from attn_nas.stats.rank_correlation import kendall, reliability, spearman
from attn_nas.stats.uncertainty import Estimate
from attn_nas.training import ProxyResult

_FEWEST = 4
_WITHOUT_SHORTCUTS = {"warm_epochs": 0, "initial_resolution": 1.0, "averaging": "none"}

Floats = NDArray[np.float64]


def _known(value: float | None) -> float:
    """A score that our own training always has."""
    assert value is not None
    return value


PREDICTORS: dict[str, Callable[[Candidate], float]] = {
    "parameters": lambda candidate: candidate.record.cost.params,
    "FLOPs": lambda candidate: candidate.record.cost.flops,
    "attended blocks": lambda candidate: candidate.record.genotype.num_attended,
}
SCORES: dict[str, Callable[[ProxyResult], float]] = {
    "validation loss": lambda result: -_known(result.loss),
    "margin": lambda result: _known(result.margin),
    "training loss, sum": lambda result: -sum(result.train_loss),
}
"""Further scores of a short training, by name; larger is better."""


@dataclass(frozen=True)
class RankingRow:
    """Rank correlation of one ``score`` with accuracy after the long training.

    ``reliability`` is the correlation of the score between seeds; None for a score that does not depend on the seed.
    """

    score: str
    spearman: Estimate
    kendall: Estimate
    reliability: Estimate | None

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready data."""
        return {
            "score": self.score,
            "spearman": self.spearman.to_dict(),
            "kendall": self.kendall.to_dict(),
            "reliability": self.reliability.to_dict() if self.reliability else None,
        }


@dataclass(frozen=True)
class AuditResult:
    """Result of an audit: ``rankings`` for accuracy after each epoch of the proxy, for other scores, for trivial predictors.

    A score's correlations are means over seeds of the correlations of single trainings. ``ceiling`` is the highest
    correlation that two scores of these reliabilities can have (Spearman's correction for attenuation). ``candidates`` holds
    the accuracies (0 to 1) of each audited candidate. ``failures`` maps key and seed of a failed training to the reason.
    """

    rankings: tuple[RankingRow, ...]
    ceiling: float
    long_reliability: Estimate
    candidates: tuple[dict[str, Any], ...]
    failures: dict[str, str]
    plan: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready data."""
        return {
            "plan": self.plan,
            "lines": [line.to_dict() for line in self.rankings],
            "ceiling": None if np.isnan(self.ceiling) else self.ceiling,
            "long_reliability": self.long_reliability.to_dict(),
            "candidates": list(self.candidates),
            "failures": self.failures,
        }


class Audit(FollowUp):
    """Trains a sample of the candidates of ``run`` for longer and measures how well the proxy ranks them.

    The sample has one candidate from each of ``candidates`` strata of equal size by accuracy. An earlier sample of the same
    size is used again, even if the search has continued since. Each candidate is trained by the proxy's settings, and for
    ``epochs`` epochs (by default four times the proxy's) without the proxy's shortcuts, each with ``seeds`` seeds. The search
    and the two trainings share no seed: a common seed would raise the correlation by chance.

    Raises:
        UsageError: ``candidates`` or ``seeds`` is too small, or ``epochs`` is not above the proxy's.
        RunError: the run has fewer than four scored candidates.

    """

    def __init__(self, run: Run, candidates: int = 16, seeds: int = 3, epochs: int | None = None) -> None:
        self.run = run
        self.proxy = run.space.proxy
        long_epochs = 4 * self.proxy.epochs if epochs is None else epochs
        self.long = self.proxy.model_copy(update={"epochs": long_epochs, **_WITHOUT_SHORTCUTS})
        if self.long.epochs <= self.proxy.epochs:
            raise UsageError(f"--epochs {self.long.epochs}: an audit trains longer than the proxy's {self.proxy.epochs}")
        for name, number, minimum in (("--candidates", candidates, _FEWEST), ("--seeds", seeds, 1)):
            if number < minimum:
                raise UsageError(f"{name} {number}: choose at least {minimum}")
        if len(run.candidates) < _FEWEST:
            raise RunError(f"{run.folder.path} has {len(run.candidates)} scored candidates: an audit needs {_FEWEST}")
        self._folder = run.folder.path / "audit"
        self._sample = self._folder / f"sample-{candidates}.json"
        self.candidates = self._earlier_sample() or stratified(run.candidates, candidates, run.manifest.seed)
        self.seeds = seeds
        self.plans = [
            self._plan("proxy", self.proxy, seeds_for(run, SeedPurpose.AUDIT, seeds)),
            self._plan("long", self.long, seeds_for(run, SeedPurpose.LONG_AUDIT, seeds)),
        ]

    def _earlier_sample(self) -> list[Candidate]:
        """Return the candidates of an earlier audit with a sample of this size; empty if there was none."""
        try:
            keys: list[str] = json.loads(self._sample.read_text())
            return [self.run.candidate(key) for key in keys]
        except (OSError, AttributeError, TypeError, ValueError, RunError):
            return []

    def _plan(self, name: str, settings: ProxySettings, seeds: range) -> TrainingPlan:
        folder = ReplicateFolder(self._folder / f"{name}-{settings.epochs}-epochs")
        return TrainingPlan(settings, folder, seeds, tuple(candidate.record.genotype for candidate in self.candidates))

    def train(
        self,
        resources: Resources,
        on_end: OnReplicate,
        download: bool = False,
        objective: GivenObjective | None = None,
    ) -> None:
        """Do the missing trainings; see `attn_nas.followups.training_plan.run_plan`.

        Raises:
            RunError: another process works on the run, or a file cannot be written.

        """
        if self.remaining:
            self._write_sample()
        super().train(resources, on_end, download, objective)

    def _write_sample(self) -> None:
        keys = [candidate.record.key for candidate in self.candidates]
        try:
            self._folder.mkdir(exist_ok=True)
            self._sample.write_text(json.dumps(keys), encoding="utf-8")
        except OSError as error:
            raise RunError(f"{self._sample} cannot be written: {error.strerror}") from None

    def result(self) -> AuditResult:
        """Compare the rankings; a candidate that lacks a training, or failed with any seed, is left out.

        Raises:
            RunError: fewer than four candidates have all their trainings.

        """
        short, long = (_results(plan) for plan in self.plans)
        complete = [candidate for candidate in self.candidates if candidate.record.key in short.keys() & long.keys()]
        if len(complete) < _FEWEST:
            raise RunError(f"only {len(complete)} candidates have all their trainings: an audit needs {_FEWEST}")
        keys = [candidate.record.key for candidate in complete]
        truth = np.array([[result.accuracy for result in long[key]] for key in keys])
        long_mean = truth.mean(1)
        rankings = []
        metric, has_curves = self.run.metric, self.run.space.objective is None
        last = np.array([[result.accuracy for result in short[key]] for key in keys])
        if has_curves:
            for rung, epoch in enumerate(range(self.proxy.warm_epochs + 1, self.proxy.epochs + 1)):
                reached = np.array([[result.curve[rung] for result in short[key]] for key in keys])
                rankings.append(_ranking(f"accuracy, epoch {epoch}", reached, long_mean))
        else:
            rankings.append(_ranking(metric.name, last, long_mean))
        short_reliability, long_reliability = reliability(last), reliability(truth)
        for name, score in SCORES.items() if has_curves else ():
            rankings.append(_ranking(name, np.array([[score(result) for result in short[key]] for key in keys]), long_mean))
        for name, predictor in PREDICTORS.items():
            predicted = np.array([predictor(candidate) for candidate in complete])
            rankings.append(RankingRow(name, spearman(predicted, long_mean), kendall(predicted, long_mean), None))
        rows = [
            {
                "key": candidate.record.key,
                "summary": str(candidate.record.genotype),
                "proxy": [*map(metric.value, last[index].tolist())],
                "long": [*map(metric.value, truth[index].tolist())],
            }
            for index, candidate in enumerate(complete)
        ]
        failures = {name: reason for plan in self.plans for name, reason in plan.failures.items()}
        ceiling = _ceiling(short_reliability, long_reliability, self.seeds)
        return AuditResult(tuple(rankings), ceiling, long_reliability, tuple(rows), failures, self.describe())

    def write(self, result: AuditResult) -> Path:
        """Write ``result`` as ``audit.json`` into the run's folder and return its path.

        Raises:
            RunError: the file cannot be written.

        """
        return self.run.folder.write_document("audit.json", result.to_dict())

    def describe(self) -> dict[str, Any]:
        """Return candidates, epochs and seeds of the audit as JSON-ready data."""
        return {
            **({} if self.run.metric == ACCURACY else {"metric": self.run.metric.to_dict()}),
            "candidates": [candidate.record.key for candidate in self.candidates],
            "proxy_epochs": self.proxy.epochs,
            "proxy_seeds": list(self.plans[0].seeds),
            "long_epochs": self.long.epochs,
            "long_seeds": list(self.plans[1].seeds),
        }


def _results(plan: TrainingPlan) -> dict[str, list[ProxyResult]]:
    return {key: [each.result for each in trainings] for key, trainings in plan.trained.items()}


def stratified(candidates: Sequence[Candidate], number: int, seed: int) -> list[Candidate]:
    """Draw one candidate from each of ``number`` strata of equal size by accuracy; all candidates if there are fewer."""
    ordered = sorted(candidates, key=lambda candidate: (candidate.accuracy, candidate.record.key))
    rng = np.random.default_rng(seed)
    strata = np.array_split(np.arange(len(ordered)), min(number, len(ordered)))
    return [ordered[int(rng.choice(stratum))] for stratum in strata]


def _ranking(name: str, scores: Floats, long_mean: Floats) -> RankingRow:
    """Correlate ``scores`` (candidates, seeds) of single trainings with the mean of the long trainings (candidates,)."""
    return RankingRow(name, spearman(scores, long_mean), kendall(scores, long_mean), reliability(scores))


def _ceiling(short: Estimate, long: Estimate, seeds: int) -> float:
    """Return the highest possible correlation of one short training with the mean of ``seeds`` long trainings."""
    one, mean = max(short.value, 0.0), max(long.value, 0.0)
    return float(np.sqrt(one * seeds * mean / (1 + (seeds - 1) * mean)))
