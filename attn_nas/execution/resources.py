"""The worker processes, threads and GPUs of this machine that a search uses."""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch

from attn_nas.errors import UsageError
from attn_nas.machine import usable_cores
from attn_nas.training import Numerics

_MAX = 4096


@dataclass(frozen=True)
class Resources:
    """``workers`` processes of ``threads`` threads each, on ``gpus`` CUDA devices (none on a CPU), among ``cores`` cores.

    ``workers`` is None if the number is to be measured (see `gpu_packing`); ``jobs`` is the number of trainings, which bounds
    it. A worker that takes longer than ``trial_timeout`` seconds for a training is replaced.
    """

    workers: int | None
    threads: int
    gpus: int
    cores: int
    jobs: int
    trial_timeout: float | None = None

    @property
    def at_first(self) -> int:
        """Number of workers at the start: the chosen one, or one per GPU if it is to be measured."""
        return self.workers or self.gpus

    @classmethod
    def choose(
        cls,
        numerics: Numerics,
        jobs: int,
        workers: int | None = None,
        threads: int | None = None,
        trial_timeout: float | None = None,
    ) -> Resources:
        """Choose the resources of ``jobs`` trainings on this machine.

        Without ``workers`` there is one per core, with one thread each, since small networks do not gain from more threads;
        on GPUs their number is left to be measured. Fewer workers than cores share the cores, with at most ``OMP_NUM_THREADS``
        threads each if that is set.

        Raises:
            UsageError: a number is below 1 or too large, a time limit is not above 0, or all threads exceed the cores.

        """
        if trial_timeout is not None and not trial_timeout > 0:
            raise UsageError(f"trial_timeout = {trial_timeout}: choose a number of seconds above 0")
        for name, number in (("workers", workers), ("threads", threads)):
            if number is not None and number < 1:
                raise UsageError(f"{name} = {number}: choose an integer of at least 1")
            if number is not None and number > _MAX:
                raise UsageError(f"{name} = {number}: choose at most {_MAX}")
        cores = usable_cores()
        gpus = torch.cuda.device_count() if numerics.device == "cuda" else 0
        if workers is None and not gpus:
            workers = max(1, min(jobs, cores // (threads or 1)))
        if threads is not None and threads > 1 and threads * (workers or 1) > cores:
            raise UsageError(
                f"{workers or 1} worker{'s' * ((workers or 1) > 1)} of {threads} threads need more than the {cores} cores of "
                "this machine: more threads than cores are several times slower"
            )
        if threads is None:
            threads = min(max(1, cores // workers), _most_threads()) if workers else 1
        return cls(workers, threads, gpus, cores, jobs, trial_timeout)


def _most_threads() -> int:
    """Return the threads that ``OMP_NUM_THREADS`` allows a process (its first number), or a large number if it is not set."""
    said = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    return max(1, int(said)) if said.isdecimal() else _MAX
