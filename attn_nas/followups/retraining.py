"""Full training of winners and references by one recipe: the first time that the test split is read."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import inf, nan
from pathlib import Path
from statistics import fmean, median
from typing import Any, Literal

import numpy as np
import torch
from scipy import stats

from attn_nas.cost import Cost
from attn_nas.errors import RunError, SpaceError, UsageError
from attn_nas.execution.replicates import ReplicateFolder
from attn_nas.followups.training_plan import BesideRun, Series, Use, cost_of, seeds_for
from attn_nas.runs.candidate import Candidate
from attn_nas.runs.run import Run
from attn_nas.space.genotype import Genotype
from attn_nas.space.schema import ProxySettings
from attn_nas.space.task import Task
from attn_nas.space.trunks import Trunk
from attn_nas.stats.paired_gains import Gain, corrected
from attn_nas.stats.uncertainty import without_nan
from attn_nas.training import StepProfile
from attn_nas.training.pretrained import check_pretrained
from attn_nas.training.protocol import Trained
from attn_nas.version import __version__

TIMES_THE_PROXY = 10
_FINE_TUNING = 0.1
"""Of the proxy's learning rate where pretrained weights are the start."""

Role = Literal["winner", "reference", "plain trunk"]


def full_recipe(proxy: ProxySettings, epochs: int | None = None, lr: float | None = None) -> ProxySettings:
    """How networks are trained in full: one cycle over ``epochs`` (ten times the proxy's), without what made the proxy short.

    Images are whole from the first epoch, labels are smoothed by 0.1 (arXiv 1512.00567), the rate rises for a tenth of the
    steps, and what is scored is an exponential moving average of the weights with a half-life of one epoch.
    """
    return ProxySettings.model_validate(
        {
            **proxy.model_dump(),
            "epochs": TIMES_THE_PROXY * proxy.epochs if epochs is None else epochs,
            "lr": proxy.lr if lr is None else lr,
            "warmup": 0.1,
            "label_smoothing": 0.1,
            "averaging": "ema",
            "averaging_epochs": 1.0,
            "initial_resolution": 1.0,
            "warm_epochs": 0,
        }
    )


@dataclass(frozen=True)
class Entrant:
    """A network of the comparison."""

    genotype: Genotype
    role: Role
    name: str


@dataclass(frozen=True)
class Retrained:
    """What full training made of an entrant.

    ``test`` and ``validation`` are accuracies by seed, shares of 1; ``added_flops`` are those over the run's bare trunk;
    ``step_seconds`` and ``latency`` are medians over its trainings, the ratios those beside its own bare trunk. ``gains`` of a
    winner are in test accuracy, over ``bare``, ``reference`` (the best by validation) and ``plain`` (the plain trunk of at
    least its FLOPs), where these were trained.
    """

    entrant: Entrant
    test: tuple[float, ...]
    validation: tuple[float, ...]
    cost: Cost
    added_flops: int
    profile: StepProfile | None
    gains: dict[str, Gain]

    @property
    def key(self) -> str:
        """That of the network."""
        return self.entrant.genotype.key

    @property
    def accuracy(self) -> float:
        """Mean over seeds, on the test split."""
        return fmean(self.test)

    @property
    def deviation(self) -> float:
        """Standard deviation over seeds; NaN for one."""
        return float(np.std(self.test, ddof=1)) if len(self.test) > 1 else nan

    @property
    def interval(self) -> tuple[float, float]:
        """In which the mean over all seeds lies with 95 %, by Student's t; NaN for one seed."""
        if len(self.test) < 2:
            return nan, nan
        reach = float(stats.t(len(self.test) - 1).ppf(0.975)) * self.deviation / len(self.test) ** 0.5
        return self.accuracy - reach, self.accuracy + reach

    def to_dict(self) -> dict[str, Any]:
        """Plain data; None for NaN."""
        low, high = self.interval
        entrant = self.entrant
        return {
            "key": self.key,
            "role": entrant.role,
            "name": entrant.name,
            **entrant.genotype.to_dict(),
            "test": list(self.test),
            "validation": list(self.validation),
            **without_nan({"accuracy": self.accuracy, "standard_deviation": self.deviation, "low": low, "high": high}),
            "cost": self.cost.to_dict(),
            "added_flops": self.added_flops,
            "profile": self.profile.to_dict() if self.profile else None,
            "gains": {over: gain.to_dict() for over, gain in self.gains.items()},
        }


