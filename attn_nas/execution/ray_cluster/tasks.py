"""The jobs of a search as Ray tasks: streaming generators, each on a node that Ray chooses."""

from __future__ import annotations

import time
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import floor
from pathlib import Path
from typing import Any

from attn_nas.errors import RunError, WriteError, first_line
from attn_nas.execution.jobs import EpochReport, Failed, Finished, Job
from attn_nas.execution.ray_cluster import nodes
from attn_nas.execution.ray_cluster.carried_files import (
    CarriedFiles,
    Files,
    contents_of,
    remove_files,
    shipped_contents,
    write_contents,
)
from attn_nas.execution.ray_cluster.messages import KEPT, Begin, Begun, Done
from attn_nas.execution.ray_cluster.nodes import Shipment
from attn_nas.training.protocol import Trainer

_MAX_DEATHS_AT_START = 4
_MAX_NODE_FAILURES = 4
_MAX_CHECK_GAP = 10.0
"""The most seconds that count between two checks of the tasks; after more, this process was suspended."""
_CLEAR_TIMEOUT = 5.0


@dataclass
class _Task:
    job: Job
    stream: Any
    begun: Begun | None = None
    seconds: float = 0.0


@dataclass(frozen=True)
class _Prepared:
    """Files that trainings share: their paths in the run, and a reference to their contents; ``kept`` once they are there."""

    files: Files
    contents: Any
    kept: bool


