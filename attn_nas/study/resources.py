"""What of this machine a search uses: worker processes, threads and GPUs."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from attn_nas.errors import UsageError
from attn_nas.proxy import Numerics


@dataclass(frozen=True)
class Resources:
    """``workers`` processes of ``threads`` threads each, on ``gpus`` CUDA devices (none on a CPU), among ``cores`` cores.

    ``workers`` is None where the number follows from a measurement (see `attn_nas.study.packing`).
    """

    workers: int | None
    threads: int
    gpus: int
    cores: int

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)

    @classmethod
    def choose(cls, numerics: Numerics, budget: int, workers: int | None, threads: int | None) -> Resources:
        """As given, else one worker per core with one thread each: small networks do not gain from more threads.

        Raises:
            UsageError: more threads are asked for than there are cores for each worker.

        """
        cores = usable_cores()
        gpus = torch.cuda.device_count() if numerics.device == "cuda" else 0
        if workers is None and not gpus:
            workers = max(1, min(budget, cores // (threads or 1)))
        if threads is not None and threads * (workers or 1) > cores and threads > 1:
            raise UsageError(
                f"{workers or 1} worker{'s' * ((workers or 1) > 1)} of {threads} threads need more than the {cores} cores of "
                "this machine: more threads than cores are several times slower"
            )
        return cls(workers, threads or max(1, cores // workers if workers else 1), gpus, cores)


def usable_cores() -> int:
    """Cores this process may use: its affinity, and the quota of its control group if there is one."""
    allowed = len(os.sched_getaffinity(0))
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
    except (OSError, ValueError):
        return allowed
    return allowed if quota == "max" else max(1, min(allowed, int(quota) // int(period)))