@dataclass(frozen=True)
class Verdict:
    """What a retraining found: winners first, then references, then plain trunks.

    ``best_reference`` is the key of the one, other than the bare trunk, that is best on the validation split; ``incomplete``
    says of the networks that are left out, by name, how many of their trainings there are, ``failures`` are reasons by key and
    seed. ``earlier`` is the number of other full trainings of the run, which have read the test split before.
    """

    retrained: tuple[Retrained, ...]
    best_reference: str | None
    incomplete: dict[str, int]
    failures: dict[str, str]
    earlier: int
    plan: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "plan": self.plan,
            "best_reference": self.best_reference,
            "networks": [each.to_dict() for each in self.retrained],
            "incomplete": self.incomplete,
            "failures": self.failures,
            "test_split_read_by_earlier_trainings": self.earlier,
        }


class Retraining(BesideRun):
    """Full training of ``winners`` of a run, of its references and of plain trunks with at least a winner's FLOPs.

    All are trained by one recipe (see `full_recipe`) with the same ``seeds`` seeds, none of them the search's, and scored on
    the test split once, after the last epoch. References among the winners stay references. With ``pretrained``, a
    safetensors file of weights of the bare trunk, all begin from these, at a tenth of the proxy's learning rate unless ``lr``
    is given; trunks of another width are left out then.

    Raises:
        UsageError: no seed, no epoch, a learning rate that is not above 0, or weights that do not fit.
        RunError: nothing was trained with a score yet.

    """

    def __init__(
        self,
        run: Run,
        winners: Sequence[Candidate],
        *,
        epochs: int | None = None,
        seeds: int = 5,
        lr: float | None = None,
        pretrained: Path | None = None,
    ) -> None:
        for name, number in (("--epochs", epochs), ("--seeds", seeds)):
            if number is not None and number < 1:
                raise UsageError(f"{name} {number}: choose at least 1")
        if lr is not None and not 0 < lr < inf:
            raise UsageError(f"--lr {lr}: choose a number above 0")
        if not run.candidates:
            raise RunError(f"{run.folder.path} has no finished trial yet")
        self.run = run
        trunk = run.candidates[0].record.genotype.trunk
        self.fresh = check_pretrained(pretrained, trunk, run.task) if pretrained else []
        rate = _FINE_TUNING * run.space.proxy.lr if pretrained and lr is None else lr
        self.recipe = full_recipe(run.space.proxy, epochs, rate)
        found = [candidate for candidate in winners if not candidate.record.reference]
        self._plain = {} if pretrained else _plain_trunks(run, found)
        self.entrants = tuple(_entrants(run, found, self._plain.values()))
        folder = run.folder.path / "retraining" / f"{self.recipe.epochs}-epochs-{_digest(self.recipe, pretrained)}"
        self.series = Series(
            self.recipe,
            ReplicateFolder(folder),
            seeds_for(run, Use.RETRAINING, seeds),
            tuple(entrant.genotype for entrant in self.entrants),
            in_full=True,
            pretrained=pretrained,
        )
        self.parts = (self.series,)

    def describe(self) -> dict[str, Any]:
        """The plan as plain data."""
        return {
            "recipe": self.recipe.model_dump(mode="json"),
            "seeds": list(self.series.seeds),
            "folder": str(self.series.folder.path.relative_to(self.run.folder.path)),
            "pretrained": str(self.series.pretrained) if self.series.pretrained else None,
            "numerics": self.run.manifest.numerics.to_dict(),
            "versions": {"attn_nas": __version__, "torch": torch.__version__},
            "networks": [
                {"key": each.genotype.key, "role": each.role, "name": each.name, "summary": str(each.genotype)}
                for each in self.entrants
            ],
        }

    def verdict(self) -> Verdict:
        """What the trainings say; networks that lack one, or failed with any seed, are left out.

        Raises:
            RunError: none has all its trainings.

        """
        trained = self.series.trained
        entrants = [entrant for entrant in self.entrants if entrant.genotype.key in trained]
        if not entrants:
            raise RunError("no network has all its trainings")
        rest = [each for each in entrants if each.role == "reference" and each.genotype.num_attended]
        best = max(rest, key=lambda each: fmean(_validation(trained[each.genotype.key])), default=None)
        bare = self.run.manifest.bare_cost.flops
        compared = {
            over: self._compared([each for each in entrants if each.role == "winner"], trained, over, best)
            for over in ("bare", "reference", "plain")
        }
        retrained = []
        for entrant in entrants:
            key = entrant.genotype.key
            trainings = trained[key]
            gains = {over: gains[key] for over, gains in compared.items() if key in gains}
            cost = trainings[0].cost
            retrained.append(
                Retrained(
                    entrant,
                    _test(trainings),
                    _validation(trainings),
                    cost,
                    cost.flops - bare,
                    _typical([training.profile for training in trainings if training.profile]),
                    gains,
                )
            )
        return Verdict(
            tuple(retrained),
            best.genotype.key if best else None,
            {each.name: self._done(each) for each in self.entrants if each.genotype.key not in trained},
            self.series.failures,
            self._earlier,
            self.describe(),
        )

    def _done(self, entrant: Entrant) -> int:
        replicates = (each for each in self.series.replicates if each.genotype == entrant.genotype)
        return sum(self.series.folder.get(each) is not None for each in replicates)

    @property
    def _earlier(self) -> int:
        """Folders of other full trainings of the run that have a result."""
        folders = {path.parent for path in self.series.folder.path.parent.glob("*/*.json")}
        return len(folders - {self.series.folder.path})

    def _compared(
        self, winners: Sequence[Entrant], trained: dict[str, list[Trained]], over: str, best: Entrant | None
    ) -> dict[str, Gain]:
        """The gains of the winners over what is named, by key, corrected for their number."""
        others = {}
        for winner in winners:
            own = winner.genotype.key
            found = {
                "bare": Genotype.bare(winner.genotype.trunk),
                "reference": best and best.genotype,
                "plain": self._plain.get(own),
            }[over]
            if found and found.key in trained and found.key != own:
                others[own] = found.key
        gains = [Gain.paired(_test(trained[own]), _test(trained[other])) for own, other in others.items()]
        return dict(zip(others, corrected(gains), strict=True))

    def write(self, verdict: Verdict) -> Path:
        """Write ``verdict`` as ``retraining.json`` into the run's folder; raises RunError."""
        return self.run.folder.write_document("retraining.json", verdict.to_dict())


