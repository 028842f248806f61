"""Backends: the machines on which a search trains, this one or the nodes of a Ray cluster."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Protocol

from attn_nas.execution.gpu_packing import make_executor
from attn_nas.execution.local import Executor
from attn_nas.execution.resources import Resources
from attn_nas.execution.settings import Local, Ray
from attn_nas.space.genotype import Genotype
from attn_nas.training import Numerics, numerics_here
from attn_nas.training.protocol import TrainFunction


class Backend(Protocol):
    """Machines that train: their numerics, their resources, and an executor of jobs on them."""

    def numerics(self, device: str, precision: str) -> Numerics:
        """Return the device, precision and layout of trainings there; raises DeviceError if they are not available."""
        ...

    def resources(
        self, numerics: Numerics, jobs: int, workers: int | None, threads: int | None, trial_timeout: float | None
    ) -> Resources:
        """Return what a search of ``jobs`` trainings uses of the machines; raises UsageError for impossible numbers."""
        ...

    def executor(self, trainer: TrainFunction, resources: Resources, candidates: Collection[Genotype]) -> Executor:
        """Return an executor of ``trainer``. Raises DeviceError if one of the ``candidates`` needs too much memory."""
        ...


class LocalBackend:
    """The processor cores and GPUs of this machine."""

    def numerics(self, device: str, precision: str) -> Numerics:
        """See `numerics_here`."""
        return numerics_here(device, precision)

    def resources(
        self, numerics: Numerics, jobs: int, workers: int | None, threads: int | None, trial_timeout: float | None
    ) -> Resources:
        """See `Resources.choose`."""
        return Resources.choose(numerics, jobs, workers, threads, trial_timeout)

    def executor(self, trainer: TrainFunction, resources: Resources, candidates: Collection[Genotype]) -> Executor:
        """See `make_executor`."""
        return make_executor(trainer, resources, candidates)


@contextmanager
def connected(execution: Local | Ray) -> Iterator[Backend]:
    """The machines of ``execution`` for the block; raises UsageError for a cluster that cannot be joined."""
    if isinstance(execution, Local):
        yield LocalBackend()
        return
    from attn_nas.execution.ray_cluster.client import RayBackend

    backend = RayBackend(execution)
    try:
        yield backend
    finally:
        backend.close()
