"""The code that runs on the nodes of a Ray cluster: trainings, on files that all workers of a node share."""

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
from attn_nas.execution.jobs import EpochReport, Failed, Finished, Job, Message, run_job
from attn_nas.execution.ray_cluster.carried_files import CarriedFiles, contents_of, remove_files, write_contents
from attn_nas.execution.ray_cluster.messages import Begun, Done
from attn_nas.files import write_whole
from attn_nas.plugins import registry as plugins
from attn_nas.space.genotype import Genotype
from attn_nas.torchvision_operators import declare_torchvision_operators
from attn_nas.training import Numerics, numerics_here
from attn_nas.training.protocol import Trainer

_trainers: dict[tuple[str, int], Trainer] = {}
"""The last trainer of this process by search and GPU; it is reused, since its data are on the device."""


@dataclass(frozen=True)
class Shipment:
    """A pickled trainer, Ray references to the contents of its files by name, and the contents of plug-ins.

    ``token`` identifies the search, and names its folder on every node. ``limit`` is the most seconds that `prepare` may take.
    """

    token: str
    trainer: bytes
    files: Mapping[str, Any]
    plugins: Sequence[plugins.PluginFile]
    limit: float | None

    @property
    def scratch(self) -> Path:
        """The folder of the search on this node."""
        return Path(tempfile.gettempdir()) / f"attn-nas-{self.token}-{_node()[:16]}"


def numerics_there(device: str, precision: str) -> Numerics | AttnNasError:
    """Return the numerics of trainings on this node, or the reason why there are none."""
    try:
        return numerics_here(device, precision)
    except AttnNasError as error:
        return error


def prepare(shipment: Shipment, genotype: Genotype, seed: int) -> dict[str, bytes]:
    """Make the files that trainings share (see `Trainer.prepare`); return their contents by name."""
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
) -> Iterator[Begun | EpochReport | Done]:
    """Do ``job``: yield that it has begun, then its progress, then its outcome.

    ``prepared`` and ``paused`` are the contents by name of the files that it starts from; files with the ``wanted`` names are
    returned. If the GPU has failed or the trainer is worn out, the process ends afterwards, and Ray replaces it.
    """
    host = socket.gethostname()
    yield Begun(_node(), host)
    messages: SimpleQueue[EpochReport | Done] = SimpleQueue()
    fresh: list[bool] = []

    def work() -> None:
        try:
            trainer = _trainer(shipment)
            done = _train_with_files(trainer, shipment.scratch, job, prepared, paused, wanted, messages)
            fresh.append(not trainer.worn_out and not (isinstance(done.ended, Failed) and done.ended.lost))
        except Exception as error:  # noqa: BLE001 - the node, not the candidate, is to blame
            done = Done(host, _of_node(job, host, f"{type(error).__name__}: {error}"))
        messages.put(done)

    threading.Thread(target=work, daemon=True).start()
    while not isinstance(message := messages.get(), Done):
        yield message
    yield message
    if fresh == [False]:
        sys.exit(0)


def _of_node(job: Job, host: str, reason: str) -> Failed:
    """Return the failure of a node, which is not the fault of the candidate."""
    return Failed(job.number, f"{host}: {reason}", lost=True, blameless=True)


def _train_with_files(
    trainer: Trainer,
    scratch: Path,
    job: Job,
    prepared: Mapping[str, bytes],
    paused: Mapping[str, bytes],
    wanted: Collection[str],
    messages: SimpleQueue[EpochReport | Done],
) -> Done:
    """Train on files of this node; return the outcome with the files for the run, and remove these here."""
    host = socket.gethostname()
    files = CarriedFiles.of(trainer, job)
    files.check_below(scratch)
    for name, content in prepared.items():
        _write_once(files.prepared[name], content)
    remove_files(files.paused)
    write_contents(files.paused, paused)
    try:
        ended = _ended(trainer, job, messages)
        if isinstance(ended, Failed) and ended.unwritable:
            return Done(host, _of_node(job, host, ended.reason))
        returned = contents_of({name: path for name, path in files.returned.items() if name in wanted})
        state = contents_of(files.paused)
        return Done(host, ended, returned, None if state == paused else state)
    finally:
        remove_files(files.paused)
        remove_files(files.returned)


def _ended(trainer: Trainer, job: Job, messages: SimpleQueue[EpochReport | Done]) -> Finished | Failed:
    def send(message: Message) -> None:
        if isinstance(message, EpochReport):
            messages.put(message)

    ended = run_job(trainer, job, send)
    assert isinstance(ended, Finished | Failed)
    return ended


def clear(shipment: Shipment) -> None:
    """Remove the files of the search on this node."""
    shutil.rmtree(shipment.scratch, ignore_errors=True)


def _trainer(shipment: Shipment) -> Trainer:
    """Return the trainer with its files on this node, on the GPU that Ray has assigned to this task."""
    gpu = _gpu()
    if (shipment.token, gpu) not in _trainers:
        from ray import cloudpickle

        _trainers.clear()
        declare_torchvision_operators()
        plugins.load_files(shipment.plugins)
        unpickled: Trainer = cloudpickle.loads(shipment.trainer)
        _trainers[shipment.token, gpu] = unpickled.relocated(*_folders(shipment)).on_gpu(gpu)
    trainer = _trainers[shipment.token, gpu]
    if trainer.can_relocate:
        shipment.scratch.mkdir(mode=0o700, exist_ok=True)
        _place(shipment)
    return trainer


def _folders(shipment: Shipment) -> tuple[Path, Path]:
    """Return the folder that all processes of this node share, and that of this process; see `Trainer.relocated`."""
    return shipment.scratch / "shared", shipment.scratch / str(os.getpid())


def _place(shipment: Shipment) -> None:
    """Write the files that the trainer ships; the first process of a node does it, while the others wait."""
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
    """Lock ``path`` against the other processes of this node."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f"{path.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _node() -> str:
    import ray

    return str(ray.get_runtime_context().get_node_id())


def _gpu() -> int:
    """Return the number of this task's GPU among those that this process sees, which are all GPUs of its node."""
    import ray

    mine = [str(each) for each in ray.get_gpu_ids()]
    if not mine:
        return 0
    seen = os.environ.get("CUDA_VISIBLE_DEVICES")
    return min(seen.split(",").index(each) if seen else int(each) for each in mine)
