"""The executor that suits the machine; on GPUs, how many candidates to train at a time is measured before the search."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

from attn_nas.errors import DeviceError
from attn_nas.space.genotype import Genotype
from attn_nas.study.executors import Executor, InProcess, LocalPool
from attn_nas.study.jobs import DryRun, Failed, Message, Throughput, Trainer
from attn_nas.study.resources import Resources
from attn_nas.study.trainer import ProxyTrainer

_MOST = 8
_SECONDS = 1.0
_GAIN = 1.1
_SHARE_OF_MEMORY = 0.9


def make_executor(trainer: Trainer, resources: Resources, references: Collection[Genotype]) -> Executor:
    """One worker trains in this process, several in a pool; on GPUs their number is measured unless it is given.

    Raises:
        DeviceError: a GPU has not enough memory for the one of the ``references`` with the most attention.

    """
    if resources.workers == 1:
        return InProcess(trainer)
    if not (resources.gpus and isinstance(trainer, ProxyTrainer)):
        return LocalPool([trainer] * (resources.workers or resources.gpus))
    if resources.workers:
        return LocalPool(_on_gpus(trainer, resources.gpus, resources.workers))
    largest = max(references, key=lambda genotype: genotype.num_attended)
    pool = LocalPool(_on_gpus(trainer, resources.gpus, resources.gpus))
    try:
        _pack(pool, trainer, largest, resources)
    except BaseException:
        pool.close()
        raise
    return pool


def _on_gpus(trainer: ProxyTrainer, gpus: int, workers: int) -> list[ProxyTrainer]:
    """The trainer once for every worker, the GPUs in turns."""
    return [replace(trainer, gpu=number % gpus) for number in range(workers)]


def _pack(pool: LocalPool, trainer: ProxyTrainer, genotype: Genotype, resources: Resources) -> None:
    """Give ``pool``, of one worker per GPU, as many as raise the throughput of training ``genotype``."""
    gpus = resources.gpus
    alone = dry_runs(pool, genotype, gpus, 0.0)
    fitting = min(int(_SHARE_OF_MEMORY * run.total_memory_mb / run.used_memory_mb) for run in alone)
    most = max(1, min(_MOST, fitting, resources.cores // gpus))
    pool.resize(_on_gpus(trainer, gpus, gpus * most))
    dry_runs(pool, genotype, gpus * most, 0.0)

    def images_per_second(each: int) -> float:
        return sum(run.images_per_second for run in dry_runs(pool, genotype, gpus * each, _SECONDS))

    pool.resize(_on_gpus(trainer, gpus, gpus * rising(images_per_second, most)))


def rising(measure: Callable[[int], float], most: int) -> int:
    """The last of 1, 2, 4, ... up to ``most`` that raised ``measure`` by a tenth or more."""
    number, rate = 1, measure(1)
    while 2 * number <= most:
        doubled = measure(2 * number)
        if doubled < _GAIN * rate:
            break
        number, rate = 2 * number, doubled
    return number


def dry_runs(pool: LocalPool, genotype: Genotype, workers: int, seconds: float) -> Sequence[Throughput]:
    """What the first ``workers`` of an idle ``pool`` find when all train ``genotype`` at once.

    Raises:
        DeviceError: one of them cannot.

    """
    found: list[Throughput] = []

    def handle(message: Message) -> None:
        if isinstance(message, Failed):
            raise DeviceError(f"the GPU cannot train {genotype}: {message.reason}. Lower proxy.batch_size or the image size")
        if isinstance(message, Throughput):
            found.append(message)

    for number in range(workers):
        pool.submit(DryRun(number, genotype, seconds))
    while len(found) < workers:
        pool.wait(handle, timeout=1.0)
    return found
