"""What is trained, by whom, and what comes back; the words between the coordinator and its executors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from attn_nas.cost import Cost
from attn_nas.errors import AttnNasError
from attn_nas.proxy.result import OnEpoch, ProxyResult
from attn_nas.space.genotype import Genotype


@dataclass(frozen=True)
class Job:
    """Train ``genotype`` with ``seed`` for trial ``number``."""

    number: int
    genotype: Genotype
    seed: int


@dataclass(frozen=True)
class Progress:
    """One epoch of a job is over."""

    number: int
    epoch: int
    accuracy: float


@dataclass(frozen=True)
class Finished:
    """A job has its result; ``cost`` is the full count of the network that was trained."""

    number: int
    result: ProxyResult
    cost: Cost


@dataclass(frozen=True)
class Failed:
    """A job ended without a result. ``lost`` means that its worker died, not that the training failed."""

    number: int
    reason: str
    lost: bool = False


Message = Progress | Finished | Failed


class Trainer(Protocol):
    """Trains one candidate; picklable, so that it can go to a worker process."""

    def __call__(self, genotype: Genotype, seed: int, on_epoch: OnEpoch) -> tuple[ProxyResult, Cost]:
        """The result and the full cost count; raises AttnNasError when the candidate cannot be scored."""
        ...


def run_job(trainer: Trainer, job: Job, tell: Callable[[Message], None]) -> None:
    """Do ``job`` and tell how it went; a failure of any kind is told, never raised (an interrupt is)."""
    try:
        result, cost = trainer(job.genotype, job.seed, lambda epoch, acc: tell(Progress(job.number, epoch, acc)))
    except AttnNasError as error:
        tell(Failed(job.number, str(error)))
    except Exception as error:  # noqa: BLE001 - one candidate must never end the search
        tell(Failed(job.number, f"{type(error).__name__}: {error}"))
    else:
        tell(Finished(job.number, result, cost))
