"""The side of the search: it starts the driver, sends it jobs, receives its messages, and notices its end."""

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
from attn_nas.execution.processes import ignoring_terminal_signals
from attn_nas.execution.ray_cluster.driver import drive
from attn_nas.execution.ray_cluster.messages import KEPT, Begin, Choose, Connected, Drop, Dropped, Notice, Slots
from attn_nas.execution.resources import Resources
from attn_nas.execution.settings import Ray, check_address
from attn_nas.plugins import registry as plugins
from attn_nas.space.genotype import Genotype
from attn_nas.training import Numerics
from attn_nas.training.protocol import Trainer, TrainFunction, declared

logger = logging.getLogger(__name__)
_CONNECT_TIMEOUT = 40.0
_START_TIMEOUT = 120.0
_CLOSE_TIMEOUT = 20.0
_HEAD_CHECK_INTERVAL = 2.0
_HEAD_TIMEOUT = 20.0
"""Seconds without an answer after which the head counts as dead; Ray itself waits longer."""


class RayBackend:
    """The nodes of a Ray cluster as the machines that train; see `attn_nas.execution.backend.Backend`.

    Raises:
        UsageError: Ray is not installed, or the cluster cannot be joined.
        RunError: Ray does not start on this machine.

    """

    def __init__(self, cluster: Ray) -> None:
        if importlib.util.find_spec("ray") is None:
            raise UsageError('trainings on Ray need the package ray: pip install "attn-nas[ray]"')
        Resources.choose(Numerics(), 1, threads=cluster.threads and min(cluster.threads, 1))
        self._cluster = cluster
        self._threads = cluster.threads or 1
        self._device = "cpu"
        self._address = _address(cluster)
        if self._address not in (None, "auto") and not _answers(self._address, 5.0):
            raise UsageError(
                f"address = {self._address}: no Ray cluster answers there. `ray status` on its head shows its address"
            )
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process: BaseProcess = context.Process(
            target=drive, args=(theirs, cluster, self._address), daemon=True, name="attn-nas-ray"
        )
        try:
            with ignoring_terminal_signals():
                self._process.start()
            theirs.close()
            self._cluster_found = self._connected()
        except BaseException:
            self.close()
            raise

    def _connected(self) -> Connected:
        if not self._pipe.poll(_CONNECT_TIMEOUT if self._address else _START_TIMEOUT):
            self.close(0.0)
            if self._address:
                raise UsageError(f"address = {self._address}: the server there is not a Ray cluster, or refuses this machine")
            raise RunError("Ray does not start on this machine: its logs in /tmp/ray say why")
        found: Connected = _receive(self._pipe)
        return found

    def numerics(self, device: str, precision: str) -> Numerics:
        """Ask a node for its numerics, as soon as there is a node; see `Backend.numerics`.

        Raises:
            DeviceError: the nodes lack the device or the precision.
            RunError: the nodes cannot run attn-nas.

        """
        _send(self._pipe, Choose(device, precision, self._threads))
        while True:
            message = _receive(self._pipe)
            if isinstance(message, Numerics):
                self._device = message.device
                return message
            assert isinstance(message, Notice)
            logger.warning(message.text)

    def resources(
        self, numerics: Numerics, jobs: int, workers: int | None, threads: int | None, trial_timeout: float | None
    ) -> Resources:
        """Return the resources for ``workers`` trainings at a time, or None for as many as fit, of one thread each by default.

        Raises:
            UsageError: a number is below 1, or the time limit is not above 0.

        """
        checked = Resources.choose(Numerics(), jobs, workers, threads and min(threads, 1), trial_timeout)
        gpus = self._cluster_found.gpus if numerics.device == "cuda" else 0
        return replace(checked, workers=workers, threads=self._threads, gpus=gpus, cores=self._cluster_found.cpus)

    def executor(self, trainer: TrainFunction, resources: Resources, candidates: Collection[Genotype]) -> RayExecutor:
        """Return an executor that trains on the nodes; see `Backend.executor`."""
        share = self._cluster.gpus_per_trial
        gpus = float(self._device == "cuda") if share is None else share
        _send(
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
        return RayExecutor(self._pipe, self._cluster_found.head, self._process)

    def close(self, timeout: float = _CLOSE_TIMEOUT) -> None:
        """End the driver and all that it has started, by force after ``timeout`` seconds."""
        self._pipe.close()
        if self._process.pid is not None:
            self._process.join(timeout)
            self._process.kill()
            self._process.join()


class RayExecutor:
    """Passes jobs to the driver, and its messages to the search."""

    def __init__(self, pipe: Connection, head: str, driver: BaseProcess) -> None:
        self._pipe = pipe
        self._head = head
        self._driver = driver
        self._interrupted = False
        self._running: set[int] = set()
        self._answered = self._checked = time.monotonic()
        first = _receive(pipe)
        assert isinstance(first, Slots)
        self._slots = first.number

    @property
    def workers(self) -> int:
        """Number of jobs that the cluster runs at a time now."""
        return self._slots

    @property
    def room(self) -> int:
        """Number of jobs that can be submitted now."""
        return max(0, self._slots - len(self._running))

    def submit(self, job: Job) -> None:
        """See `Executor.submit`."""
        self._running.add(job.number)
        _send(self._pipe, job)

    def wait(self, handle: Handle, timeout: float) -> None:
        """See `Executor.wait`.

        Raises:
            RunError: the head of the cluster or the driver is dead; running jobs are first reported as lost without blame.

        """
        try:
            for message in self._messages(timeout):
                handle(message)
        except KeyboardInterrupt:
            self._interrupted = True  # perhaps in the middle of a message
            raise

    def _messages(self, timeout: float) -> Iterator[Message]:
        try:
            waiting = self._pipe.poll(timeout)
            while waiting:
                message = _receive(self._pipe)
                if isinstance(message, Slots):
                    self._slots = message.number
                else:
                    if isinstance(message, Finished | Failed):
                        self._running.discard(message.number)
                    yield message
                waiting = self._pipe.poll()
            self._check_head()
        except RunError as error:
            self._driver.kill()
            reason = str(error).removesuffix(f". {KEPT}")
            for number in sorted(self._running):
                yield Failed(number, reason, lost=True, blameless=True)
            raise

    def _check_head(self) -> None:
        """Raise RunError if the head has not answered for a while."""
        now = time.monotonic()
        if now < self._checked + _HEAD_CHECK_INTERVAL:
            return
        if _answers(self._head, 1.0):
            self._answered = time.monotonic()
        elif self._checked - self._answered > _HEAD_TIMEOUT:
            raise RunError(f"the head of the Ray cluster {self._head} does not answer any more. {KEPT}")
        self._checked = time.monotonic()

    def close(self) -> None:
        """See `Executor.close`; another executor of the same backend may follow."""
        try:
            if not self._interrupted:
                self._pipe.send(Drop())
                while self._pipe.poll(_CLOSE_TIMEOUT) and not isinstance(_receive(self._pipe), Dropped):
                    pass
        except (OSError, AttnNasError):
            return  # the driver is dead


def _send(pipe: Connection, message: object) -> None:
    """Send ``message`` to the driver; if the driver is dead, the next `_receive` notices it."""
    with suppress(OSError):
        pipe.send(message)


def _receive(pipe: Connection) -> Any:
    """Return the next message of the driver, or raise it if it is an error; raises RunError if the driver is dead."""
    try:
        message = pipe.recv()
    except (EOFError, OSError):
        raise RunError(f"the process that speaks to Ray has died. {KEPT}") from None
    if isinstance(message, AttnNasError):
        raise message
    return message


def _address(cluster: Ray) -> str | None:
    """Return the address of the cluster: as given, or that this process has joined, or RAY_ADDRESS; None to start one."""
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
    """Pickle the trainer with the modules that define it, except those of installed packages, which the nodes have."""
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
