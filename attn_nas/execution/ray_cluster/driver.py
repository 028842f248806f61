"""The process that uses Ray for a search: it joins the cluster, submits jobs as tasks, and passes on their messages."""

from __future__ import annotations

import logging
import os
import secrets
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from pathlib import Path
from types import FrameType
from typing import Any

from attn_nas.errors import AttnNasError, DeviceError, RunError, UsageError, first_line
from attn_nas.execution.jobs import Job
from attn_nas.execution.ray_cluster import nodes
from attn_nas.execution.ray_cluster.messages import Begin, Choose, Connected, Drop, Dropped, Notice, Slots
from attn_nas.execution.ray_cluster.tasks import Tasks
from attn_nas.execution.settings import Ray
from attn_nas.machine import usable_cores
from attn_nas.training import Numerics

_QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_OVERRIDE_JOB_RUNTIME_ENV": "1"}
_ALONE = {"RAY_prestart_worker_first_driver": "0"}
"""Workers that a new cluster starts by itself lack this package, and no task can use them."""
_ON_NODES = {"RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES": "1"}
"""A worker sees all GPUs of its node, since Ray assigns different ones to a process over time (see `nodes._gpu`)."""
_NOTICE_AFTER = 15.0
_NODE_CHECK_INTERVAL = 2.0
_TICK = 0.1


def drive(pipe: Connection, cluster: Ray, address: str | None) -> None:
    """Body of the driver; it ends, with all that it has started, when the search closes the pipe or dies."""
    _silence_output()
    os.environ.update(_QUIET)
    try:
        connected = _join(address)
        signal.signal(signal.SIGTERM, _ignore)  # the search receives it too, and ends this process
        driver = _Driver(pipe, cluster, connected)
        pipe.send(connected)
    except AttnNasError as error:
        pipe.send(error)
        return
    try:
        driver.serve()
    except AttnNasError as error:
        with suppress(OSError):
            pipe.send(error)
    except EOFError:
        return
    except Exception as error:  # noqa: BLE001 - Ray raises errors of many kinds
        with suppress(OSError):
            pipe.send(RunError(f"Ray fails: {type(error).__name__}: {first_line(error)}"))
    finally:
        driver.close()


def _ignore(number: int, frame: FrameType | None) -> None:
    pass


def _silence_output() -> None:
    """Discard the output of Ray, which would disturb the live view and is in its own logs."""
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)


def _join(address: str | None) -> Connected:
    """Join the cluster, or without an address start one on this machine, protected by a token.

    Raises:
        UsageError: the cluster cannot be joined.
        RunError: no cluster can be started on this machine.

    """
    if address is None:  # Ray reads these when it is imported
        os.environ.setdefault("RAY_AUTH_MODE", "token")
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
        os.environ.update(_ALONE)
    import ray

    import attn_nas

    package = Path(attn_nas.__file__).parent
    shipped = {"py_modules": [str(package)], "excludes": ["__pycache__"], "env_vars": _ON_NODES}
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL, "runtime_env": shipped}
    if address is None:
        options |= {"num_cpus": usable_cores(), "include_dashboard": False}
    try:
        ray.init(address or "local", **options)
    except Exception as error:  # noqa: BLE001 - Ray raises errors of many kinds
        if address is None:
            raise RunError(f"Ray does not start on this machine: {first_line(error)}. Its logs in /tmp/ray say why") from None
        raise UsageError(
            f"the Ray cluster {address} cannot be joined: {first_line(error)}. Begin the search on one of its nodes, with the "
            "Python and the Ray of the cluster"
        ) from None
    there = ray.cluster_resources()
    head = ray.get_runtime_context().gcs_address
    return Connected(head, int(there.get("CPU", 0)), int(there.get("GPU", 0)), can_grow=address is not None)


@contextmanager
def _pipe_errors_as_end() -> Iterator[None]:
    """Raise EOFError for errors of the pipe in the block, so that they differ from errors of files."""
    try:
        yield
    except OSError:
        raise EOFError from None


