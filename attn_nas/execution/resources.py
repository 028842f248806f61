"""What of this machine a search uses: worker processes, threads and GPUs."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import torch

from attn_nas.errors import UsageError
from attn_nas.training import Numerics

_CGROUP = Path("/sys/fs/cgroup")
_MOST = 4096
_QUOTA_FILES = (("cpu.max",), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us"))
"""Where a control group of version 2 and of version 1 says how much processor time it may take in how much time."""


@dataclass(frozen=True)
class Resources:
    """``workers`` processes of ``threads`` threads each, on ``gpus`` CUDA devices (none on a CPU), among ``cores`` cores.

    ``workers`` is None where the number is measured, ``jobs`` at most (see `gpu_packing`). A worker that takes
    longer than ``trial_timeout`` seconds for a training is replaced.
    """

    workers: int | None
    threads: int
    gpus: int
    cores: int
    jobs: int
    trial_timeout: float | None = None

    @property
    def at_first(self) -> int:
        """Workers to begin with: as chosen, or one per GPU where their number is measured."""
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
        """As given, else one worker per core with one thread each: small networks do not gain from more threads.

        Fewer workers share the cores, with no more threads each than ``OMP_NUM_THREADS`` says, if it is set.

        Raises:
            UsageError: a number below one, a time limit of nothing, or more threads than there are cores for each worker.

        """
        if trial_timeout is not None and not trial_timeout > 0:
            raise UsageError(f"trial_timeout = {trial_timeout}: choose a number of seconds above 0")
        for name, number in (("workers", workers), ("threads", threads)):
            if number is not None and number < 1:
                raise UsageError(f"{name} = {number}: choose an integer of at least 1")
            if number is not None and number > _MOST:
                raise UsageError(f"{name} = {number}: choose at most {_MOST}")
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
    """What the environment allows a process, by the outermost number of OpenMP's variable."""
    said = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    return max(1, int(said)) if said.isdecimal() else _MOST


def usable_cores() -> int:
    """Cores this process may use: its affinity, and the quota of its control group if there is one."""
    allowed = len(os.sched_getaffinity(0))
    for files in _QUOTA_FILES:
        try:
            quota, period = " ".join((_CGROUP / file).read_text() for file in files).split()
            if int(quota) > 0:
                allowed = min(allowed, max(1, int(quota) // int(period)))
        except (OSError, ValueError):
            continue  # no such file, or the word max
    return allowed
