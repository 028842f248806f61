"""Executors: who trains. In this process, or in a pool of local worker processes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Protocol

from attn_nas.errors import RunError
from attn_nas.execution.jobs import Failed, Job, Message, Progress, run_job
from attn_nas.execution.processes import start_worker
from attn_nas.plugins import registry as plugins
from attn_nas.training.protocol import DryRun, Trainer, TrainFunction, declared

Handle = Callable[[Message], None]
_MAX_DEATHS_AT_START = 4
_LONGEST_LOOK = 10.0
"""Seconds that count at most between two looks at a worker: if it is more, this process was stopped, and workers with it."""
_LONGEST_START = 300.0
"""Seconds that a worker with a time limit has to start."""
_LONGEST_PAUSE = 10.0
"""Seconds after which a worker that has told its result, and takes no other job, is replaced."""


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

    def __init__(self, trainer: TrainFunction) -> None:
        self._trainer = declared(trainer)
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
    seconds: float = 0.0
    """Spent on the job, or on the start before it, when it was last ``looked`` at."""
    looked: float = 0.0

    def begins(self) -> None:
        """Count the seconds anew."""
        self.seconds, self.looked = 0.0, time.monotonic()


class LocalPool:
    """Persistent worker processes on this machine, one per trainer; one that dies is replaced and its job told as lost.

    So is one that takes longer than ``limit`` seconds for a job. Those that use a GPU must not be ``forked``.
    """

    def __init__(self, trainers: Sequence[TrainFunction], limit: float | None = None, *, forked: bool = True) -> None:
        self._forked = forked
        self._deaths_at_start = 0
        self._limit = limit
        self._workers: list[_Worker] = []
        try:
            self.resize(trainers)
        except BaseException:
            self.close()
            raise

    def _start(self, trainer: Trainer) -> _Worker:
        ours, theirs = Pipe()
        process = start_worker(_serve, theirs, trainer, plugins.active_files(), forked=self._forked)
        theirs.close()
        return _Worker(trainer, process, ours)

    @property
    def workers(self) -> int:
        """Number of worker processes."""
        return len(self._workers)

    def resize(self, trainers: Sequence[TrainFunction]) -> None:
        """Have as many workers as trainers, while none has a job: the last ones are ended, or more started with theirs."""
        self._end(self._workers[len(trainers) :])
        self._workers = self._workers[: len(trainers)]
        for trainer in trainers[len(self._workers) :]:
            self._workers.append(self._start(declared(trainer)))

    @property
    def room(self) -> int:
        """Number of idle workers."""
        return sum(worker.job is None for worker in self._workers)

    def submit(self, job: Job | DryRun) -> None:
        """Give ``job`` to the first idle worker."""
        worker = next(worker for worker in self._workers if worker.job is None)
        worker.job = job
        worker.begins()
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
        for message in self._overdue():
            handle(message)

    def _overdue(self) -> Iterator[Message]:
        """Replace the workers that take too long, whatever they do; their jobs are lost."""
        for index, worker in enumerate(self._workers):
            if worker.job is None or self._limit is None:
                continue
            now = time.monotonic()
            worker.seconds += min(now - worker.looked, _LONGEST_LOOK)
            worker.looked = now
            limit = self._limit if worker.ready else self._limit + _LONGEST_START
            if worker.seconds > limit:
                worker.process.kill()
                self._replace(index)
                why = "was ended after the time limit of" if worker.ready else "did not start within"
                yield Failed(worker.job.number, f"its worker {why} {limit:g} s", lost=True)

    def _received(self, index: int) -> Iterator[Message]:
        worker = self._workers[index]
        try:
            while worker.pipe.poll():
                message: Message | None = worker.pipe.recv()
                if message is None:
                    worker.ready = True
                    worker.begins()
                    self._deaths_at_start = 0
                    continue
                if isinstance(message, Progress):
                    yield message
                    continue
                worker.job = None
                yield message
                if not worker.pipe.poll(_LONGEST_PAUSE):
                    worker.process.kill()
                worker.pipe.recv()  # it takes another job, or has ended and is replaced
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
            worker.process.kill()
        for worker in workers:
            worker.process.join(5)


def _serve(pipe: Connection, trainer: Trainer, plugin_files: list[plugins.PluginFile]) -> None:
    """Body of a worker: None whenever it is ready, then a job in and messages out.

    It ends when the pipe closes, and to be replaced when its GPU or its trainer is of no more use.
    """
    plugins.load_files(plugin_files)
    try:
        while not trainer.worn_out:
            pipe.send(None)
            ended = run_job(trainer, pipe.recv(), pipe.send)
            if isinstance(ended, Failed) and ended.lost:
                return
    except (EOFError, OSError):
        return
    finally:
        pipe.close()
