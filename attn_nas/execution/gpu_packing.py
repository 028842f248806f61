"""The executor that suits the machine; on GPUs, how many candidates to train at a time is measured before the search."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence

from attn_nas.errors import DeviceError
from attn_nas.execution.jobs import Failed, Message
from attn_nas.execution.local import Executor, InProcess, LocalPool
from attn_nas.execution.resources import Resources
from attn_nas.space.genotype import Genotype
from attn_nas.training.protocol import DryRun, Throughput, Trainer, TrainFunction, declared

_MOST = 8
_SECONDS = 1.0
_WARM_UP = 2.0
_GAIN = 1.1
_SHARE_OF_MEMORY = 0.9


def make_executor(trainer: TrainFunction, resources: Resources, candidates: Collection[Genotype]) -> Executor:
    """One worker without a time limit trains in this process, others in a pool; on GPUs their number is measured unless given.

    Raises:
        DeviceError: a GPU has not enough memory for the largest of the ``candidates``.

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
    """The trainer once for every worker, the GPUs in turns; on a CPU as it is."""
    return [trainer.on_gpu(number % gpus) if gpus else trainer for number in range(workers)]


def _pack(pool: LocalPool, trainer: Trainer, genotype: Genotype, resources: Resources) -> None:
    """Give ``pool``, of one worker per GPU, as many as raise the throughput of training ``genotype``."""
    gpus = resources.gpus
    try:
        alone = dry_runs(pool, genotype, gpus, 0.0, 0.0)
    except DeviceError as error:
        raise DeviceError(f"{error}. {trainer.memory_advice}") from None
    fitting = min(int(_SHARE_OF_MEMORY * run.total_memory_mb / max(run.used_memory_mb, 1.0)) for run in alone)
    cores = resources.cores // (gpus * resources.threads)
    most = max(1, min(_MOST, fitting, cores, -(-resources.jobs // gpus)))
    pool.resize(_on_gpus(trainer, gpus, gpus * most))

    def images_per_second(each: int) -> float:
        try:
            dry_runs(pool, genotype, gpus * each, 0.0, 0.0)  # until all have started, which takes as long as it takes
            runs = dry_runs(pool, genotype, gpus * each, _SECONDS, _WARM_UP)
        except DeviceError:
            return 0.0
        return sum(run.images_per_second for run in runs)

    pool.resize(_on_gpus(trainer, gpus, gpus * rising(images_per_second, most)))


def rising(measure: Callable[[int], float], most: int) -> int:
    """The last of 1, 2, 4, ... up to ``most`` that raised ``measure`` by a tenth or more."""
    number, rate = 1, measure(1)
    while 2 * number <= most:
        doubled = measure(2 * number)
        if doubled <= 0.0 or doubled < _GAIN * rate:
            break
        number, rate = 2 * number, doubled
    return number


def dry_runs(pool: LocalPool, genotype: Genotype, workers: int, seconds: float, warm_up: float) -> Sequence[Throughput]:
    """What the first ``workers`` of an idle ``pool`` find when all train ``genotype`` in the same seconds after ``warm_up``.

    Raises:
        DeviceError: one of them cannot.

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