class _Driver:
    def __init__(self, pipe: Connection, cluster: Ray, connected: Connected) -> None:
        self._pipe = pipe
        self._cluster = cluster
        self._connected = connected
        self._tasks: Tasks | None = None
        self._checked = 0.0
        self._slots = 0

    def serve(self) -> None:
        """Handle messages until the pipe is closed; raises EOFError then."""
        while True:
            if self._tasks:
                for message in self._tasks.messages(_TICK):
                    self._send(message)
                self._check_nodes(self._tasks)
            while self._has_message(0 if self._tasks and self._tasks.running else _TICK):
                self._handle(self._receive())

    def _send(self, message: object) -> None:
        with _pipe_errors_as_end():
            self._pipe.send(message)

    def _has_message(self, timeout: float = 0.0) -> bool:
        with _pipe_errors_as_end():
            return self._pipe.poll(timeout)

    def _receive(self) -> Choose | Begin | Job | Drop:
        with _pipe_errors_as_end():
            message: Choose | Begin | Job | Drop = self._pipe.recv()
            return message

    def _handle(self, message: Choose | Begin | Job | Drop) -> None:
        match message:
            case Choose():
                self._send(self._numerics(message))
            case Begin():
                self._tasks = Tasks(message)
                self._slots, self._checked = 0, 0.0
                self._check_nodes(self._tasks)
            case Drop():
                if self._tasks:
                    self._tasks.close()
                self._tasks = None
                self._send(Dropped())
            case Job():
                assert self._tasks
                self._tasks.submit(message)

    def _check_nodes(self, tasks: Tasks) -> None:
        """Report how many jobs run at a time, at first and whenever nodes join or leave."""
        import ray

        if time.monotonic() < self._checked + _NODE_CHECK_INTERVAL:
            return
        self._checked = time.monotonic()
        slots = tasks.slots([node["Resources"] for node in ray.nodes() if node["Alive"]])
        if slots != self._slots:
            self._slots = slots
            self._send(Slots(slots))

    def _numerics(self, wanted: Choose) -> Numerics | AttnNasError:
        """Ask a node for the numerics of trainings; return them, or the reason why there are none."""
        import ray

        share = self._cluster.gpus_per_trial
        if wanted.device == "cuda" and share is None and not self._connected.gpus:
            return DeviceError(
                f"the Ray cluster {self._connected.head} has no GPU: use --device cpu, or give --gpus-per-trial if nodes with "
                "GPUs will join later"
            )
        if share is None:
            share = float(wanted.device != "cpu" and self._connected.gpus > 0)
        there = self._connected
        if not there.can_grow and (share > there.gpus or wanted.threads > there.cpus):
            return UsageError(
                f"a trial of {wanted.threads} threads and {share:g} GPUs does not fit on this machine, which has {there.cpus} "
                f"cores and {there.gpus} GPUs: choose fewer, or name a cluster with --address"
            )
        device = wanted.device if share else "cpu"
        asked = ray.remote(nodes.numerics_there).options(num_cpus=wanted.threads, num_gpus=share)
        answer = asked.remote(device, wanted.precision)
        needs = f"{wanted.threads} CPUs" + f" and {share:g} GPUs" * (share > 0)
        for waited in self._waits():
            if ray.wait([answer], timeout=1.0)[0]:
                break
            if waited >= self._cluster.start_seconds:
                ray.cancel(answer)
                return DeviceError(f"no node of the Ray cluster {self._connected.head} has had {needs} free")
            if waited >= _NOTICE_AFTER > waited - 1.0:
                self._send(Notice(f"waiting for a node of the Ray cluster with {needs} free"))
        try:
            numerics: Numerics | AttnNasError = ray.get(answer)
        except Exception as error:  # noqa: BLE001 - whatever the nodes lack
            cause = getattr(error, "cause", None) or error
            return RunError(
                f"the nodes of the Ray cluster {self._connected.head} cannot run attn-nas: {type(cause).__name__}: "
                f"{first_line(cause)}. They need the packages that it depends on, in the versions of this machine"
            )
        return numerics

    def _waits(self) -> Iterator[float]:
        """Yield the seconds since the first call, while the search lives; raises EOFError when it has ended."""
        start = time.monotonic()
        while True:
            if self._has_message():
                raise EOFError  # the search sends nothing before the answer
            yield time.monotonic() - start

    def close(self) -> None:
        """Drop all tasks, clean up the nodes, and leave the cluster, or end it if it was started here."""
        import ray

        try:
            if self._tasks:
                self._tasks.close()
        finally:
            ray.shutdown()
