"""Full training of winners and references by one recipe, scored on the test split, which no search reads."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
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
from attn_nas.followups.training_plan import FollowUp, SeedPurpose, TrainingPlan, cost_of, seeds_for
from attn_nas.runs.candidate import Candidate
from attn_nas.runs.run import Run
from attn_nas.space.genotype import Genotype
from attn_nas.space.metric import ACCURACY, Metric
from attn_nas.space.schema import ProxySettings
from attn_nas.space.task import Task
from attn_nas.space.trunks import Trunk
from attn_nas.stats.paired_gains import Gain, corrected
from attn_nas.stats.uncertainty import without_nan
from attn_nas.training import StepProfile
from attn_nas.training.pretrained import check_pretrained
from attn_nas.training.protocol import Trained
from attn_nas.version import __version__

_EPOCHS_FACTOR = 10
"""Default epochs, relative to the proxy's."""
_FINE_TUNING_FACTOR = 0.1
"""Learning rate of a start from pretrained weights, relative to the proxy's."""

Role = Literal["winner", "reference", "plain trunk"]


def full_recipe(proxy: ProxySettings, epochs: int | None = None, lr: float | None = None) -> ProxySettings:
    """Return the settings of a full training: ``epochs`` epochs (by default ten times the proxy's) without its shortcuts.

    Images have full resolution from the first epoch, labels are smoothed by 0.1 (arXiv 1512.00567), the learning rate warms up
    for a tenth of the steps, and the scored weights are an exponential moving average with a half-life of one epoch. ``lr`` is
    the peak learning rate, by default the proxy's.
    """
    return ProxySettings.model_validate(
        {
            **proxy.model_dump(),
            "epochs": _EPOCHS_FACTOR * proxy.epochs if epochs is None else epochs,
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
class ComparedNetwork:
    """A network of the comparison, with its ``role`` and the ``name`` shown for it."""

    genotype: Genotype
    role: Role
    name: str


@dataclass(frozen=True)
class NetworkResult:
    """Full training of one network: accuracies, costs, times and gains.

    ``test`` and ``validation`` hold one accuracy (0 to 1) per seed. ``added_flops`` are relative to the run's trunk without
    attention. ``profile`` holds medians over the trainings; its ratios are relative to the network's own trunk. ``gains`` of a
    winner are in test accuracy over ``bare`` (no attention), ``reference`` (the best by validation) and ``plain`` (a wider
    trunk without attention of at least its FLOPs), as far as these were trained. Where an objective trains, both hold the
    scores of its ``metric``, which it measures on data of its own.
    """

    network: ComparedNetwork
    test: tuple[float, ...]
    validation: tuple[float, ...]
    cost: Cost
    added_flops: int
    profile: StepProfile | None
    gains: dict[str, Gain]
    metric: Metric = ACCURACY

    @property
    def key(self) -> str:
        """Key of the network's genotype."""
        return self.network.genotype.key

    @property
    def accuracy(self) -> float:
        """Mean accuracy on the test split over seeds, from 0 to 1, or mean score of an objective."""
        return fmean(self.test)

    @property
    def deviation(self) -> float:
        """Standard deviation of the test accuracy over seeds; NaN for one seed."""
        return float(np.std(self.test, ddof=1)) if len(self.test) > 1 else nan

    @property
    def interval(self) -> tuple[float, float]:
        """95 % confidence interval of the mean test accuracy by Student's t; NaN for one seed."""
        if len(self.test) < 2:
            return nan, nan
        reach = float(stats.t(len(self.test) - 1).ppf(0.975)) * self.deviation / len(self.test) ** 0.5
        return self.accuracy - reach, self.accuracy + reach

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready data; NaN becomes None."""
        network, metric = self.network, self.metric
        low, high = sorted(map(metric.value, self.interval))
        return {
            "key": self.key,
            "role": network.role,
            "name": network.name,
            **network.genotype.to_dict(),
            **self._by_seed,
            **without_nan(
                {metric.name: metric.value(self.accuracy), "standard_deviation": self.deviation, "low": low, "high": high}
            ),
            "cost": self.cost.to_dict(),
            "added_flops": self.added_flops,
            "profile": self.profile.to_dict() if self.profile else None,
            "gains": {over: gain_in(gain, metric).to_dict() for over, gain in self.gains.items()},
        }

    @property
    def _by_seed(self) -> dict[str, list[float]]:
        if self.metric == ACCURACY:
            return {"test": list(self.test), "validation": list(self.validation)}
        return {"by_seed": [*map(self.metric.value, self.test)]}


def gain_in(gain: Gain, metric: Metric) -> Gain:
    """``gain``, which is one of scores, as a difference in the ``metric``, in its direction."""
    low, high = sorted((metric.change(gain.low), metric.change(gain.high)))
    return replace(gain, mean=metric.change(gain.mean), low=low, high=high)


@dataclass(frozen=True)
class RetrainingResult:
    """Result of a retraining: ``networks`` in the order winners, references, wider trunks without attention.

    ``best_reference`` is the key of the reference with attention that has the highest validation accuracy. ``incomplete`` maps
    the name of each network that was left out to the number of its finished trainings. ``failures`` maps key and seed of a
    failed training to the reason. ``prior_trainings`` counts other full trainings of the run: they read the test split before.
    """

    networks: tuple[NetworkResult, ...]
    best_reference: str | None
    incomplete: dict[str, int]
    failures: dict[str, str]
    prior_trainings: int
    plan: dict[str, Any]

    @property
    def metric(self) -> Metric:
        """The metric of the run."""
        return Metric.of_event(self.plan.get("metric"))

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready data."""
        return {
            "plan": self.plan,
            "best_reference": self.best_reference,
            "networks": [each.to_dict() for each in self.networks],
            "incomplete": self.incomplete,
            "failures": self.failures,
            **({"test_split_read_by_earlier_trainings": self.prior_trainings} if self.metric == ACCURACY else {}),
        }


class Retraining(FollowUp):
    """Trains ``winners`` of a run, its references, and wider trunks without attention of at least a winner's FLOPs, in full.

    All are trained by one recipe (see `full_recipe`) with the same ``seeds`` seeds, which the search did not use, and scored
    on the test split once, after the last epoch. References among the winners stay references. ``pretrained`` is a safetensors
    file with weights of the trunk without attention: all networks start from them, at a tenth of the proxy's learning rate
    unless ``lr`` is given, and wider trunks, which the weights do not fit, are left out.

    Raises:
        UsageError: ``seeds`` or ``epochs`` is below 1, ``lr`` is not above 0, or the weights do not fit.
        RunError: the run has no scored candidate yet.

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
        if run.space.objective and (lr is not None or pretrained):
            given = "--lr" if lr is not None else "--pretrained"
            raise UsageError(f"{given}: the objective of this run has a recipe of its own; leave it out")
        self.run = run
        trunk = run.candidates[0].record.genotype.trunk
        self.fresh = check_pretrained(pretrained, trunk, run.task) if pretrained else []
        rate = _FINE_TUNING_FACTOR * run.space.proxy.lr if pretrained and lr is None else lr
        self.recipe = full_recipe(run.space.proxy, epochs, rate)
        found = [candidate for candidate in winners if not candidate.record.reference]
        self._wider_trunks = {} if pretrained else _wider_trunks(run, found)
        self.networks = tuple(_compared_networks(run, found, self._wider_trunks.values()))
        folder = run.folder.path / "retraining" / f"{self.recipe.epochs}-epochs-{_digest(self.recipe, pretrained)}"
        self.plan = TrainingPlan(
            self.recipe,
            ReplicateFolder(folder),
            seeds_for(run, SeedPurpose.RETRAINING, seeds),
            tuple(network.genotype for network in self.networks),
            in_full=True,
            pretrained=pretrained,
        )
        self.plans = (self.plan,)

    def describe(self) -> dict[str, Any]:
        """Return recipe, seeds, numerics and networks of the retraining as JSON-ready data."""
        return {
            **({} if self.run.metric == ACCURACY else {"metric": self.run.metric.to_dict()}),
            "recipe": self.recipe.model_dump(mode="json"),
            "seeds": list(self.plan.seeds),
            "folder": str(self.plan.folder.path.relative_to(self.run.folder.path)),
            "pretrained": str(self.plan.pretrained) if self.plan.pretrained else None,
            "numerics": self.run.manifest.numerics.to_dict(),
            "versions": {"attn_nas": __version__, "torch": torch.__version__},
            "networks": [
                {"key": each.genotype.key, "role": each.role, "name": each.name, "summary": str(each.genotype)}
                for each in self.networks
            ],
        }

    def result(self) -> RetrainingResult:
        """Compare the networks; a network that lacks a training, or failed with any seed, is left out.

        Raises:
            RunError: no network has all its trainings.

        """
        trained = self.plan.trained
        networks = [network for network in self.networks if network.genotype.key in trained]
        if not networks:
            raise RunError("no network has all its trainings")
        rest = [each for each in networks if each.role == "reference" and each.genotype.num_attended]
        best = max(rest, key=lambda each: fmean(_validation(trained[each.genotype.key])), default=None)
        bare = self.run.manifest.bare_cost.flops
        compared = {
            over: self._compared([each for each in networks if each.role == "winner"], trained, over, best)
            for over in ("bare", "reference", "plain")
        }
        retrained = []
        for network in networks:
            key = network.genotype.key
            trainings = trained[key]
            gains = {over: gains[key] for over, gains in compared.items() if key in gains}
            cost = trainings[0].cost
            retrained.append(
                NetworkResult(
                    network,
                    _test(trainings),
                    _validation(trainings),
                    cost,
                    cost.flops - bare,
                    _median([training.profile for training in trainings if training.profile]),
                    gains,
                    self.run.metric,
                )
            )
        return RetrainingResult(
            tuple(retrained),
            best.genotype.key if best else None,
            {each.name: self._done(each) for each in self.networks if each.genotype.key not in trained},
            self.plan.failures,
            self._prior_trainings,
            self.describe(),
        )

    def _done(self, network: ComparedNetwork) -> int:
        replicates = (each for each in self.plan.replicates if each.genotype == network.genotype)
        return sum(self.plan.folder.get(each) is not None for each in replicates)

    @property
    def _prior_trainings(self) -> int:
        """Number of other full trainings of the run that have a result."""
        folders = {path.parent for path in self.plan.folder.path.parent.glob("*/*.json")}
        return len(folders - {self.plan.folder.path})

    def _compared(
        self, winners: Sequence[ComparedNetwork], trained: dict[str, list[Trained]], over: str, best: ComparedNetwork | None
    ) -> dict[str, Gain]:
        """Return the gains of the winners by key, over ``bare``, ``reference`` or ``plain``, corrected for their number."""
        others = {}
        for winner in winners:
            own = winner.genotype.key
            found = {
                "bare": Genotype.bare(winner.genotype.trunk),
                "reference": best and best.genotype,
                "plain": self._wider_trunks.get(own),
            }[over]
            if found and found.key in trained and found.key != own:
                others[own] = found.key
        gains = [Gain.paired(_test(trained[own]), _test(trained[other])) for own, other in others.items()]
        return dict(zip(others, corrected(gains), strict=True))

    def write(self, result: RetrainingResult) -> Path:
        """Write ``result`` as ``retraining.json`` into the run's folder and return its path.

        Raises:
            RunError: the file cannot be written.

        """
        return self.run.folder.write_document("retraining.json", result.to_dict())


def _compared_networks(run: Run, winners: Sequence[Candidate], wider: Iterable[Genotype]) -> Iterator[ComparedNetwork]:
    """Yield winners, references and wider trunks without attention."""
    for candidate in winners:
        yield ComparedNetwork(candidate.record.genotype, "winner", candidate.name)
    for candidate in run.references:
        yield ComparedNetwork(candidate.record.genotype, "reference", str(candidate.record.reference))
    for genotype in dict.fromkeys(wider):
        assert isinstance(genotype.trunk, Trunk)
        yield ComparedNetwork(genotype, "plain trunk", f"width {genotype.trunk.width}")


def _wider_trunks(run: Run, winners: Sequence[Candidate]) -> dict[str, Genotype]:
    """Map the key of each winner with attention to a wider trunk of at least its FLOPs; winners without one are left out.

    Networks of the user's own have no width that attn-nas knows.
    """
    found = {
        candidate.record.key: wider_trunk(trunk, run.task, candidate.record.cost.flops)
        for candidate in winners
        if candidate.record.genotype.num_attended and isinstance(trunk := candidate.record.genotype.trunk, Trunk)
    }
    return {key: genotype for key, genotype in found.items() if genotype}


def wider_trunk(trunk: Trunk, task: Task, flops: int) -> Genotype | None:
    """Find the narrowest trunk, wider than ``trunk`` and without attention, of at least ``flops`` FLOPs.

    Returns None if no width up to twice that of ``trunk`` suffices.
    """
    for width in range(trunk.width + 1, 2 * trunk.width + 1):
        try:
            genotype = Genotype.bare(Trunk(trunk.name, trunk.depth, width))
            if cost_of(genotype, task).flops >= flops:
                return genotype
        except (SpaceError, ValueError):
            continue
    return None


def _test(trainings: Sequence[Trained]) -> tuple[float, ...]:
    """Accuracies on the test split; the values of an objective, which has no such split, are taken as they are."""
    return tuple((training.test or training.result).accuracy for training in trainings)


def _validation(trainings: Sequence[Trained]) -> tuple[float, ...]:
    return tuple(training.result.accuracy for training in trainings)


def _median(profiles: Sequence[StepProfile]) -> StepProfile | None:
    """Return the median of each field; None without profiles."""
    if not profiles:
        return None
    rows = [profile.to_dict() for profile in profiles]
    return StepProfile(**{name: median(row[name] for row in rows) for name in rows[0]})


def _digest(recipe: ProxySettings, pretrained: Path | None) -> str:
    """Hash the recipe and the pretrained weights: with network and seed they determine a training."""
    found = hashlib.sha256(recipe.model_dump_json().encode())
    if pretrained:
        found.update(pretrained.read_bytes())
    return found.hexdigest()[:8]
