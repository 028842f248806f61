"""Jobs and the messages about them, exchanged by a search and its executors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from attn_nas.errors import AttnNasError, DeviceLostError, WriteError
from attn_nas.space.genotype import Genotype
from attn_nas.training.protocol import DryRun, Throughput, Trained, Trainer


@dataclass(frozen=True)
class Job:
    """A request to train ``genotype`` with ``seed`` for trial ``number``, to the end or only to the end of epoch ``until``.

    A training that was paused continues from there.
    """

    number: int
    genotype: Genotype
    seed: int
    until: int | None = None


@dataclass(frozen=True)
class EpochReport:
    """An epoch (from 1) of job ``number`` has ended with this validation accuracy (0 to 1)."""

    number: int
    epoch: int
    accuracy: float


@dataclass(frozen=True)
class Finished:
    """Job ``number`` has ended with a result."""

    number: int
    trained: Trained


@dataclass(frozen=True)
class Failed:
    """Job ``number`` has ended without a result.

    ``lost``: its worker or its GPU died; the training itself did not fail. ``blameless``: the machine was lost, which says
    nothing about the candidate. ``unwritable``: it was trained, but its files could not be written, as on a full disk.
    """

    number: int
    reason: str
    lost: bool = False
    blameless: bool = False
    unwritable: bool = False


Message = EpochReport | Finished | Failed | Throughput


class _SendError(BaseException):
    """Progress could not be sent. It is not a failure of the training, and trainers that catch Exception do not catch it."""

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error


def run_job(trainer: Trainer, job: Job | DryRun, send: Callable[[Message], None]) -> Message:
    """Do ``job``; send and return its outcome. Failures of any kind become messages; only errors of ``send`` are raised."""
    ended: Message
    try:
        ended = _trained(trainer, job, send) if isinstance(job, Job) else trainer.dry_run(job)
    except _SendError as unsent:
        raise unsent.error from None
    except DeviceLostError as error:
        ended = Failed(job.number, str(error), lost=True)
    except WriteError as error:
        ended = Failed(job.number, str(error), unwritable=True)
    except AttnNasError as error:
        ended = Failed(job.number, str(error))
    except Exception as error:  # noqa: BLE001 - one candidate must never end the search
        ended = Failed(job.number, f"{type(error).__name__}: {error}")
    send(ended)
    return ended


def _trained(trainer: Trainer, job: Job, send: Callable[[Message], None]) -> Finished:
    def on_epoch(epoch: int, accuracy: float) -> None:
        try:
            send(EpochReport(job.number, epoch, accuracy))
        except Exception as error:  # noqa: BLE001 - whatever a listener does
            raise _SendError(error) from None

    if job.until is None:
        return Finished(job.number, trainer(job.genotype, job.seed, on_epoch))
    return Finished(job.number, trainer.train_until(job.until, job.genotype, job.seed, on_epoch))
