"""What runs on the nodes of a Ray cluster: trainings, on files that each node keeps once for all its workers."""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from attn_nas.errors import AttnNasError
from attn_nas.execution.jobs import Failed, Finished, Job, Message, Progress, run_job
from attn_nas.execution.ray_cluster.messages import Begun, Done
from attn_nas.files import write_whole
from attn_nas.plugins import registry as plugins
from attn_nas.space.trunks import Trunk
from attn_nas.training import Numerics, ProxyFailure, numerics_here
from attn_nas.training.protocol import MeasuredTrainer, Trainer
from attn_nas.training.trainer import ProxyTrainer

_trainers: dict[tuple[str, int], Trainer] = {}
"""The last trainer of this process, which keeps its data on the device."""


@dataclass(frozen=True)
class Shipment:
    """A trainer and what it needs: references to the contents of its files by name, plug-ins as they were read.

    ``token`` names the search, and its folder on every node. A warm trunk that takes longer than ``limit`` seconds is given up.
    """

    token: str
    trainer: ProxyTrainer | bytes
    files: Mapping[str, Any]
    plugins: Sequence[plugins.PluginFile]
    limit: float | None

    @property
    def scratch(self) -> Path:
        """The folder of this search on this node."""
        return Path(tempfile.gettempdir()) / f"attn-nas-{self.token}-{_node()[:16]}"


def numerics_there(device: str, precision: str) -> Numerics | AttnNasError:
    """What trainings on this node compute with, or why they cannot."""
    try:
        return numerics_here(device, precision)
    except AttnNasError as error:
        return error


def warm_trunk(shipment: Shipment, trunk: Trunk, seed: int) -> bytes | str:
    """The file of a warm trunk, or why there is none."""
    trainer = _trainer(shipment)
    assert isinstance(trainer, ProxyTrainer)
    watchdog = threading.Timer(shipment.limit or threading.TIMEOUT_MAX, os._exit, (1,))
    watchdog.daemon = True
    watchdog.start()
    try:
        trainer.warm_trunk(trunk, seed)
    except ProxyFailure as error:
        return str(error)
    finally:
        watchdog.cancel()
    return trainer.trunk_path(trunk, seed).read_bytes()


def train(
    shipment: Shipment, job: Job, trunk: bytes | str | None, paused: Mapping[str, bytes], weights: bool
) -> Iterator[Begun | Progress | Done]:
    """Do ``job``: first that it has begun, then its progress, then how it ended, with its weights if they are asked for.

    The process ends after it when its GPU or its trainer is of no more use, and Ray replaces it.
    """
    host = socket.gethostname()
    yield Begun(_node(), host)
    told: SimpleQueue[Progress | Done] = SimpleQueue()
    fresh: list[bool] = []

    def work() -> None:
        try:
            trainer = _trainer(shipment)
            if isinstance(trainer, ProxyTrainer):
                done = _train_with_files(trainer, job, trunk, paused, weights, told)
            else:
                done = Done(host, _ended(trainer, job, told))
            worn_out = isinstance(trainer, MeasuredTrainer) and trainer.worn_out
            fresh.append(not worn_out and not (isinstance(done.ended, Failed) and done.ended.lost))
        except Exception as error:  # noqa: BLE001 - the node, not the candidate, is to blame
            done = Done(host, _of_node(job, host, f"{type(error).__name__}: {error}"))
        told.put(done)

    threading.Thread(target=work, daemon=True).start()
    while not isinstance(message := told.get(), Done):
        yield message
    yield message
    if fresh == [False]:
        sys.exit(0)


def _of_node(job: Job, host: str, reason: str) -> Failed:
    """What is no fault of the candidate."""
    return Failed(job.number, f"{host}: {reason}", lost=True, blameless=True)


def _train_with_files(
    trainer: ProxyTrainer,
    job: Job,
    trunk: bytes | str | None,
    paused: Mapping[str, bytes],
    weights: bool,
    told: SimpleQueue[Progress | Done],
) -> Done:
    """Train on this node's files; what is to be kept comes back, and nothing of it stays."""
    if trunk is not None:
        path = trainer.trunk_path(job.genotype.trunk, job.seed)
        _write_once(path if isinstance(trunk, bytes) else path.with_suffix(".failed"), trunk)
    pause, written = trainer.pause_of(job.genotype, job.seed), trainer.weights_path(job.genotype, job.seed)
    assert pause
    assert written
    pause.unpack(paused)
    try:
        ended = _ended(trainer, job, told)
        host = socket.gethostname()
        if isinstance(ended, Failed) and ended.unwritable:
            return Done(host, _of_node(job, host, ended.reason))
        kept = written.read_bytes() if weights and written.exists() else None
        packed = pause.pack()
        return Done(host, ended, kept, {} if packed == paused else packed)
    finally:
        written.unlink(missing_ok=True)
        pause.drop()


def _ended(trainer: Trainer, job: Job, told: SimpleQueue[Progress | Done]) -> Finished | Failed:
    def tell(message: Message) -> None:
        if isinstance(message, Progress):
            told.put(message)

    ended = run_job(trainer, job, tell)
    assert isinstance(ended, Finished | Failed)
    return ended


def clear(shipment: Shipment) -> None:
    """Remove what this node keeps."""
    shutil.rmtree(shipment.scratch, ignore_errors=True)


def _trainer(shipment: Shipment) -> Trainer:
    """The trainer, on the GPU that Ray gives this task."""
    gpu = _gpu()
    if (shipment.token, gpu) not in _trainers:
        _trainers.clear()
        plugins.load_files(shipment.plugins)
        _trainers[shipment.token, gpu] = _unpacked(shipment, gpu)
    trainer = _trainers[shipment.token, gpu]
    if isinstance(trainer, ProxyTrainer):
        _place(shipment, trainer.data_folder)
    return trainer


def _unpacked(shipment: Shipment, gpu: int) -> Trainer:
    from ray import cloudpickle

    if isinstance(shipment.trainer, bytes):
        trainer: Trainer = cloudpickle.loads(shipment.trainer)
        return trainer
    scratch, process = shipment.scratch, str(os.getpid())
    return replace(
        shipment.trainer,
        data_folder=scratch / "data",
        trunks_folder=scratch / "trunks",
        weights_folder=scratch / process / "weights",
        pauses_folder=scratch / process / "pauses",
        kept_seed=None,
        gpu=gpu,
    )


def _place(shipment: Shipment, folder: Path) -> None:
    """Have the files in ``folder``: the first process of a node fetches them, while the others wait."""
    import ray

    for name, reference in shipment.files.items():
        path = folder / name
        if not path.exists():
            with _locked(path):
                if not path.exists():
                    write_whole(path, memoryview(ray.get(reference)))


def _write_once(path: Path, content: bytes | str) -> None:
    with _locked(path):
        if not path.exists():
            write_whole(path, content)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold ``path`` among the processes of this node."""
    path.parent.parent.mkdir(mode=0o700, exist_ok=True)
    path.parent.mkdir(exist_ok=True)
    with path.with_name(f"{path.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _node() -> str:
    import ray

    return str(ray.get_runtime_context().get_node_id())


def _gpu() -> int:
    """The number of this task's GPU among those that this process sees, which are all of its node."""
    import ray

    mine = [str(each) for each in ray.get_gpu_ids()]
    if not mine:
        return 0
    seen = os.environ.get("CUDA_VISIBLE_DEVICES")
    return min(seen.split(",").index(each) if seen else int(each) for each in mine)
