"""Trainings after a search: given networks, each with several seeds, by given settings. Audit and retraining use it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import Any

from attn_nas.cost import Cost, count_network
from attn_nas.data.arrays import share_dataset
from attn_nas.engine.objective import GivenObjective, resumed_objective
from attn_nas.engine.setting import Setting
from attn_nas.execution.gpu_packing import make_executor
from attn_nas.execution.replicates import OnReplicate, ReplicateFolder, train_replicates
from attn_nas.execution.resources import Resources
from attn_nas.files import discard_unfinished
from attn_nas.models.build import build_model
from attn_nas.runs.data_identity import with_known_test
from attn_nas.runs.folder import RunFolder
from attn_nas.runs.run import Run
from attn_nas.space.genotype import Genotype
from attn_nas.space.schema import ProxySettings
from attn_nas.space.task import Task
from attn_nas.training import Numerics
from attn_nas.training.images import epoch_work
from attn_nas.training.objective import ObjectiveSource, ObjectiveTrainer
from attn_nas.training.protocol import Replicate, Trained, Trainer
from attn_nas.training.trainer import ProxyTrainer

_SEED_STRIDE = 1000


class SeedPurpose(IntEnum):
    """First seed of each purpose within a run's block of 1,000 seeds: no two purposes share a seed."""

    AUDIT = 0
    LONG_AUDIT = 500
    RETRAINING = 750


def seeds_for(run: Run, purpose: SeedPurpose, number: int) -> range:
    """Return ``number`` seeds for ``purpose`` that the search of ``run`` does not use."""
    first = _SEED_STRIDE * (1 + run.manifest.seed) + purpose
    return range(first, first + number)


@dataclass(frozen=True)
class TrainingPlan:
    """Trains each of the ``genotypes`` by ``settings`` with each of the ``seeds``; results are written to ``folder``.

    With ``in_full``, trainings are scored on the test split and timed relative to the trunk without attention, and
    ``folder/weights`` keeps the weights of each network's first seed. ``pretrained`` is a safetensors file with trunk weights
    to start from.
    """

    settings: ProxySettings
    folder: ReplicateFolder
    seeds: range
    genotypes: tuple[Genotype, ...]
    in_full: bool = False
    pretrained: Path | None = None

    @cached_property
    def replicates(self) -> list[Replicate]:
        """All trainings in their order: all networks with the first seed, then with the next."""
        return [Replicate(genotype, seed) for seed in self.seeds for genotype in self.genotypes]

    @property
    def missing(self) -> list[Replicate]:
        """Trainings without a result; with ``in_full`` also failed trainings, and first seeds whose weights are missing."""
        if not self.in_full:
            return self.folder.missing(self.replicates)
        return [each for each in self.replicates if self.folder.get(each) is None or self._has_lost_weights(each)]

    def _has_lost_weights(self, replicate: Replicate) -> bool:
        return replicate.seed == self.seeds[0] and not (self.weights / f"{replicate.genotype.key}.safetensors").exists()

    @property
    def failures(self) -> dict[str, str]:
        """Reason of each failed training, by key and seed of the training."""
        return self.folder.failures(self.replicates)

    @property
    def trained(self) -> dict[str, list[Trained]]:
        """Trainings of each network, one per seed, by key; networks that lack a seed are left out."""
        found: dict[str, list[Trained]] = {}
        for replicate in self.replicates:
            trained = self.folder.get(replicate)
            if trained:
                found.setdefault(replicate.genotype.key, []).append(trained)
        return {key: trainings for key, trainings in found.items() if len(trainings) == len(self.seeds)}

    @property
    def weights(self) -> Path:
        """Folder of the kept weights."""
        return self.folder.path / "weights"

    def objective_trainer(self, source: ObjectiveSource, setting: Setting, threads: int) -> ObjectiveTrainer:
        """Make the trainer of an objective for this plan; its value is that of the objective's own data."""
        return ObjectiveTrainer(
            source,
            setting.space.metric,
            setting.task,
            self.settings.epochs,
            setting.numerics,
            threads,
            self.weights if self.in_full else None,
            kept_seed=self.seeds[0] if self.in_full else None,
        )

    def trainer(self, run: RunFolder, numerics: Numerics, threads: int) -> ProxyTrainer:
        """Make the trainer for this plan; ``threads`` is the number of CPU threads of one training."""
        return ProxyTrainer(
            self.settings,
            numerics,
            threads,
            run.cache,
            run.trunks,
            self.weights if self.in_full else None,
            kept_seed=self.seeds[0] if self.in_full else None,
            pretrained=self.pretrained,
            profiled=self.in_full,
            tested=self.in_full,
        )


