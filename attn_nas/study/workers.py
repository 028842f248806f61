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

from attn_nas.errors import RunError, first_line

_LOADED = ["attn_nas.study.executors", "attn_nas.study.trainer", "torch._dynamo"]
"""What the server imports: trainers, and what the first optimizer would load. It starts no thread, which no fork survives."""
_PATIENCE = 1.0
"""Seconds after which a server that has just died is dead for its system too."""
_PR_SET_PDEATHSIG = 1
_OF_THE_TERMINAL = (signal.SIGINT, signal.SIGHUP)
"""What goes to all processes of a terminal, and the coordinator alone answers."""
_DEFERRED = (*_OF_THE_TERMINAL, signal.SIGTERM)


def start_worker(target: Callable[..., None], *arguments: Any, forked: bool) -> BaseProcess:
    """A process that calls ``target`` with ``arguments``, which are pickled; it inherits the environment.

    It is ``forked`` from a server, or starts anew, which takes seconds and is certain to find no traces of a GPU's driver.

    Raises:
        RunError: it cannot be started.

    """
    context = _forking(os.getpid()) if forked else get_context("spawn")
    process: BaseProcess = context.Process(
        target=_begin, args=(dict(os.environ), target, arguments), daemon=True, name="attn-nas-worker"
    )
    with deaf_children():
        try:
            process.start()
        except (EOFError, ConnectionError):
            time.sleep(_PATIENCE)  # the server has been killed: another is started
            try:
                process.start()
            except (EOFError, ConnectionError) as error:
                raise RunError(f"worker processes cannot be started: {first_line(error)}") from error
    return process


@cache
def _forking(process: int) -> ForkServerContext | SpawnContext:
    """What forks workers for this ``process``, or starts each anew where no server can be.

    A server needs a folder for temporary files, and that the process is not itself the fork of one with a server.
    """
    context = get_context("forkserver")
    context.set_forkserver_preload(_LOADED)
    try:
        with deaf_children():
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
    server: Any = forkserver._forkserver
    if server._forkserver_alive_fd is not None:
        os.close(server._forkserver_alive_fd)  # as long as a process has it, the server lives on
        server._forkserver_alive_fd = None
    os.environ.clear()
    os.environ.update(environment)
    target(*arguments)
