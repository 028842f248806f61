"""Worker processes: forked from a warm server, unaffected by signals of the terminal, and ended with their parent."""

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

_LOADED = ["attn_nas.execution.local", "attn_nas.training.trainer"]
"""Modules that the server imports before it forks. None may start a thread."""
_RETRY_AFTER = 1.0
"""Seconds to wait after a failed start, until the death of a server is noticed and another can be started."""
_SAFE_PATH_VARIABLE = "PYTHONSAFEPATH"
_PR_SET_PDEATHSIG = 1
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4
_TERMINAL_SIGNALS = (signal.SIGINT, signal.SIGHUP)
"""Signals that a terminal sends to all its processes, and that only the parent handles."""
_DEFERRED = (*_TERMINAL_SIGNALS, signal.SIGTERM)


def start_worker(target: Callable[..., None], *arguments: Any, forked: bool) -> BaseProcess:
    """Start a process that calls ``target`` with ``arguments``, which are pickled, in the current environment variables.

    If ``forked``, it is forked from a server process; starting that server takes a few seconds, once. Otherwise each process is
    spawned, which takes these seconds every time, but is safe for processes that use a GPU.

    Raises:
        RunError: the process cannot be started.

    """
    spawning = get_context("spawn")
    ways = (_forking(os.getpid()), _forking(os.getpid()), spawning) if forked else (spawning,)
    for number, context in enumerate(ways, start=1):
        process: BaseProcess = context.Process(
            target=_begin, args=(dict(os.environ), target, arguments), daemon=True, name="attn-nas-worker"
        )
        try:
            with ignoring_terminal_signals(), _safe_path():
                process.start()
        except (EOFError, OSError) as error:
            if number == len(ways):
                raise RunError(f"worker processes cannot be started: {first_line(error)}") from error
            time.sleep(_RETRY_AFTER)
        else:
            break
    return process


def warm_context() -> ForkServerContext | SpawnContext:
    """The context whose processes are forked from the server of this process, or spawned if no server can be started.

    Each process calls `begin_process` first, with the environment variables of its parent.
    """
    return _forking(os.getpid())


@contextmanager
def _safe_path() -> Iterator[None]:
    """Start processes in the block with ``PYTHONSAFEPATH``: they import nothing from their working directory at the start."""
    before = os.environ.get(_SAFE_PATH_VARIABLE)
    os.environ[_SAFE_PATH_VARIABLE] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_SAFE_PATH_VARIABLE]
        else:
            os.environ[_SAFE_PATH_VARIABLE] = before


@cache
def _forking(process: int) -> ForkServerContext | SpawnContext:
    """Return the context that forks workers for this ``process``, or one that spawns them if no server can be started.

    A server needs a folder for temporary files, and a parent that was not forked from a process with a server of its own.
    """
    context = get_context("forkserver")
    context.set_forkserver_preload(_LOADED)
    try:
        with ignoring_terminal_signals(), _safe_path():
            forkserver.ensure_running()
    except OSError:
        return get_context("spawn")
    return context


@contextmanager
def ignoring_terminal_signals() -> Iterator[None]:
    """Start processes in the block that ignore signals of the terminal; this process handles its own after the block."""
    arrived: list[int] = []
    in_main = threading.current_thread() is threading.main_thread()
    before = {number: signal.signal(number, lambda number, _: arrived.append(number)) for number in _DEFERRED if in_main}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, _TERMINAL_SIGNALS)
    try:
        resource_tracker.ensure_running()  # children share it, and it unblocks signals when it starts
        signal.pthread_sigmask(signal.SIG_BLOCK, _TERMINAL_SIGNALS)
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for number, handler in before.items():
            signal.signal(number, handler)
        for interrupt in arrived:
            signal.raise_signal(interrupt)


def _begin(environment: Mapping[str, str], target: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    """Body of a worker."""
    begin_process(environment)
    _keep_freed_memory()
    target(*arguments)


def _keep_freed_memory() -> None:
    """Let glibc keep freed memory for the next allocation in the place of returning it to the kernel.

    A training step frees and allocates the same activations again; page faults for them are 3 to 4 % of its time on a
    processor. Other C libraries stay as they are.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt:
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


def begin_process(environment: Mapping[str, str]) -> None:
    """Make this forked process one of its own: with these environment variables, and random numbers of its own.

    The server ends with the parent, and the kernel then kills this process, even if it hangs.
    """
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.pthread_sigmask(signal.SIG_BLOCK, _TERMINAL_SIGNALS)  # another package may have started the server
    server: Any = forkserver._forkserver
    if server._forkserver_alive_fd is not None:
        os.close(server._forkserver_alive_fd)  # the server lives while any process holds this descriptor
        server._forkserver_alive_fd = None
    os.environ.clear()
    os.environ.update(environment)
    np.random.seed()  # its state is equal in all forks, and code of users may draw from it
