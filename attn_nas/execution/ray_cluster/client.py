"""The side of the search: the driver is started, asked, given jobs, and its end is noticed."""

from __future__ import annotations

import importlib.util
import logging
import multiprocessing
import os
import socket
import sys
import time
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import replace
from importlib.metadata import packages_distributions
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

from attn_nas.errors import AttnNasError, RunError, UsageError
from attn_nas.execution.jobs import Failed, Finished, Job, Message
from attn_nas.execution.local import Handle
from attn_nas.execution.processes import deaf_children
from attn_nas.execution.ray_cluster.driver import drive
from attn_nas.execution.ray_cluster.messages import KEPT, Begin, Choose, Connected, Drop, Dropped, Notice, Slots
from attn_nas.execution.ray_cluster.settings import RayCluster, check_address
from attn_nas.execution.resources import Resources
from attn_nas.plugins import registry as plugins
from attn_nas.space.genotype import Genotype
from attn_nas.training import Numerics
from attn_nas.training.protocol import Trainer, TrainFunction, declared

logger = logging.getLogger(__name__)
_TO_CONNECT = 40.0
_TO_START = 120.0
_TO_END = 20.0
_LOOK_AT_HEAD = 2.0
_HEAD_MAY_BE_AWAY = 20.0


class RayNodes:
    """The machines of a Ray cluster, as the place where a search trains; see `attn_nas.execution.backend.Hardware`.

    Raises:
        UsageError: Ray is not installed, or the cluster cannot be joined.

    """

    def __init__(self, cluster: RayCluster, threads: int | None) -> None:
        if importlib.util.find_spec("ray") is None:
            raise UsageError('trainings on Ray need the package ray: pip install "attn-nas[ray]"')
        Resources.choose(Numerics(), 1, threads=threads and min(threads, 1))
        self._cluster = cluster
        self._threads = threads or 1
        self._device = "cpu"
        self._address = _address(cluster)
        if self._address not in (None, "auto") and not _answers(self._address, 5.0):
            raise UsageError(
                f"address = {self._address}: no Ray cluster answers there. `ray status` on its head says its address"
            )
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process: BaseProcess = context.Process(
            target=drive, args=(theirs, cluster, self._address), daemon=True, name="attn-nas-ray"
        )
        try:
            with deaf_children():
                self._process.start()
            theirs.close()
            self._there = self._connected()
        except BaseException:
            self.close()
            raise

    def _connected(self) -> Connected:
        if not self._pipe.poll(_TO_CONNECT if self._address else _TO_START):
            self.close(0.0)
            if self._address:
                raise UsageError(
                    f"address = {self._address}: what answers there is no Ray cluster, or does not take this machine"
                )
            raise RunError("Ray does not start on this machine: its logs in /tmp/ray say why")
        found: Connected = _word(self._pipe)
        return found

    def numerics(self, device: str, precision: str) -> Numerics:
        """What the nodes compute with: one of them is asked, as soon as there is one.

        Raises:
            DeviceError: they have not the device or the precision.
            RunError: they cannot run attn-nas.

        """
        _say(self._pipe, Choose(device, precision, self._threads))
        while True:
            word = _word(self._pipe)
            if isinstance(word, Numerics):
                self._device = word.device
                return word
            assert isinstance(word, Notice)
            logger.warning(word.text)

    def resources(
        self, numerics: Numerics, jobs: int, workers: int | None, threads: int | None, trial_timeout: float | None
    ) -> Resources:
        """``workers`` at a time, or as many as there is room for on the nodes, of one thread each unless told otherwise.

        Raises:
            UsageError: a number below one, or a time limit of nothing.

        """
        checked = Resources.choose(Numerics(), jobs, workers, threads and min(threads, 1), trial_timeout)
        gpus = self._there.gpus if numerics.device == "cuda" else 0
        return replace(checked, workers=workers, threads=self._threads, gpus=gpus, cores=self._there.cpus)

    def executor(self, trainer: TrainFunction, resources: Resources, candidates: Collection[Genotype]) -> RayExecutor:
        """Have the nodes train."""
        share = self._cluster.gpus_per_trial
        gpus = float(self._device == "cuda") if share is None else share
        _say(
            self._pipe,
            Begin(
                _pickled(declared(trainer)),
                plugins.active_files(),
                resources.workers,
                resources.threads,
                gpus,
                resources.jobs,
                resources.trial_timeout,
            ),
        )
        return RayExecutor(self._pipe, self._there.head, self._process)

    def close(self, patience: float = _TO_END) -> None:
        """End the driver, and what it has begun, by force after ``patience`` seconds."""
        self._pipe.close()
        if self._process.pid is not None:
            self._process.join(patience)
            self._process.kill()
            self._process.join()


