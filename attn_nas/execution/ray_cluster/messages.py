"""What the process of a search, the driver and the nodes say to each other, besides jobs and their messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from attn_nas.execution.jobs import Failed, Finished
from attn_nas.plugins.registry import PluginFile

KEPT = "What was finished is kept: go on with --resume"


@dataclass(frozen=True)
class Connected:
    """The driver has found the cluster: where its head is, what it has in all now, and whether more nodes may come."""

    head: str
    cpus: int
    gpus: int
    can_grow: bool


@dataclass(frozen=True)
class Choose:
    """Ask a node for the numerics of trainings there, each of which takes ``threads`` processors."""

    device: str
    precision: str
    threads: int


@dataclass(frozen=True)
class Begin:
    """Take jobs for this trainer, which is pickled (see `client.pickled`).

    ``workers`` of ``threads`` processors and ``gpus`` GPUs each at a time, or as many as there is room for, but never more than
    ``jobs``.
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
    """Drop what runs, and what the nodes keep for it."""


@dataclass(frozen=True)
class Dropped:
    """That has been done: no more is said of it."""


@dataclass(frozen=True)
class Slots:
    """How many jobs are done at a time now."""

    number: int


@dataclass(frozen=True)
class Notice:
    """Something that the user should know."""

    text: str


@dataclass(frozen=True)
class Begun:
    """A worker of this node has taken the job."""

    node: str
    host: str


@dataclass(frozen=True)
class Done:
    """How a job ended on a node, with the contents by name of the files that go back to the run.

    ``returned`` are those that the search wants (see `attn_nas.training.protocol.Trainer.returns`), ``paused`` those that hold
    the training while it is paused, or None if they are as they were when the job began.
    """

    host: str
    ended: Finished | Failed
    returned: Mapping[str, bytes] = field(default_factory=dict)
    paused: Mapping[str, bytes] | None = None
