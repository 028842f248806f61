"""Executors: who trains. In this process, or in a pool of local worker processes."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Protocol

from attn_nas import plugins
from attn_nas.errors import RunError
from attn_nas.study.jobs import DryRun, Failed, Job, MeasuredTrainer, Message, Progress, Trainer, run_job

Handle = Callable[[Message], None]
_MAX_DEATHS_AT_START = 4


class Executor(Protocol):
    """Takes jobs while it has room and hands back messages about them."""

    @property
    def workers(self) -> int:
        """How many jobs it does at a time."""
        ...

    @property
    def room(self) -> int:
        """How many more jobs it takes now."""
        ...

    def submit(self, job: Job) -> None:
        """Begin a job; only while there is room."""
        ...

    def wait(self, handle: Handle, timeout: float) -> None:
        """Pass the messages that have come to ``handle``, waiting for the first one at most ``timeout`` seconds."""
        ...

    def close(self) -> None:
        """End now; what still runs is dropped."""
        ...


class InProcess:
    """Trains in this very process, one job at a time."""

    def __init__(self, trainer: Trainer) -> None:
        self._trainer = trainer
        self._job: Job | None = None

    @property
    def workers(self) -> int:
        """One."""
        return 1

    @property
    def room(self) -> int:
        """One, unless a job is waiting."""
        return int(self._job is None)

    def submit(self, job: Job) -> None:
        """Take a job; the next `wait` trains it."""
        self._job = job

    def wait(self, handle: Handle, timeout: float) -> None:
        """Train the waiting job to its end, however long it takes.

        Raises:
            RunError: the GPU has failed.

        """
        job, self._job = self._job, None
        if job:
            ended = run_job(self._trainer, job, handle)
            if isinstance(ended, Failed) and ended.lost:
                raise RunError(f"{ended.reason}. What was finished is kept: go on with --resume in a fresh process")

    def close(self) -> None:
        """Nothing runs between calls."""


@dataclass
class _Worker:
    trainer: Trainer
    process: BaseProcess
    pipe: Connection
    ready: bool = False
    job: Job | DryRun | None = None


class LocalPool:
    """Persistent worker processes on this machine, one per trainer; one that dies is replaced and its job told as lost."""

    def __init__(self, trainers: Sequence[Trainer]) -> None:
        self._context = multiprocessing.get_context("spawn")
        self._deaths_at_start = 0
        self._workers = [self._start(trainer) for trainer in trainers]

    def _start(self, trainer: Trainer) -> _Worker:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(
            target=_serve, args=(theirs, trainer, plugins.active_files()), daemon=True, name="attn-nas-worker"
        )
        with _deaf_to_interrupts():
            process.start()
        theirs.close()
        return _Worker(trainer, process, ours)

    @property
    def workers(self) -> int:
        """Number of worker processes."""
        return len(self._workers)

    def resize(self, trainers: Sequence[Trainer]) -> None:
        """Have as many workers as trainers, while none has a job: the last ones are ended, or more started with theirs."""
        self._end(self._workers[len(trainers) :])
        self._workers = self._workers[: len(trainers)]
        self._workers += [self._start(trainer) for trainer in trainers[len(self._workers) :]]

    @property
    def room(self) -> int:
        """Number of idle workers."""
        return sum(worker.job is None for worker in self._workers)

    def submit(self, job: Job | DryRun) -> None:
        """Give ``job`` to the first idle worker."""
        worker = next(worker for worker in self._workers if worker.job is None)
        worker.job = job
        try:
            worker.pipe.send(job)
        except OSError:
            return  # the worker is dead: `wait` finds out and tells the job as lost

    def wait(self, handle: Handle, timeout: float) -> None:
        """See `Executor.wait`.

        Raises:
            RunError: workers die before they do anything, again and again.

        """
        wait([worker.pipe for worker in self._workers], timeout)
        for index in range(len(self._workers)):
            for message in self._received(index):
                handle(message)

    def _received(self, index: int) -> Iterator[Message]:
        worker = self._workers[index]
        try:
            while worker.pipe.poll():
                message: Message | None = worker.pipe.recv()
                if message is None:
                    worker.ready = True
                    self._deaths_at_start = 0
                    continue
                if isinstance(message, Progress):
                    yield message
                    continue
                worker.job = None
                yield message
                worker.pipe.recv()  # until it takes another job, or ends and is replaced
        except (EOFError, OSError):
            why = self._replace(index)
            if worker.job:
                yield Failed(worker.job.number, f"its worker died ({why})", lost=True)

    def _replace(self, index: int) -> str:
        """Put a new worker in the place of a dead one; returns what ended it."""
        dead = self._workers[index]
        dead.process.join(5)
        dead.process.kill()
        code = dead.process.exitcode
        why = f"killed by signal {-code}" if code is not None and code < 0 else f"exit code {code}"
        self._deaths_at_start += not dead.ready
        if self._deaths_at_start > _MAX_DEATHS_AT_START:
            raise RunError(f"worker processes die as soon as they start ({why}): try --workers 1 to see why")
        dead.pipe.close()
        self._workers[index] = self._start(dead.trainer)
        return why

    def close(self) -> None:
        """Terminate the workers."""
        self._end(self._workers)

    @staticmethod
    def _end(workers: Sequence[_Worker]) -> None:
        for worker in workers:
            worker.pipe.close()
            worker.process.terminate()
        for worker in workers:
            worker.process.join(5)
            if worker.process.is_alive():
                worker.process.kill()


@contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """Children started inside ignore Ctrl-C from their first moment; only the coordinator answers it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _serve(pipe: Connection, trainer: Trainer, plugin_files: list[plugins.PluginFile]) -> None:
    """Body of a worker: None whenever it is ready, then a job in and messages out.

    It ends when the pipe closes or the parent is gone, and to be replaced when its GPU or its trainer is of no more use.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_die_with_parent, args=(os.getppid(),), daemon=True).start()
    plugins.load_files(plugin_files)
    try:
        while not (isinstance(trainer, MeasuredTrainer) and trainer.worn_out):
            pipe.send(None)
            ended = run_job(trainer, pipe.recv(), pipe.send)
            if isinstance(ended, Failed) and ended.lost:
                return
    except (EOFError, OSError):
        return
    finally:
        pipe.close()


def _die_with_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)