class RayExecutor:
    """Hands jobs to the driver and its messages to the coordinator."""

    def __init__(self, pipe: Connection, head: str, driver: BaseProcess) -> None:
        self._pipe = pipe
        self._head = head
        self._driver = driver
        self._cut = False
        self._running: set[int] = set()
        self._answered = self._looked = time.monotonic()
        first = _word(pipe)
        assert isinstance(first, Slots)
        self._slots = first.number

    @property
    def workers(self) -> int:
        """How many jobs the cluster does at a time now."""
        return self._slots

    @property
    def room(self) -> int:
        """How many more that is than there are."""
        return max(0, self._slots - len(self._running))

    def submit(self, job: Job) -> None:
        """See `Executor.submit`."""
        self._running.add(job.number)
        _say(self._pipe, job)

    def wait(self, handle: Handle, timeout: float) -> None:
        """See `Executor.wait`.

        Raises:
            RunError: the head of the cluster, or the driver, is gone; what ran is told as lost without blame before.

        """
        try:
            for message in self._messages(timeout):
                handle(message)
        except KeyboardInterrupt:
            self._cut = True  # perhaps in the middle of a word
            raise

    def _messages(self, timeout: float) -> Iterator[Message]:
        try:
            waiting = self._pipe.poll(timeout)
            while waiting:
                word = _word(self._pipe)
                if isinstance(word, Slots):
                    self._slots = word.number
                else:
                    if isinstance(word, Finished | Failed):
                        self._running.discard(word.number)
                    yield word
                waiting = self._pipe.poll()
            self._look_at_head()
        except RunError as error:
            self._driver.kill()
            reason = str(error).removesuffix(f". {KEPT}")
            for number in sorted(self._running):
                yield Failed(number, reason, lost=True, blameless=True)
            raise

    def _look_at_head(self) -> None:
        """Raise RunError if the head has not answered for a while; Ray waits longer, and ends its driver then."""
        now = time.monotonic()
        if now < self._looked + _LOOK_AT_HEAD:
            return
        if _answers(self._head, 1.0):
            self._answered = time.monotonic()
        elif self._looked - self._answered > _HEAD_MAY_BE_AWAY:
            raise RunError(f"the head of the Ray cluster {self._head} does not answer any more. {KEPT}")
        self._looked = time.monotonic()

    def close(self) -> None:
        """See `Executor.close`; another executor of the same nodes may follow."""
        try:
            if not self._cut:
                self._pipe.send(Drop())
                while self._pipe.poll(_TO_END) and not isinstance(_word(self._pipe), Dropped):
                    pass
        except (OSError, AttnNasError):
            return  # the driver is dead


def _say(pipe: Connection, word: object) -> None:
    """Tell the driver; where it is dead, `_word` finds out."""
    with suppress(OSError):
        pipe.send(word)


def _word(pipe: Connection) -> Any:
    """What the driver says next; raises the error if it is one."""
    try:
        word = pipe.recv()
    except (EOFError, OSError):
        raise RunError(f"the process that speaks to Ray has died. {KEPT}") from None
    if isinstance(word, AttnNasError):
        raise word
    return word


def _address(cluster: RayCluster) -> str | None:
    """The cluster that is asked for: said, or joined by this process already, or in the environment."""
    if cluster.address:
        return cluster.address
    ray = sys.modules.get("ray")
    if ray and ray.is_initialized():
        return str(ray.get_runtime_context().gcs_address)
    found = os.environ.get("RAY_ADDRESS") or None
    if found in (None, "local"):
        return None
    check_address(found)
    return found


def _answers(address: str, timeout: float) -> bool:
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout):
            return True
    except OSError:
        return False


def _pickled(trainer: Trainer) -> bytes:
    """The trainer, with the modules that define it unless they belong to installed packages, which the nodes have."""
    from ray import cloudpickle

    there = {"__main__", "__mp_main__", "attn_nas", *sys.stdlib_module_names, *packages_distributions()}
    travelling = [sys.modules[name] for name in trainer.modules if name.partition(".")[0] not in there]
    for module in travelling:
        cloudpickle.register_pickle_by_value(module)
    try:
        return bytes(cloudpickle.dumps(trainer))
    finally:
        for module in travelling:
            cloudpickle.unregister_pickle_by_value(module)
