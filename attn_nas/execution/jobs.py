"""What is trained, by whom, and what comes back; the words between the coordinator and its executors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from attn_nas.errors import AttnNasError, DeviceLostError, WriteError
from attn_nas.space.genotype import Genotype
from attn_nas.training.protocol import DryRun, Throughput, Trained, Trainer


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


Message = Progress | Finished | Failed | Throughput


class _UnheardError(BaseException):
    """Progress that could not be told, which is no failure of a training, and which no trainer takes for one."""

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error


def run_job(trainer: Trainer, job: Job | DryRun, tell: Callable[[Message], None]) -> Message:
    """Do ``job``, tell and return how it ended; a failure of any kind is told, never raised; what ``tell`` raises is."""
    ended: Message
    try:
        ended = _trained(trainer, job, tell) if isinstance(job, Job) else trainer.dry_run(job)
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
    return Finished(job.number, trainer.train_until(job.until, job.genotype, job.seed, on_epoch))