def predicted_seconds(run: Run, plans: Sequence[TrainingPlan], workers: int) -> float:
    """Predict the wall time in seconds of the missing trainings on ``workers`` workers.

    The prediction scales the seconds that the search took for a network by the work of its epochs. Networks that the search
    did not train are predicted from their FLOPs.
    """
    took = {candidate.record.key: fmean(result.seconds for result in candidate.results) for candidate in run.candidates}
    per_flop = fmean(took[candidate.record.key] / candidate.record.cost.flops for candidate in run.candidates)
    size = (run.task.height, run.task.width)
    proxy_work = sum(epoch_work(size, run.space.proxy))
    total = 0.0
    for plan in plans:
        replicates = Counter(replicate.genotype for replicate in plan.missing)
        for genotype, number in replicates.items():
            seconds = took[genotype.key] if genotype.key in took else per_flop * cost_of(genotype, run.task).flops
            total += number * seconds * sum(epoch_work(size, plan.settings)) / proxy_work
    return total / workers


class FollowUp(ABC):
    """Base of trainings that follow the search of ``run``, described by ``plans``."""

    run: Run
    plans: Sequence[TrainingPlan]

    @property
    def remaining(self) -> int:
        """Number of trainings still to do."""
        return sum(len(plan.missing) for plan in self.plans)

    def seconds(self, workers: int) -> float:
        """Predict the wall time in seconds of the remaining trainings; see `predicted_seconds`."""
        return predicted_seconds(self.run, self.plans, workers)

    def check_data(self) -> None:
        """Raise DataError if the names of the images show that a missing training cannot be scored; reads no image."""
        _check_test_split(self.run, self.plans)

    def train(
        self,
        resources: Resources,
        on_end: OnReplicate,
        download: bool = False,
        objective: GivenObjective | None = None,
    ) -> None:
        """Do the missing trainings; see `run_plan`."""
        run_plan(self.run, self.plans, resources, on_end, download=download, objective=objective)

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """Return the plan as JSON-ready data."""


def cost_of(genotype: Genotype, task: Task) -> Cost:
    """Build the network and count its cost: FLOPs and MACs of one image, and parameters."""
    model = build_model(genotype, task.num_classes, task.channels, seed=0)
    return count_network(model, genotype.trunk, task)


def run_plan(
    run: Run,
    plans: Sequence[TrainingPlan],
    resources: Resources,
    on_end: OnReplicate,
    *,
    download: bool = False,
    objective: GivenObjective | None = None,
) -> None:
    """Do the missing trainings of ``plans``; earlier results in their folders are not computed again.

    ``on_end`` is called after each training. ``download`` allows fetching the data set. The run's own ``objective`` is used,
    which must be given again if it has no name.

    Raises:
        UsageError, SpaceError: the objective of the run is missing, is not trusted, or cannot be loaded by worker processes.
        RunError: another process works on the run, or a result cannot be written.
        DataError: the data set is missing or damaged.
        DeviceError: this machine lacks the device or precision of the run.

    """
    waiting = [plan for plan in plans if plan.missing]
    if not waiting:
        return
    _check_test_split(run, waiting)
    source = resumed_objective(run.manifest, run.folder.path, objective)
    if source and (resources.at_first > 1 or resources.trial_timeout is not None):
        source.check_carried()
    with run.folder.locked():
        setting = Setting(run.manifest, run.folder.path, data_root=run.data_root, download=download)
        if source is None:
            dataset = with_known_test(setting.dataset, run.folder)
            share_dataset(dataset, run.folder.cache, test=any(plan.in_full for plan in waiting))
        for plan in waiting:
            for replicate in plan.missing if plan.in_full else ():
                plan.folder.forget(replicate)
            trainer: Trainer = (
                plan.objective_trainer(source, setting, resources.threads)
                if source
                else plan.trainer(run.folder, setting.numerics, resources.threads)
            )
            executor = make_executor(trainer, resources, plan.genotypes)
            try:
                train_replicates(plan.replicates, plan.folder, executor, on_end)
            finally:
                executor.close()
                for folder in (plan.folder.path, plan.weights):
                    discard_unfinished(folder)


def _check_test_split(run: Run, plans: Sequence[TrainingPlan]) -> None:
    if run.space.objective is None and any(plan.in_full and plan.missing for plan in plans):
        run.check_test_split()
