"""The choice of an executor for this machine; on GPUs the number of simultaneous trainings is measured before a search."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence

from attn_nas.errors import DeviceError
from attn_nas.execution.jobs import Failed, Message
from attn_nas.execution.local import Executor, InProcess, LocalPool
from attn_nas.execution.resources import Resources
from attn_nas.space.genotype import Genotype
from attn_nas.training.protocol import DryRun, Throughput, Trainer, TrainFunction, declared

_MAX_PER_GPU = 8
_SECONDS = 1.0
_WARM_UP = 2.0
_GAIN = 1.1
"""Least factor by which a doubled number of trainings must raise the throughput."""
_SHARE_OF_MEMORY = 0.9


def make_executor(trainer: TrainFunction, resources: Resources, candidates: Collection[Genotype]) -> Executor:
    """Return an executor of ``trainer``: this process for one worker without a time limit, otherwise a pool of processes.

    On GPUs the number of workers is measured, unless it is given or the trainer has no dry run.

    Raises:
        DeviceError: a GPU has too little memory for the largest of the ``candidates``.

    """
    limit = resources.trial_timeout
    if resources.workers == 1 and limit is None:
        return InProcess(trainer)
    able = declared(trainer)
    pool = LocalPool(_on_gpus(able, resources.gpus, resources.at_first), limit, forked=not resources.gpus)
    if resources.workers or not able.can_dry_run:
        return pool
    try:
        _pack(pool, able, able.largest(candidates), resources)
    except BaseException:
        pool.close()
        raise
    return pool


def _on_gpus(trainer: Trainer, gpus: int, workers: int) -> list[Trainer]:
    """Return the trainer once per worker, placed on the GPUs in turns; unchanged if there are no GPUs."""
    return [trainer.on_gpu(number % gpus) if gpus else trainer for number in range(workers)]


def _pack(pool: LocalPool, trainer: Trainer, genotype: Genotype, resources: Resources) -> None:
    """Resize ``pool``, which has one worker per GPU, to as many as raise the throughput of training ``genotype``."""
    gpus = resources.gpus
    try:
        alone = dry_runs(pool, genotype, gpus, 0.0, 0.0)
    except DeviceError as error:
        raise DeviceError(f"{error}. {trainer.memory_advice}") from None
    fitting = min(int(_SHARE_OF_MEMORY * run.total_memory_mb / max(run.used_memory_mb, 1.0)) for run in alone)
    cores = resources.cores // (gpus * resources.threads)
    most = max(1, min(_MAX_PER_GPU, fitting, cores, -(-resources.jobs // gpus)))
    pool.resize(_on_gpus(trainer, gpus, gpus * most))

    def images_per_second(each: int) -> float:
        try:
            dry_runs(pool, genotype, gpus * each, 0.0, 0.0)  # wait until all have started
            runs = dry_runs(pool, genotype, gpus * each, _SECONDS, _WARM_UP)
        except DeviceError:
            return 0.0
        return sum(run.images_per_second for run in runs)

    pool.resize(_on_gpus(trainer, gpus, gpus * rising(images_per_second, most)))


def rising(measure: Callable[[int], float], most: int) -> int:
    """Return the last of 1, 2, 4, ... up to ``most`` for which ``measure`` rose by a tenth or more."""
    number, rate = 1, measure(1)
    while 2 * number <= most:
        doubled = measure(2 * number)
        if doubled <= 0.0 or doubled < _GAIN * rate:
            break
        number, rate = 2 * number, doubled
    return number


def dry_runs(pool: LocalPool, genotype: Genotype, workers: int, seconds: float, warm_up: float) -> Sequence[Throughput]:
    """Train ``genotype`` in the first ``workers`` of an idle ``pool`` at once; return their throughput in the same seconds.

    The measurement lasts ``seconds`` and begins after ``warm_up`` seconds.

    Raises:
        DeviceError: one of the workers cannot train it.

    """
    found: list[Throughput] = []
    failed: list[Failed] = []

    def handle(message: Message) -> None:
        if isinstance(message, Failed):
            failed.append(message)
        elif isinstance(message, Throughput):
            found.append(message)

    until = time.monotonic() + warm_up + seconds
    for number in range(workers):
        pool.submit(DryRun(number, genotype, seconds, until))
    while len(found) + len(failed) < workers:
        pool.wait(handle, timeout=1.0)
    if failed:
        raise DeviceError(f"the GPU cannot train {genotype}: {failed[0].reason}")
    return found
