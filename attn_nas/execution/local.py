"""Executors on this machine: training in this process, or in a pool of worker processes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Protocol

from attn_nas.errors import RunError
from attn_nas.execution.jobs import EpochReport, Failed, Job, Message, run_job
from attn_nas.execution.processes import start_worker
from attn_nas.plugins import registry as plugins
from attn_nas.training.protocol import DryRun, Trainer, TrainFunction, declared

Handle = Callable[[Message], None]
_MAX_DEATHS_AT_START = 4
_MAX_CHECK_GAP = 10.0
"""The most seconds that count between two checks of a worker; after more, this process was suspended, and the workers too."""
_MAX_START = 300.0
"""Seconds that a worker with a time limit may take to start."""
_MAX_BETWEEN_JOBS = 10.0
"""Seconds after its result in which a worker must be ready for another job; otherwise it is replaced."""


class Executor(Protocol):
    """Takes jobs while it has room, and passes on messages about them."""

    @property
    def workers(self) -> int:
        """Number of jobs that run at a time."""
        ...

    @property
    def room(self) -> int:
        """Number of jobs that can be submitted now."""
        ...

    def submit(self, job: Job) -> None:
        """Start ``job``; only while there is room."""
        ...

    def wait(self, handle: Handle, timeout: float) -> None:
        """Pass the messages that have arrived to ``handle``, after at most ``timeout`` seconds of waiting for the first."""
        ...

    def close(self) -> None:
        """End now; jobs that still run are dropped."""
        ...


class InProcess:
    """Trains in the calling process, one job at a time."""

    def __init__(self, trainer: TrainFunction) -> None:
        self._trainer = declared(trainer)
        self._job: Job | None = None

    @property
    def workers(self) -> int:
        """Always 1."""
        return 1

    @property
    def room(self) -> int:
        """1, or 0 while a job is waiting."""
        return int(self._job is None)

    def submit(self, job: Job) -> None:
        """Store ``job``; the next `wait` trains it."""
        self._job = job

    def wait(self, handle: Handle, timeout: float) -> None:
        """Train the waiting job to its end; ``timeout`` has no effect.

        Raises:
            RunError: the GPU has failed.

        """
        job, self._job = self._job, None
        if job:
            ended = run_job(self._trainer, job, handle)
            if isinstance(ended, Failed) and ended.lost:
                raise RunError(f"{ended.reason}. What was finished is kept: resume the run in a fresh process")

    def close(self) -> None:
        """Do nothing: no job runs between calls."""


@dataclass
class _Worker:
    trainer: Trainer
    process: BaseProcess
    pipe: Connection
    ready: bool = False
    job: Job | DryRun | None = None
    last: tuple[str, int] | None = None
    """Key and seed of the training that it has done last."""
    seconds: float = 0.0
    """Seconds spent on the job, or on the start before it, up to the last check at time ``looked``."""
    looked: float = 0.0

    def begins(self) -> None:
        """Start to count the seconds from 0."""
        self.seconds, self.looked = 0.0, time.monotonic()


class LocalPool:
    """Persistent worker processes on this machine, one per trainer.

    A worker that dies, or takes longer than ``limit`` seconds for a job, is replaced, and its job is reported as lost. Workers
    that use a GPU must not be ``forked``.
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
        """Have one worker per trainer: start more, or end the last. Only while no worker has a job."""
        self._end(self._workers[len(trainers) :])
        self._workers = self._workers[: len(trainers)]
        for trainer in trainers[len(self._workers) :]:
            self._workers.append(self._start(declared(trainer)))

    @property
    def room(self) -> int:
        """Number of idle workers."""
        return sum(worker.job is None for worker in self._workers)

    def submit(self, job: Job | DryRun) -> None:
        """Give ``job`` to the idle worker that has paused the same training, if there is one, else to the first idle worker."""
        idle = [worker for worker in self._workers if worker.job is None]
        training = (job.genotype.key, job.seed) if isinstance(job, Job) else None
        worker = next((worker for worker in idle if training and worker.last == training), idle[0])
        worker.job, worker.last = job, training
        worker.begins()
        try:
            worker.pipe.send(job)
        except OSError:
            return  # the worker is dead: `wait` notices it and reports the job as lost

    def wait(self, handle: Handle, timeout: float) -> None:
        """See `Executor.wait`.

        Raises:
            RunError: workers die again and again before they start a job.

        """
        wait([worker.pipe for worker in self._workers], timeout)
        for index in range(len(self._workers)):
            for message in self._received(index):
                handle(message)
        for message in self._overdue():
            handle(message)

    def _overdue(self) -> Iterator[Message]:
        """Replace the workers that exceed the time limit; their jobs are lost."""
        for index, worker in enumerate(self._workers):
            if worker.job is None or self._limit is None:
                continue
            now = time.monotonic()
            worker.seconds += min(now - worker.looked, _MAX_CHECK_GAP)
            worker.looked = now
            limit = self._limit if worker.ready else self._limit + _MAX_START
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
                if isinstance(message, EpochReport):
                    yield message
                    continue
                worker.job = None
                yield message
                if not worker.pipe.poll(_MAX_BETWEEN_JOBS):
                    worker.process.kill()
                worker.pipe.recv()  # ready for another job; EOFError if it has ended
        except (EOFError, OSError):
            why = self._replace(index)
            if worker.job:
                yield Failed(worker.job.number, f"its worker died ({why})", lost=True)

    def _replace(self, index: int) -> str:
        """Replace a dead worker by a new one; return the reason of its end."""
        dead = self._workers[index]
        dead.process.join(5)
        dead.process.kill()
        code = dead.process.exitcode
        why = f"killed by signal {-code}" if code is not None and code < 0 else f"exit code {code}"
        self._deaths_at_start += not dead.ready
        if self._deaths_at_start > _MAX_DEATHS_AT_START:
            raise RunError(f"worker processes die as soon as they start ({why}): try one worker to see why")
        dead.pipe.close()
        self._workers[index] = self._start(dead.trainer)
        return why

    def close(self) -> None:
        """Kill the workers."""
        self._end(self._workers)

    @staticmethod
    def _end(workers: Sequence[_Worker]) -> None:
        for worker in workers:
            worker.pipe.close()
            worker.process.kill()
        for worker in workers:
            worker.process.join(5)


def _serve(pipe: Connection, trainer: Trainer, plugin_files: list[plugins.PluginFile]) -> None:
    """Body of a worker: send None when ready, receive a job, send its messages, and repeat.

    It ends when the pipe closes, and, to be replaced, when its GPU has failed or its trainer is worn out.
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