class Tasks:
    """The running jobs of a `Begin`, and the files that they need.

    A job whose worker dies is reported as lost, without blame if its node has died or was removed. Whether it is repeated is
    for the search to decide.
    """

    def __init__(self, begin: Begin) -> None:
        import ray
        from ray import cloudpickle

        self._begin = begin
        self._trainer: Trainer = cloudpickle.loads(begin.trainer)
        references = {name: ray.put(content) for name, content in shipped_contents(self._trainer).items()}
        self._shipped = ray.put(Shipment(uuid.uuid4().hex, begin.trainer, references, begin.plugins, begin.trial_timeout))
        options = {"num_cpus": begin.threads, "num_gpus": begin.gpus}
        self._train = ray.remote(num_returns="streaming", max_retries=0, max_calls=0, **options)(nodes.train)
        self._prepare = ray.remote(max_retries=3, max_calls=0, **options)(nodes.prepare)
        self._prepared: dict[tuple[Path, ...], _Prepared] = {}
        self.running: list[_Task] = []
        self._hosts: set[str] = set()
        self._failures: Counter[str] = Counter()
        self._deaths_at_start = 0
        self._checked = time.monotonic()

    def slots(self, alive: Sequence[Mapping[str, float]]) -> int:
        """Return how many jobs to run at a time on nodes with these resources; at least 1, which waits for a node."""
        if self._begin.workers:
            return self._begin.workers
        return max(1, min(self._begin.jobs, sum(map(self._slots_of, alive))))

    def _slots_of(self, node: Mapping[str, float]) -> int:
        slots = int(node.get("CPU", 0.0) // self._begin.threads)
        share = self._begin.gpus
        if not share:
            return slots
        gpus = node.get("GPU", 0.0)
        return min(slots, int(gpus) * floor(1 / share + 1e-9) if share <= 1 else int(gpus // share))

    def submit(self, job: Job) -> None:
        """Start ``job`` on a node that has room, now or later."""
        files = CarriedFiles.of(self._trainer, job)
        arguments = (self._prepared_for(job, files), contents_of(files.paused), tuple(files.returned))
        self.running.append(_Task(job, self._train.remote(self._shipped, job, *arguments)))

    def _prepared_for(self, job: Job, files: CarriedFiles) -> Any:
        """Return the contents of the job's prepared files, from the run, or a reference to the task that makes them."""
        import ray

        if not files.prepared:
            return {}
        key = tuple(files.prepared.values())
        if key not in self._prepared:
            there = contents_of(files.prepared)
            made = ray.put(there) if there else self._prepare.remote(self._shipped, job.genotype, job.seed)
            self._prepared[key] = _Prepared(files.prepared, made, kept=bool(there))
        return self._prepared[key].contents

    def _keep_prepared(self) -> None:
        """Write prepared files that are ready into the run, where they outlive their node; raises WriteError."""
        import ray

        for key, prepared in [*self._prepared.items()]:
            if prepared.kept or not ray.wait([prepared.contents], timeout=0)[0]:
                continue
            try:
                contents = ray.get(prepared.contents)
                write_contents(prepared.files, contents)
                self._prepared[key] = _Prepared(prepared.files, ray.put(contents), kept=True)
            except ray.exceptions.RayError:
                del self._prepared[key]

    def messages(self, timeout: float) -> Iterator[EpochReport | Finished | Failed]:
        """Yield the messages that have arrived, after at most ``timeout`` seconds of waiting for the first.

        Raises:
            RunError: workers die again and again before they start a job, or a node fails again and again.

        """
        import ray

        if self.running:
            ray.wait([task.stream for task in self.running], timeout=timeout, fetch_local=False)
            streams = [task.stream for task in self.running]
            ready = {*map(id, ray.wait(streams, num_returns=len(streams), timeout=0, fetch_local=False)[0])}
            self._keep_prepared()
            for task in [task for task in self.running if id(task.stream) in ready]:
                yield from self._next(task)
        yield from self._overdue()

    def _next(self, task: _Task) -> Iterator[EpochReport | Finished | Failed]:
        import ray

        try:
            message = ray.get(next(task.stream))
        except (ray.exceptions.RayError, StopIteration) as error:
            self.running.remove(task)
            yield self._lost(task, error)
            return
        match message:
            case Begun():
                task.begun = message
                self._hosts.add(message.node)
                self._deaths_at_start = 0
            case EpochReport():
                yield message
            case Done():
                self.running.remove(task)
                yield self._kept(task.job, message)
                self._count_failures(message)

    def _lost(self, task: _Task, error: Exception) -> Failed:
        import ray

        where = f" {task.begun.host}" if task.begun else ""
        number = task.job.number
        if isinstance(error, (ray.exceptions.NodeDiedError, ray.exceptions.ObjectLostError)):
            return Failed(number, f"its node{where} died", lost=True, blameless=True)
        if isinstance(error, ray.exceptions.LocalRayletDiedError):
            raise RunError(f"this machine has left the Ray cluster. {KEPT}")
        if isinstance(error, ray.exceptions.OutOfMemoryError):
            return Failed(number, f"its worker was ended, for the memory of its node{where} was full", lost=True)
        if isinstance(error, ray.exceptions.WorkerCrashedError):
            self._deaths_at_start += task.begun is None
            if self._deaths_at_start > _MAX_DEATHS_AT_START:
                raise RunError("workers of the Ray cluster die as soon as they start: the logs of Ray on its nodes say why")
            return Failed(number, "its worker" + f" on{where}" * bool(where) + " died", lost=True)
        cause = getattr(error, "cause", None) or error
        return Failed(number, f"{type(cause).__name__}: {first_line(cause)}", lost=True)

    def _overdue(self) -> Iterator[Failed]:
        """End the workers that exceed the time limit; their jobs are lost."""
        import ray

        now = time.monotonic()
        passed, self._checked = min(now - self._checked, _MAX_CHECK_GAP), now
        limit = self._begin.trial_timeout
        for task in [task for task in self.running if task.begun]:
            task.seconds += passed
            if limit is not None and task.seconds > limit:
                ray.cancel(task.stream, force=True)
                self.running.remove(task)
                yield Failed(task.job.number, f"its worker was ended after the time limit of {limit:g} s", lost=True)

    def _kept(self, job: Job, done: Done) -> Finished | Failed:
        """Write the files of a finished job into the run, and return its outcome."""
        files = CarriedFiles.of(self._trainer, job)
        try:
            write_contents(files.returned, done.returned)
            if done.paused is not None:
                write_contents(files.paused, done.paused)
                remove_files(files.paused, besides=done.paused)
        except WriteError as error:
            return Failed(job.number, str(error), unwritable=True)
        return done.ended

    def _count_failures(self, done: Done) -> None:
        """Count the failures of a node in a row that no candidate has caused; raises RunError after too many."""
        if not (isinstance(done.ended, Failed) and done.ended.blameless):
            self._failures.pop(done.host, None)
            return
        self._failures[done.host] += 1
        if self._failures[done.host] >= _MAX_NODE_FAILURES:
            raise RunError(f"{done.ended.reason}: {_MAX_NODE_FAILURES} times in a row. Repair that node, or remove it. {KEPT}")

    def close(self) -> None:
        """Cancel all tasks, and remove the files of the search on the nodes."""
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        for task in self.running:
            ray.cancel(task.stream, force=True)
        for prepared in self._prepared.values():
            ray.cancel(prepared.contents, force=True)
        if not self._trainer.can_relocate:
            return
        clear = ray.remote(nodes.clear)
        alive = {node["NodeID"]: node["Resources"] for node in ray.nodes() if node["Alive"]}
        left = self._hosts & alive.keys()
        if self._prepared:  # by a task on any node that has room for one
            left |= {node for node, resources in alive.items() if resources.get("CPU", 0.0) >= self._begin.threads}
        cleared = [
            clear.options(num_cpus=0, scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)).remote(
                self._shipped
            )
            for node in left
        ]
        if cleared:
            ray.wait(cleared, num_returns=len(cleared), timeout=_CLEAR_TIMEOUT)
