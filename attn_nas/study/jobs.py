"""What is trained, by whom, and what comes back; the words between the coordinator and its executors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Protocol, runtime_checkable

from attn_nas.cost import Cost
from attn_nas.errors import AttnNasError, DeviceLostError, WriteError
from attn_nas.proxy.result import OnEpoch, ProxyResult
from attn_nas.proxy.scores import Scores
from attn_nas.proxy.step_profile import StepProfile
from attn_nas.space.genotype import Genotype


@dataclass(frozen=True)
class Job:
    """Train ``genotype`` with ``seed`` for trial ``number``: to its end, or ``until`` an epoch, where it may be paused.

    What was paused goes on from there.
    """

    number: int
    genotype: Genotype
    seed: int
    until: int | None = None


@dataclass(frozen=True)
class Progress:
    """One epoch of a job is over."""

    number: int
    epoch: int
    accuracy: float


@dataclass(frozen=True)
class Trained:
    """What a trainer gives back; ``cost`` is the full count of the network that was trained, ``profile`` its step time.

    ``test`` are its scores on the test split, which no search asks for.
    """

    result: ProxyResult
    cost: Cost
    profile: StepProfile | None = None
    test: Scores | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain data, the inverse of `from_dict`."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Trained:
        """What `to_dict` wrote."""
        profile, test = data["profile"], data["test"]
        return cls(
            ProxyResult.from_dict(data["result"]),
            Cost.from_dict(data["cost"]),
            StepProfile.from_dict(profile) if profile else None,
            Scores.from_dict(test) if test else None,
        )


@dataclass(frozen=True)
class Finished:
    """A job has been done."""

    number: int
    trained: Trained


@dataclass(frozen=True)
class Failed:
    """A job ended without a result. ``lost`` means that its worker or its GPU died, not that the training failed.

    ``blameless`` means that its machine was lost, which is no sign against what it trained; ``unwritable`` that it was trained,
    but could not be kept, as on a full disk.
    """

    number: int
    reason: str
    lost: bool = False
    blameless: bool = False
    unwritable: bool = False


@dataclass(frozen=True)
class DryRun:
    """Train ``genotype`` until the monotonic clock shows ``until``, to see how fast it goes in the last ``seconds``."""

    number: int
    genotype: Genotype
    seconds: float
    until: float


@dataclass(frozen=True)
class Throughput:
    """What a dry run found: training images per second, and memory of the device that was in use with it, and in all."""

    number: int
    images_per_second: float
    used_memory_mb: float
    total_memory_mb: float


Message = Progress | Finished | Failed | Throughput


class Trainer(Protocol):
    """Trains one candidate; picklable, so that it can go to a worker process."""

    def __call__(self, genotype: Genotype, seed: int, on_epoch: OnEpoch) -> Trained:
        """What came of it; raises AttnNasError when the candidate cannot be scored."""
        ...


@runtime_checkable
class MeasuredTrainer(Protocol):
    """A trainer that can also say how fast it is, and whether its process should be replaced by a fresh one."""

    @property
    def worn_out(self) -> bool:
        """Whether the process should end after this job."""
        ...

    def dry_run(self, run: DryRun) -> Throughput:
        """Train for a moment."""
        ...


@runtime_checkable
class PausingTrainer(Protocol):
    """A trainer that can pause after an epoch, and go on in any process that has the same files."""

    def train_until(self, epoch: int, genotype: Genotype, seed: int, on_epoch: OnEpoch) -> Trained:
        """What came of it so far, from the first epoch on; raises AttnNasError when the candidate cannot be scored."""
        ...


class _UnheardError(BaseException):
    """Progress that could not be told, which is no failure of a training, and which no trainer takes for one."""

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error


def run_job(trainer: Trainer, job: Job | DryRun, tell: Callable[[Message], None]) -> Message:
    """Do ``job``, tell and return how it ended; a failure of any kind is told, never raised; what ``tell`` raises is."""
    ended: Message
    try:
        if isinstance(job, Job):
            ended = _trained(trainer, job, tell)
        elif isinstance(trainer, MeasuredTrainer):
            ended = trainer.dry_run(job)
        else:
            ended = Failed(job.number, f"{type(trainer).__name__} has no dry run")
    except _UnheardError as unheard:
        raise unheard.error from None
    except DeviceLostError as error:
        ended = Failed(job.number, str(error), lost=True)
    except WriteError as error:
        ended = Failed(job.number, str(error), unwritable=True)
    except AttnNasError as error:
        ended = Failed(job.number, str(error))
    except Exception as error:  # noqa: BLE001 - one candidate must never end the search
        ended = Failed(job.number, f"{type(error).__name__}: {error}")
    tell(ended)
    return ended


def _trained(trainer: Trainer, job: Job, tell: Callable[[Message], None]) -> Finished:
    def on_epoch(epoch: int, accuracy: float) -> None:
        try:
            tell(Progress(job.number, epoch, accuracy))
        except Exception as error:  # noqa: BLE001 - whatever a listener does
            raise _UnheardError(error) from None

    if job.until is None:
        return Finished(job.number, trainer(job.genotype, job.seed, on_epoch))
    assert isinstance(trainer, PausingTrainer)
    return Finished(job.number, trainer.train_until(job.until, job.genotype, job.seed, on_epoch))
