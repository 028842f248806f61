"""Worker processes: they start in no time, are deaf to the terminal, and gone when the coordinator is."""

from __future__ import annotations

import ctypes
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from multiprocessing import forkserver, get_context, resource_tracker
from multiprocessing.context import ForkServerContext, SpawnContext
from multiprocessing.process import BaseProcess
from typing import Any

import numpy as np

from attn_nas.errors import RunError, first_line

_LOADED = ["attn_nas.execution.local", "attn_nas.training.trainer", "torch._dynamo"]
"""What the server imports: trainers, and what the first optimizer would load. No thread of it may be missed in a fork."""
_PATIENCE = 1.0
"""Seconds after which a server that has just died is known to be dead, and another is started."""
_SAFE_PATH = "PYTHONSAFEPATH"
_PR_SET_PDEATHSIG = 1
_OF_THE_TERMINAL = (signal.SIGINT, signal.SIGHUP)
"""What goes to all processes of a terminal, and the coordinator alone answers."""
_DEFERRED = (*_OF_THE_TERMINAL, signal.SIGTERM)


def start_worker(target: Callable[..., None], *arguments: Any, forked: bool) -> BaseProcess:
    """A process that calls ``target`` with ``arguments``, which are pickled, in the environment of now.

    It is ``forked`` from a server, for the first of which one waits a few seconds, or starts anew, which takes as long for each
    and is certain to find no traces of a GPU's driver.

    Raises:
        RunError: it cannot be started.

    """
    anew = get_context("spawn")
    ways = (_forking(os.getpid()), _forking(os.getpid()), anew) if forked else (anew,)
    for number, context in enumerate(ways, start=1):
        process: BaseProcess = context.Process(
            target=_begin, args=(dict(os.environ), target, arguments), daemon=True, name="attn-nas-worker"
        )
        try:
            with deaf_children(), _blind_to_the_folder():
                process.start()
        except (EOFError, OSError) as error:
            if number == len(ways):
                raise RunError(f"worker processes cannot be started: {first_line(error)}") from error
            time.sleep(_PATIENCE)
        else:
            break
    return process


@contextmanager
def _blind_to_the_folder() -> Iterator[None]:
    """Processes started inside import nothing from the folder that they start in, before they know where else to look."""
    before = os.environ.get(_SAFE_PATH)
    os.environ[_SAFE_PATH] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_SAFE_PATH]
        else:
            os.environ[_SAFE_PATH] = before


@cache
def _forking(process: int) -> ForkServerContext | SpawnContext:
    """What forks workers for this ``process``, or starts each anew where no server can be.

    A server needs a folder for temporary files, and that the process is not itself the fork of one with a server.
    """
    context = get_context("forkserver")
    context.set_forkserver_preload(_LOADED)
    try:
        with deaf_children(), _blind_to_the_folder():
            forkserver.ensure_running()
    except OSError:
        return get_context("spawn")
    return context


@contextmanager
def deaf_children() -> Iterator[None]:
    """Children started inside hear nothing of what a terminal sends; what comes to this process meanwhile is answered after."""
    came: list[int] = []
    in_main = threading.current_thread() is threading.main_thread()
    before = {number: signal.signal(number, lambda number, _: came.append(number)) for number in _DEFERRED if in_main}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, _OF_THE_TERMINAL)
    try:
        resource_tracker.ensure_running()  # which children share, and which unblocks signals when it starts
        signal.pthread_sigmask(signal.SIG_BLOCK, _OF_THE_TERMINAL)
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for number, handler in before.items():
            signal.signal(number, handler)
        for interrupt in came:
            signal.raise_signal(interrupt)


def _begin(environment: Mapping[str, str], target: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    """Body of a worker. The server ends with the coordinator, and the kernel then kills the worker, even while it hangs."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.pthread_sigmask(signal.SIG_BLOCK, _OF_THE_TERMINAL)  # the server may be one that this package has not started
    server: Any = forkserver._forkserver
    if server._forkserver_alive_fd is not None:
        os.close(server._forkserver_alive_fd)  # as long as a process has it, the server lives on
        server._forkserver_alive_fd = None
    os.environ.clear()
    os.environ.update(environment)
    np.random.seed()  # it was the same in all forks, and a user's trainer may draw from it
    target(*arguments)
