"""The process that speaks to Ray for a search: it connects, hands out jobs as tasks, and passes on what comes back."""

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
from attn_nas.execution.ray_cluster.settings import RayCluster
from attn_nas.execution.ray_cluster.tasks import Tasks
from attn_nas.execution.resources import usable_cores
from attn_nas.training import Numerics

_QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_OVERRIDE_JOB_RUNTIME_ENV": "1"}
_ON_NODES = {"RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES": "1"}
"""A worker sees all GPUs of its node: Ray gives one process now this, now that one (see `nodes._gpu`)."""
_PATIENCE = 15.0
_LOOK_AT_NODES = 2.0
_TICK = 0.1


def drive(pipe: Connection, cluster: RayCluster, address: str | None) -> None:
    """Body of the process: it ends, and what it has begun with it, when the other side closes the pipe or dies."""
    _be_silent()
    os.environ.update(_QUIET)
    try:
        connected = _joined(address)
        signal.signal(signal.SIGTERM, _ignore)  # who sent it to all of a job's processes has sent it to the search
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


def _be_silent() -> None:
    """What Ray prints is in its own logs, and would run through the live view."""
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)


def _joined(address: str | None) -> Connected:
    """Join the cluster, or start one of this machine, which takes orders from those alone who know its token.

    Raises:
        UsageError: it cannot be joined.
        RunError: it cannot be started.

    """
    if address is None:  # before Ray is imported: then it is too late
        os.environ.setdefault("RAY_AUTH_MODE", "token")
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
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
def _closed_at_the_other_side() -> Iterator[None]:
    """Errors of the pipe are its end; those of files are not."""
    try:
        yield
    except OSError:
        raise EOFError from None


class _Driver:
    def __init__(self, pipe: Connection, cluster: RayCluster, connected: Connected) -> None:
        self._pipe = pipe
        self._cluster = cluster
        self._connected = connected
        self._tasks: Tasks | None = None
        self._looked = 0.0
        self._slots = 0

    def serve(self) -> None:
        """Do what is asked, until the pipe is closed: then EOFError is raised."""
        while True:
            if self._tasks:
                for message in self._tasks.messages(_TICK):
                    self._say(message)
                self._look_at_nodes(self._tasks)
            while self._is_told(0 if self._tasks and self._tasks.running else _TICK):
                self._heed(self._heard())

    def _say(self, word: object) -> None:
        with _closed_at_the_other_side():
            self._pipe.send(word)

    def _is_told(self, timeout: float = 0.0) -> bool:
        with _closed_at_the_other_side():
            return self._pipe.poll(timeout)

    def _heard(self) -> Choose | Begin | Job | Drop:
        with _closed_at_the_other_side():
            word: Choose | Begin | Job | Drop = self._pipe.recv()
            return word

    def _heed(self, word: Choose | Begin | Job | Drop) -> None:
        match word:
            case Choose():
                self._say(self._numerics(word))
            case Begin():
                self._tasks = Tasks(word)
                self._slots, self._looked = 0, 0.0
                self._look_at_nodes(self._tasks)
            case Drop():
                if self._tasks:
                    self._tasks.close()
                self._tasks = None
                self._say(Dropped())
            case Job():
                assert self._tasks
                self._tasks.submit(word)

    def _look_at_nodes(self, tasks: Tasks) -> None:
        """Tell how many jobs are done at a time, now and whenever nodes come or go."""
        import ray

        if time.monotonic() < self._looked + _LOOK_AT_NODES:
            return
        self._looked = time.monotonic()
        slots = tasks.slots([node["Resources"] for node in ray.nodes() if node["Alive"]])
        if slots != self._slots:
            self._slots = slots
            self._say(Slots(slots))

    def _numerics(self, wanted: Choose) -> Numerics | AttnNasError:
        """What a node says that trainings compute with."""
        import ray

        share = self._cluster.gpus_per_trial
        if wanted.device == "cuda" and share is None and not self._connected.gpus:
            return DeviceError(
                f"the Ray cluster {self._connected.head} has no GPU: use --device cpu, or say with --gpus-per-trial what a "
                "trial takes of GPUs that are still to come"
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
            if waited >= self._cluster.start_timeout:
                ray.cancel(answer)
                return DeviceError(f"no node of the Ray cluster {self._connected.head} has come with {needs} free")
            if waited >= _PATIENCE > waited - 1.0:
                self._say(Notice(f"waiting for a node of the Ray cluster with {needs} free"))
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
        """Seconds since the first, as long as the other side lives."""
        start = time.monotonic()
        while True:
            if self._is_told():
                raise EOFError  # nothing else is said before the answer
            yield time.monotonic() - start

    def close(self) -> None:
        """Drop what runs, tidy the nodes up and leave the cluster, or end it."""
        import ray

        try:
            if self._tasks:
                self._tasks.close()
        finally:
            ray.shutdown()
