"""Messages between the process of a search, the driver and the nodes, besides jobs and the messages about them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from attn_nas.execution.jobs import Failed, Finished
from attn_nas.plugins.registry import PluginFile

KEPT = "What was finished is kept: resume the run"


@dataclass(frozen=True)
class Connected:
    """The driver has joined the cluster: address of its head, total CPUs and GPUs now, and whether more nodes may join."""

    head: str
    cpus: int
    gpus: int
    can_grow: bool


@dataclass(frozen=True)
class Choose:
    """Ask a node for the numerics of trainings there, each of which takes ``threads`` CPUs."""

    device: str
    precision: str
    threads: int


@dataclass(frozen=True)
class Begin:
    """Accept jobs for ``trainer``, which is pickled with cloudpickle.

    ``workers`` jobs run at a time, each with ``threads`` CPUs and ``gpus`` GPUs. If ``workers`` is None, as many run as fit on
    the nodes, at most ``jobs``.
    """

    trainer: bytes
    plugins: Sequence[PluginFile]
    workers: int | None
    threads: int
    gpus: float
    jobs: int
    trial_timeout: float | None


@dataclass(frozen=True)
class Drop:
    """Drop all running jobs, and remove the files on the nodes."""


@dataclass(frozen=True)
class Dropped:
    """The jobs of the last `Begin` are dropped; no more messages about them follow."""


@dataclass(frozen=True)
class Slots:
    """Number of jobs that run at a time from now on."""

    number: int


@dataclass(frozen=True)
class Notice:
    """A notice for the user."""

    text: str


@dataclass(frozen=True)
class Begun:
    """A worker of this node has started the job."""

    node: str
    host: str


@dataclass(frozen=True)
class Done:
    """The outcome of a job on a node, with the contents by name of the files that go back to the run.

    ``returned`` are the files that the run keeps (see `attn_nas.training.protocol.Trainer.returns`), ``paused`` those that hold
    the training while it is paused, or None if they have not changed.
    """

    host: str
    ended: Finished | Failed
    returned: Mapping[str, bytes] = field(default_factory=dict)
    paused: Mapping[str, bytes] | None = None
