"""How far a run's short training can be believed: candidates trained for longer, with several seeds, and compared."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attn_nas.errors import RunError, UsageError
from attn_nas.execution.replicates import OnReplicate, ReplicateFolder
from attn_nas.execution.resources import Resources
from attn_nas.followups.training_plan import BesideRun, Series, Use, seeds_for
from attn_nas.runs.candidate import Candidate
from attn_nas.runs.run import Run
from attn_nas.space.schema import ProxySettings
from attn_nas.stats.rank_correlation import kendall, reliability, spearman
from attn_nas.stats.uncertainty import Estimate
from attn_nas.training import ProxyResult

_LEAST = 4
_IN_FULL = {"warm_epochs": 0, "initial_resolution": 1.0, "averaging": "none"}

Floats = NDArray[np.float64]
PREDICTORS: dict[str, Callable[[Candidate], float]] = {
    "parameters": lambda candidate: candidate.record.cost.params,
    "FLOPs": lambda candidate: candidate.record.cost.flops,
    "attended blocks": lambda candidate: candidate.record.genotype.num_attended,
}
SCORES: dict[str, Callable[[ProxyResult], float]] = {
    "validation loss": lambda result: -result.loss,
    "margin": lambda result: result.margin,
    "training loss, sum": lambda result: -sum(result.train_loss),
}
"""Scores beside accuracy; larger is better."""


@dataclass(frozen=True)
class Line:
    """How one score ranks candidates beside their long training, and how well it repeats itself over seeds."""

    score: str
    spearman: Estimate
    kendall: Estimate
    reliability: Estimate | None

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "score": self.score,
            "spearman": self.spearman.to_dict(),
            "kendall": self.kendall.to_dict(),
            "reliability": self.reliability.to_dict() if self.reliability else None,
        }


@dataclass(frozen=True)
class Audit:
    """What an audit found: ``lines`` per rung (epoch of the proxy), then other scores, then trivial predictors.

    A proxy's figures are the mean over seeds of the correlations of single runs. ``failures`` are the reasons of trainings
    that failed, by key and seed. ``ceiling`` is the correlation that two noisy
    scores of these reliabilities could have at most (Spearman's correction for attenuation).
    """

    lines: tuple[Line, ...]
    ceiling: float
    long_reliability: Estimate
    rows: tuple[dict[str, Any], ...]
    failures: dict[str, str]
    plan: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "plan": self.plan,
            "lines": [line.to_dict() for line in self.lines],
            "ceiling": None if np.isnan(self.ceiling) else self.ceiling,
            "long_reliability": self.long_reliability.to_dict(),
            "candidates": list(self.rows),
            "failures": self.failures,
        }


class AuditPlan(BesideRun):
    """Which candidates of ``run`` are trained again, for how long, with which seeds; what is done and what it will cost.

    ``candidates`` are drawn one from each of as many strata of equal size by accuracy; a sample that was trained before is
    taken again, also when the search has gone on. Each is trained as the proxy trains it, and for ``epochs`` epochs (four
    times the proxy's by default) without the proxy's levers, with ``seeds`` seeds each that neither the
    search nor the other training uses: shared chance must not pass for agreement.

    Raises:
        UsageError: too few candidates, or not longer than the proxy.

    """

    def __init__(self, run: Run, candidates: int = 16, seeds: int = 3, epochs: int | None = None) -> None:
        self.run = run
        self.proxy = run.space.proxy
        long_epochs = 4 * self.proxy.epochs if epochs is None else epochs
        self.long = self.proxy.model_copy(update={"epochs": long_epochs, **_IN_FULL})
        if self.long.epochs <= self.proxy.epochs:
            raise UsageError(f"--epochs {self.long.epochs}: an audit trains longer than the proxy's {self.proxy.epochs}")
        for name, number, least in (("--candidates", candidates, _LEAST), ("--seeds", seeds, 1)):
            if number < least:
                raise UsageError(f"{name} {number}: choose at least {least}")
        if len(run.candidates) < _LEAST:
            raise RunError(f"{run.folder.path} has {len(run.candidates)} scored candidates: an audit needs {_LEAST}")
        self._folder = run.folder.path / "audit"
        self._sample = self._folder / f"sample-{candidates}.json"
        self.candidates = self._sampled_before() or stratified(run.candidates, candidates, run.manifest.seed)
        self.seeds = seeds
        self.parts = [
            self._part("proxy", self.proxy, seeds_for(run, Use.AUDIT, seeds)),
            self._part("long", self.long, seeds_for(run, Use.LONG_AUDIT, seeds)),
        ]

    def _sampled_before(self) -> list[Candidate]:
        """The candidates of an earlier audit of as many, if there was one."""
        try:
            keys: list[str] = json.loads(self._sample.read_text())
            return [self.run.candidate(key) for key in keys]
        except (OSError, AttributeError, TypeError, ValueError, RunError):
            return []

    def _part(self, name: str, settings: ProxySettings, seeds: range) -> Series:
        folder = ReplicateFolder(self._folder / f"{name}-{settings.epochs}-epochs")
        return Series(settings, folder, seeds, tuple(candidate.record.genotype for candidate in self.candidates))

    def train(self, resources: Resources, on_end: OnReplicate, download: bool = False) -> None:
        """Train what is missing: see `attn_nas.followups.training_plan.train_series`."""
        if self.remaining:
            self._keep_sample()
        super().train(resources, on_end, download)

    def _keep_sample(self) -> None:
        keys = [candidate.record.key for candidate in self.candidates]
        try:
            self._folder.mkdir(exist_ok=True)
            self._sample.write_text(json.dumps(keys), encoding="utf-8")
        except OSError as error:
            raise RunError(f"{self._sample} cannot be written: {error.strerror}") from None

    def result(self) -> Audit:
        """What the trainings say; candidates that failed with any seed are left out.

        Raises:
            RunError: too few candidates have all their trainings.

        """
        short, long = (_results(part) for part in self.parts)
        whole = [candidate for candidate in self.candidates if candidate.record.key in short.keys() & long.keys()]
        if len(whole) < _LEAST:
            raise RunError(f"only {len(whole)} candidates have all their trainings: an audit needs {_LEAST}")
        keys = [candidate.record.key for candidate in whole]
        truth = np.array([[result.accuracy for result in long[key]] for key in keys])
        long_mean = truth.mean(1)
        lines = []
        for rung, epoch in enumerate(range(self.proxy.warm_epochs + 1, self.proxy.epochs + 1)):
            last = np.array([[result.curve[rung] for result in short[key]] for key in keys])
            lines.append(_line(f"accuracy, epoch {epoch}", last, long_mean))
        repeats, long_repeats = reliability(last), reliability(truth)
        for name, score in SCORES.items():
            lines.append(_line(name, np.array([[score(result) for result in short[key]] for key in keys]), long_mean))
        for name, predictor in PREDICTORS.items():
            figures = np.array([predictor(candidate) for candidate in whole])
            lines.append(Line(name, spearman(figures, long_mean), kendall(figures, long_mean), None))
        rows = [
            {
                "key": candidate.record.key,
                "summary": str(candidate.record.genotype),
                "proxy": last[index].tolist(),
                "long": truth[index].tolist(),
            }
            for index, candidate in enumerate(whole)
        ]
        failures = {name: reason for part in self.parts for name, reason in part.failures.items()}
        ceiling = _ceiling(repeats, long_repeats, self.seeds)
        return Audit(tuple(lines), ceiling, long_repeats, tuple(rows), failures, self.describe())

    def write(self, audit: Audit) -> Path:
        """Write ``audit`` as ``audit.json`` into the run's folder; raises RunError."""
        return self.run.folder.write_document("audit.json", audit.to_dict())

    def describe(self) -> dict[str, Any]:
        """The plan as plain data."""
        return {
            "candidates": [candidate.record.key for candidate in self.candidates],
            "proxy_epochs": self.proxy.epochs,
            "proxy_seeds": list(self.parts[0].seeds),
            "long_epochs": self.long.epochs,
            "long_seeds": list(self.parts[1].seeds),
        }


def _results(part: Series) -> dict[str, list[ProxyResult]]:
    return {key: [each.result for each in trainings] for key, trainings in part.trained.items()}


def stratified(candidates: Sequence[Candidate], number: int, seed: int) -> list[Candidate]:
    """One candidate drawn from each of ``number`` strata of equal size by accuracy; all of them if there are fewer."""
    ordered = sorted(candidates, key=lambda candidate: (candidate.accuracy, candidate.record.key))
    rng = np.random.default_rng(seed)
    strata = np.array_split(np.arange(len(ordered)), min(number, len(ordered)))
    return [ordered[int(rng.choice(stratum))] for stratum in strata]


def _line(name: str, scores: Floats, long_mean: Floats) -> Line:
    """Single runs, one column per seed, against the mean of the long trainings."""
    return Line(name, spearman(scores, long_mean), kendall(scores, long_mean), reliability(scores))


def _ceiling(short: Estimate, long: Estimate, seeds: int) -> float:
    """Highest correlation of a single proxy run with a mean of ``seeds`` long ones, both being noisy."""
    one, mean = max(short.value, 0.0), max(long.value, 0.0)
    return float(np.sqrt(one * seeds * mean / (1 + (seeds - 1) * mean)))
