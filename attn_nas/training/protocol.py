"""The interface between a search and its trainings: what a trainer takes and returns, and what it declares it can do.

A trainer is any callable that takes a genotype, a seed and a function to report epochs to (`TrainFunction`). To be paused,
dry-run, placed on GPUs or given files on other machines, it subclasses `Trainer` and overrides the members for that.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from attn_nas.cost import Cost
from attn_nas.errors import UsageError
from attn_nas.space.genotype import Genotype
from attn_nas.training import ProxyResult, StepProfile
from attn_nas.training.result import OnEpoch
from attn_nas.training.scores import Scores


@dataclass(frozen=True)
class Replicate:
    """One training of a network: ``genotype`` with ``seed``; as text ``KEY-SEED``."""

    genotype: Genotype
    seed: int

    def __str__(self) -> str:
        return f"{self.genotype.key}-{self.seed}"


@dataclass(frozen=True)
class Trained:
    """The outcome of one training.

    ``cost`` is the full count of the trained network, ``profile`` its step time and memory beside the bare trunk (None if it
    was not timed), ``test`` its scores on the test split (None in a search, which never reads that split). ``ended`` is true if
    a training that was asked to pause at an epoch has come to its end instead.
    """

    result: ProxyResult
    cost: Cost
    profile: StepProfile | None = None
    test: Scores | None = None
    ended: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, the inverse of `from_dict`; ``ended`` is left out."""
        return {name: value for name, value in asdict(self).items() if name != "ended"}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Trained:
        """Read the plain data that `to_dict` wrote; raises KeyError, TypeError, ValueError, AttributeError for other data."""
        profile, test = data["profile"], data["test"]
        return cls(
            ProxyResult.from_dict(data["result"]),
            Cost.from_dict(data["cost"]),
            StepProfile.from_dict(profile) if profile else None,
            Scores.from_dict(test) if test else None,
        )


@dataclass(frozen=True)
class DryRun:
    """A request to train ``genotype`` for a moment, in order to measure speed and memory.

    Training goes on until `time.monotonic` reaches ``until``; its speed is measured over the last ``seconds``. ``number``
    identifies the request in its answer.
    """

    number: int
    genotype: Genotype
    seconds: float
    until: float


@dataclass(frozen=True)
class Throughput:
    """The answer to dry run ``number``: training images per second, and memory of the GPU in MiB.

    ``used_memory_mb`` counts all that was in use on the GPU during the run, by any process. Without a GPU both sizes are 0.
    """

    number: int
    images_per_second: float
    used_memory_mb: float
    total_memory_mb: float


TrainFunction = Callable[[Genotype, int, OnEpoch], Trained]
"""Trains one candidate: takes its genotype, the seed, and a function to call after each epoch with its number (from 1) and the
validation accuracy (0 to 1). Raises AttnNasError if the candidate cannot be scored. It must be picklable to be used in worker
processes."""


