"""The executor that suits the machine; on GPUs, how many candidates to train at a time is measured before the search."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

from attn_nas.errors import DeviceError
from attn_nas.execution.jobs import Failed, Message
from attn_nas.execution.local import Executor, InProcess, LocalPool
from attn_nas.execution.resources import Resources
from attn_nas.models.build import build_model
from attn_nas.space.genotype import Genotype
from attn_nas.space.task import Task
from attn_nas.training import Numerics
from attn_nas.training.protocol import DryRun, Throughput, Trainer
from attn_nas.training.step_profile import step_memory
from attn_nas.training.timing import random_images
from attn_nas.training.trainer import ProxyTrainer

_MOST = 8
_SECONDS = 1.0
_WARM_UP = 2.0
_GAIN = 1.1
_SHARE_OF_MEMORY = 0.9


def make_executor(trainer: Trainer, resources: Resources, candidates: Collection[Genotype]) -> Executor:
    """One worker without a time limit trains in this process, others in a pool; on GPUs their number is measured unless given.

    Raises:
        DeviceError: a GPU has not enough memory for the largest of the ``candidates``.

    """
    limit = resources.trial_timeout
    if resources.workers == 1 and limit is None:
        return InProcess(trainer)
    if not (resources.gpus and isinstance(trainer, ProxyTrainer)):
        return LocalPool([trainer] * resources.at_first, limit, forked=not resources.gpus)
    if resources.workers:
        return LocalPool(_on_gpus(trainer, resources.gpus, resources.workers), limit, forked=False)
    pool = LocalPool(_on_gpus(trainer, resources.gpus, resources.gpus), limit, forked=False)
    try:
        _pack(pool, trainer, _largest(candidates, trainer.dataset.task, trainer.settings.batch_size), resources)
    except BaseException:
        pool.close()
        raise
    return pool


def _largest(candidates: Collection[Genotype], task: Task, batch_size: int) -> Genotype:
    """The one that needs the most memory to be trained with batches of ``batch_size``, from what 2 and 4 images need."""
    few, more = (random_images(number, (task.channels, task.height, task.width), Numerics()) for number in (2, 4))

    def memory(genotype: Genotype) -> float:
        model = build_model(genotype, task.num_classes, task.channels, seed=0)
        least = step_memory(model, few, Numerics())
        return least + (batch_size - 2) * (step_memory(model, more, Numerics()) - least) / 2

    return max(candidates, key=memory)


def _on_gpus(trainer: ProxyTrainer, gpus: int, workers: int) -> list[ProxyTrainer]:
    """The trainer once for every worker, the GPUs in turns."""
    return [replace(trainer, gpu=number % gpus) for number in range(workers)]


def _pack(pool: LocalPool, trainer: ProxyTrainer, genotype: Genotype, resources: Resources) -> None:
    """Give ``pool``, of one worker per GPU, as many as raise the throughput of training ``genotype``."""
    gpus = resources.gpus
    alone = dry_runs(pool, genotype, gpus, 0.0, 0.0)
    fitting = min(int(_SHARE_OF_MEMORY * run.total_memory_mb / run.used_memory_mb) for run in alone)
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
        raise DeviceError(f"the GPU cannot train {genotype}: {failed[0].reason}. Lower proxy.batch_size or the image size")
    return found
