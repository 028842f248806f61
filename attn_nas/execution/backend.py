"""Where a search trains: on this machine, or on the nodes of a Ray cluster."""

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


class Hardware(Protocol):
    """Machines that can be asked what they compute with, and told to train."""

    def numerics(self, device: str, precision: str) -> Numerics:
        """What trainings there compute with; raises DeviceError if they cannot."""
        ...

    def resources(
        self, numerics: Numerics, jobs: int, workers: int | None, threads: int | None, trial_timeout: float | None
    ) -> Resources:
        """What a search of so many jobs uses; raises UsageError for what cannot be."""
        ...

    def executor(self, trainer: TrainFunction, resources: Resources, candidates: Collection[Genotype]) -> Executor:
        """Who trains; ``candidates`` are some of what is to be trained. Raises DeviceError if one of them is too large."""
        ...


class ThisMachine:
    """The processors and GPUs of the machine that this runs on."""

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
def connected(execution: Local | Ray) -> Iterator[Hardware]:
    """The machines of ``execution`` for the block; raises UsageError for a cluster that cannot be joined."""
    if isinstance(execution, Local):
        yield ThisMachine()
        return
    from attn_nas.execution.ray_cluster.client import RayNodes

    nodes = RayNodes(execution.cluster, execution.threads)
    try:
        yield nodes
    finally:
        nodes.close()