class Trainer(ABC):
    """A trainer that declares what it can do beyond training one candidate to its end.

    A subclass overrides the members that apply; the defaults stand for a trainer that can do nothing else. Executors ask these
    members and never look at the class.

    To pause (early stopping): `train_until`. To let a search measure how many trainings fit on a GPU: `dry_run`, `largest` and
    `on_gpu`. To be trained on other machines with files: `relocated`, and whichever of `ships`, `prepared` with `prepare`,
    `pause_files` and `returns` apply. These four map names, equal on every machine, to the paths of this trainer. Files are
    carried only for a trainer that overrides `relocated`; another one reads and writes the same paths on every machine.
    """

    memory_advice = "Lower the batch size or the image size"
    """What the user can do when a candidate does not fit into the memory of a GPU."""

    @abstractmethod
    def __call__(self, genotype: Genotype, seed: int, on_epoch: OnEpoch) -> Trained:
        """Train ``genotype`` with ``seed`` to the end; see `TrainFunction`.

        Raises:
            AttnNasError: the candidate cannot be scored.
            DeviceLostError: the GPU no longer works in this process; the candidate is trained again in another one.
            WriteError: a file of the training cannot be written, as on a full disk.

        """

    @property
    def name(self) -> str:
        """The name of this trainer in messages."""
        return type(self).__name__

    @property
    def modules(self) -> frozenset[str]:
        """Names of the modules that define it; those that other machines may lack travel with it."""
        return frozenset(each.__module__ for each in type(self).__mro__)

    @property
    def worn_out(self) -> bool:
        """True if the process should be replaced by a fresh one before the next training."""
        return False

    @property
    def can_pause(self) -> bool:
        """True if `train_until` may be called; by default, if it is overridden."""
        return type(self).train_until is not Trainer.train_until

    @property
    def can_dry_run(self) -> bool:
        """True if `dry_run` may be called; by default, if it is overridden."""
        return type(self).dry_run is not Trainer.dry_run

    @property
    def can_relocate(self) -> bool:
        """True if its files are carried to other machines and back; by default, if `relocated` is overridden."""
        return type(self).relocated is not Trainer.relocated

    def train_until(self, epoch: int, genotype: Genotype, seed: int, on_epoch: OnEpoch) -> Trained:
        """Train to the end of ``epoch``, from where the same training paused before, and return the result since epoch 1.

        A later call may come in another process, which has the same `pause_files`.

        Raises:
            AttnNasError: as for a call of the trainer.

        """
        raise UsageError(f"{self.name} cannot pause a training")

    def dry_run(self, run: DryRun) -> Throughput:
        """Train ``run.genotype`` for a moment, and measure speed and memory.

        Raises:
            AttnNasError: the candidate cannot be trained, as when the memory is too small.

        """
        raise UsageError(f"{self.name} has no dry run")

    def largest(self, candidates: Collection[Genotype]) -> Genotype:
        """The candidate to dry-run, which should need the most memory; by default the one with most attention."""
        return max(candidates, key=lambda genotype: genotype.num_attended)

    def on_gpu(self, number: int) -> Trainer:
        """Return this trainer on CUDA device ``number``; by default itself, for trainers that use no GPU or choose it."""
        return self

    def relocated(self, shared: Path, own: Path) -> Trainer:
        """Return this trainer for another machine, where all its files are below two folders, which may not exist yet.

        Before its first training there the files of `ships` are in ``shared`` under their names. ``shared`` belongs to all
        processes of the machine, and holds the files of `prepared` too; ``own`` belongs to one process, and takes all that a
        training writes. Both are removed when the search ends.
        """
        return self

    def ships(self) -> Mapping[str, Path]:
        """Files that every training reads, and that exist before the first; names are plain file names."""
        return {}

    def prepared(self, genotype: Genotype, seed: int) -> Mapping[str, Path]:
        """Files that this training reads, shares with others, and that `prepare` makes; one of them is enough."""
        return {}

    def prepare(self, genotype: Genotype, seed: int) -> None:
        """Make the files of `prepared`: a cluster does this once, on one machine. A training that lacks them makes them itself.

        Raises:
            AttnNasError: they cannot be made.

        """
        raise UsageError(f"{self.name} prepares no files")

    def pause_files(self, genotype: Genotype, seed: int) -> Mapping[str, Path]:
        """Files that hold this training while it is paused, in the order in which they are written."""
        return {}

    def returns(self, genotype: Genotype, seed: int) -> Mapping[str, Path]:
        """Files to bring back when this training has ended, such as weights; a file that it did not leave is skipped."""
        return {}


class _Callable(Trainer):
    """A trainer that has declared nothing."""

    def __init__(self, function: TrainFunction) -> None:
        self._function = function

    def __call__(self, genotype: Genotype, seed: int, on_epoch: OnEpoch) -> Trained:
        return self._function(genotype, seed, on_epoch)

    @property
    def _source(self) -> Any:
        """What the user has written, without the arguments that `functools.partial` adds."""
        found: Any = self._function
        while isinstance(found, partial):
            found = found.func
        return found

    @property
    def name(self) -> str:
        return str(getattr(self._source, "__name__", type(self._source).__name__))

    @property
    def modules(self) -> frozenset[str]:
        defining = {getattr(self._source, "__module__", None), *(each.__module__ for each in type(self._source).__mro__)}
        return frozenset(filter(None, defining))


def declared(trainer: TrainFunction) -> Trainer:
    """``trainer`` itself if it is a `Trainer`; another callable as a trainer that can do nothing but train."""
    return trainer if isinstance(trainer, Trainer) else _Callable(trainer)
