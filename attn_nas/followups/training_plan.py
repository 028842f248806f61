"""Trainings beside a run: given networks, each with several seeds, by settings of their own; audits and full retrainings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from pathlib import Path
from statistics import fmean

from attn_nas.cost import Cost, count_cost
from attn_nas.engine.setting import Setting
from attn_nas.execution.gpu_packing import make_executor
from attn_nas.execution.replicates import OnReplicate, ReplicateFolder, train_replicates
from attn_nas.execution.resources import Resources
from attn_nas.files import discard_unfinished
from attn_nas.models.build import build_model
from attn_nas.runs.folder import RunFolder
from attn_nas.runs.run import Run
from attn_nas.space.genotype import Genotype
from attn_nas.space.schema import ProxySettings
from attn_nas.space.task import Task
from attn_nas.training import Numerics
from attn_nas.training.images import epoch_work
from attn_nas.training.protocol import Replicate, Trained
from attn_nas.training.trainer import ProxyTrainer, share_dataset

_SEED_STRIDE = 1000


class Use(IntEnum):
    """What seeds are for, and where theirs begin: shared chance must not pass for agreement."""

    AUDIT = 0
    LONG_AUDIT = 500
    RETRAINING = 750


def seeds_for(run: Run, use: Use, number: int) -> range:
    """``number`` seeds that neither the search of ``run`` nor another use has."""
    first = _SEED_STRIDE * (1 + run.manifest.seed) + use
    return range(first, first + number)


@dataclass(frozen=True)
class Series:
    """``genotypes``, each trained by ``settings`` with each of the ``seeds``; results are kept in ``folder``.

    With ``in_full`` trainings are scored on the test split and timed beside the bare trunk, and ``folder/weights`` keeps the
    weights of each network's first seed. ``pretrained`` is a safetensors file of trunk weights to begin from.
    """

    settings: ProxySettings
    folder: ReplicateFolder
    seeds: range
    genotypes: tuple[Genotype, ...]
    in_full: bool = False
    pretrained: Path | None = None

    @cached_property
    def replicates(self) -> list[Replicate]:
        """All trainings: all networks with one seed, before the next."""
        return [Replicate(genotype, seed) for seed in self.seeds for genotype in self.genotypes]

    @property
    def missing(self) -> list[Replicate]:
        """What is still to be trained; in full also what has failed, and the first seed of what has lost its weights."""
        if not self.in_full:
            return self.folder.missing(self.replicates)
        return [each for each in self.replicates if self.folder.get(each) is None or self._has_lost_weights(each)]

    def _has_lost_weights(self, replicate: Replicate) -> bool:
        return replicate.seed == self.seeds[0] and not (self.weights / f"{replicate.genotype.key}.safetensors").exists()

    @property
    def failures(self) -> dict[str, str]:
        """The reason by replicate of each that could not be trained."""
        return self.folder.failures(self.replicates)

    @property
    def trained(self) -> dict[str, list[Trained]]:
        """By key: one training for every seed, of the networks that have them all."""
        found: dict[str, list[Trained]] = {}
        for replicate in self.replicates:
            trained = self.folder.get(replicate)
            if trained:
                found.setdefault(replicate.genotype.key, []).append(trained)
        return {key: trainings for key, trainings in found.items() if len(trainings) == len(self.seeds)}

    @property
    def weights(self) -> Path:
        """Folder of the weights that are kept."""
        return self.folder.path / "weights"

    def trainer(self, run: RunFolder, numerics: Numerics, threads: int) -> ProxyTrainer:
        """What trains its replicates."""
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


def predicted_seconds(run: Run, series: Sequence[Series], workers: int) -> float:
    """Wall time of what is missing, from what trainings of the run took; for networks it has not, from their FLOPs."""
    took = {candidate.record.key: fmean(result.seconds for result in candidate.results) for candidate in run.candidates}
    per_flop = fmean(took[candidate.record.key] / candidate.record.cost.flops for candidate in run.candidates)
    size = (run.task.height, run.task.width)
    proxy_work = sum(epoch_work(size, run.space.proxy))
    total = 0.0
    for each in series:
        replicates = Counter(replicate.genotype for replicate in each.missing)
        for genotype, number in replicates.items():
            seconds = took[genotype.key] if genotype.key in took else per_flop * cost_of(genotype, run.task).flops
            total += number * seconds * sum(epoch_work(size, each.settings)) / proxy_work
    return total / workers


class BesideRun:
    """Trainings beside ``run``, in ``parts``."""

    run: Run
    parts: Sequence[Series]

    @property
    def remaining(self) -> int:
        """Trainings that are still to be done."""
        return sum(len(part.missing) for part in self.parts)

    def seconds(self, workers: int) -> float:
        """Wall time of what remains, from the run's own trainings."""
        return predicted_seconds(self.run, self.parts, workers)

    def train(self, resources: Resources, on_end: OnReplicate, download: bool = False) -> None:
        """Train what is missing: see `train_series`."""
        train_series(self.run, self.parts, resources, on_end, download=download)


def cost_of(genotype: Genotype, task: Task) -> Cost:
    """The full count of a network."""
    return count_cost(build_model(genotype, task.num_classes, task.channels, seed=0), task)


def train_series(
    run: Run, series: Sequence[Series], resources: Resources, on_end: OnReplicate, *, download: bool = False
) -> None:
    """Train what is missing; what was done before, by this or another call, is not repeated.

    Raises:
        RunError: another process works on the run, or a result cannot be written.
        DataError, DeviceError: the run's data or device are not there.

    """
    waiting = [each for each in series if each.missing]
    if not waiting:
        return
    with run.folder.locked():
        setting = Setting(run.manifest, run.folder.path, download=download)
        share_dataset(setting.dataset, run.folder.cache, test=any(each.in_full for each in waiting))
        for each in waiting:
            for replicate in each.missing if each.in_full else ():
                each.folder.forget(replicate)
            trainer = each.trainer(run.folder, setting.numerics, resources.threads)
            executor = make_executor(trainer, resources, each.genotypes)
            try:
                train_replicates(each.replicates, each.folder, executor, on_end)
            finally:
                executor.close()
                for folder in (each.folder.path, each.weights):
                    discard_unfinished(folder)
