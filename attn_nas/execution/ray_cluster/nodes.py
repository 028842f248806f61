"""What runs on the nodes of a Ray cluster: trainings, on files that each node keeps once for all its workers."""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import sys
import tempfile
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from attn_nas.errors import AttnNasError
from attn_nas.execution.jobs import Failed, Finished, Job, Message, Progress, run_job
from attn_nas.execution.ray_cluster.carried_files import CarriedFiles, contents_of, remove_files, write_contents
from attn_nas.execution.ray_cluster.messages import Begun, Done
from attn_nas.files import write_whole
from attn_nas.plugins import registry as plugins
from attn_nas.space.genotype import Genotype
from attn_nas.training import Numerics, numerics_here
from attn_nas.training.protocol import Trainer

_trainers: dict[tuple[str, int], Trainer] = {}
"""The last trainer of this process by search and GPU, which keeps its data on the device."""


@dataclass(frozen=True)
class Shipment:
    """A pickled trainer and what it needs: references to the contents of its files by name, plug-ins as they were read.

    ``token`` names the search, and its folder on every node. Preparing files for trainings takes ``limit`` seconds at most.
    """

    token: str
    trainer: bytes
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


def prepare(shipment: Shipment, genotype: Genotype, seed: int) -> dict[str, bytes]:
    """Have the trainer prepare the files that its trainings share; their contents by name."""
    trainer = _trainer(shipment)
    watchdog = threading.Timer(shipment.limit or threading.TIMEOUT_MAX, os._exit, (1,))
    watchdog.daemon = True
    watchdog.start()
    try:
        trainer.prepare(genotype, seed)
    finally:
        watchdog.cancel()
    return contents_of(trainer.prepared(genotype, seed))


def train(
    shipment: Shipment, job: Job, prepared: Mapping[str, bytes], paused: Mapping[str, bytes], wanted: Collection[str]
) -> Iterator[Begun | Progress | Done]:
    """Do ``job``: first that it has begun, then its progress, then how it ended.

    ``prepared`` and ``paused`` are contents of files by name that it starts from; files with the ``wanted`` names come back.

    The process ends after it when its GPU or its trainer is of no more use, and Ray replaces it.
    """
    host = socket.gethostname()
    yield Begun(_node(), host)
    told: SimpleQueue[Progress | Done] = SimpleQueue()
    fresh: list[bool] = []

    def work() -> None:
        try:
            trainer = _trainer(shipment)
            done = _train_with_files(trainer, shipment.scratch, job, prepared, paused, wanted, told)
            fresh.append(not trainer.worn_out and not (isinstance(done.ended, Failed) and done.ended.lost))
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
    trainer: Trainer,
    scratch: Path,
    job: Job,
    prepared: Mapping[str, bytes],
    paused: Mapping[str, bytes],
    wanted: Collection[str],
    told: SimpleQueue[Progress | Done],
) -> Done:
    """Train on this node's files; those that go back to the run are in the answer, and nothing of them stays."""
    host = socket.gethostname()
    files = CarriedFiles.of(trainer, job)
    files.check_below(scratch)
    for name, content in prepared.items():
        _write_once(files.prepared[name], content)
    remove_files(files.paused)
    write_contents(files.paused, paused)
    try:
        ended = _ended(trainer, job, told)
        if isinstance(ended, Failed) and ended.unwritable:
            return Done(host, _of_node(job, host, ended.reason))
        returned = {name: content for name, content in contents_of(files.returned).items() if name in wanted}
        state = contents_of(files.paused)
        return Done(host, ended, returned, None if state == paused else state)
    finally:
        remove_files(files.paused)
        remove_files(files.returned)


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
    """The trainer, with the files of this node, and on the GPU that Ray gives this task."""
    gpu = _gpu()
    if (shipment.token, gpu) not in _trainers:
        from ray import cloudpickle

        _trainers.clear()
        plugins.load_files(shipment.plugins)
        unpickled: Trainer = cloudpickle.loads(shipment.trainer)
        _trainers[shipment.token, gpu] = unpickled.relocated(*_folders(shipment)).on_gpu(gpu)
    trainer = _trainers[shipment.token, gpu]
    if trainer.can_relocate:
        shipment.scratch.mkdir(mode=0o700, exist_ok=True)
        _place(shipment)
    return trainer


def _folders(shipment: Shipment) -> tuple[Path, Path]:
    """The folder that all processes of this node share, and that of this process; see `Trainer.relocated`."""
    return shipment.scratch / "shared", shipment.scratch / str(os.getpid())


def _place(shipment: Shipment) -> None:
    """Have the files of the trainer here: the first process of a node fetches them, while the others wait."""
    import ray

    shared, _ = _folders(shipment)
    for name, reference in shipment.files.items():
        path = shared / name
        if not path.exists():
            with _locked(path):
                if not path.exists():
                    write_whole(path, memoryview(ray.get(reference)))


def _write_once(path: Path, content: bytes) -> None:
    with _locked(path):
        if not path.exists():
            write_whole(path, content)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold ``path`` among the processes of this node."""
    path.parent.mkdir(parents=True, exist_ok=True)
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