def _entrants(run: Run, winners: Sequence[Candidate], plain: Iterable[Genotype]) -> Iterator[Entrant]:
    """Winners, references and plain trunks."""
    for candidate in winners:
        yield Entrant(candidate.record.genotype, "winner", candidate.record.key)
    for candidate in run.references:
        yield Entrant(candidate.record.genotype, "reference", str(candidate.record.reference))
    for genotype in dict.fromkeys(plain):
        yield Entrant(genotype, "plain trunk", f"width {genotype.trunk.width}")


def _plain_trunks(run: Run, winners: Sequence[Candidate]) -> dict[str, Genotype]:
    """By key of each winner with attention: a plain trunk of at least its FLOPs, where there is one."""
    found = {
        candidate.record.key: plain_trunk(candidate.record.genotype.trunk, run.task, candidate.record.cost.flops)
        for candidate in winners
        if candidate.record.genotype.num_attended
    }
    return {key: genotype for key, genotype in found.items() if genotype}


def plain_trunk(trunk: Trunk, task: Task, flops: int) -> Genotype | None:
    """The bare trunk of the least width above that of ``trunk`` that has ``flops`` or more; None up to twice its width."""
    for width in range(trunk.width + 1, 2 * trunk.width + 1):
        try:
            genotype = Genotype.bare(Trunk(trunk.name, trunk.depth, width))
            if cost_of(genotype, task).flops >= flops:
                return genotype
        except (SpaceError, ValueError):
            continue
    return None


def _test(trainings: Sequence[Trained]) -> tuple[float, ...]:
    return tuple(training.test.accuracy for training in trainings if training.test)


def _validation(trainings: Sequence[Trained]) -> tuple[float, ...]:
    return tuple(training.result.accuracy for training in trainings)


def _typical(profiles: Sequence[StepProfile]) -> StepProfile | None:
    """The median of each figure."""
    if not profiles:
        return None
    rows = [profile.to_dict() for profile in profiles]
    return StepProfile(**{name: median(row[name] for row in rows) for name in rows[0]})


def _digest(recipe: ProxySettings, pretrained: Path | None) -> str:
    """Names what a training follows from beside network and seed."""
    found = hashlib.sha256(recipe.model_dump_json().encode())
    if pretrained:
        found.update(pretrained.read_bytes())
    return found.hexdigest()[:8]
