"""The jobs of a search as Ray tasks: streaming generators, each on a node of Ray's choice."""

from __future__ import annotations

import time
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import floor
from pathlib import Path
from typing import Any

import numpy as np

from attn_nas.errors import RunError, WriteError, first_line
from attn_nas.execution.jobs import Failed, Finished, Job, Progress
from attn_nas.execution.ray_cluster import nodes
from attn_nas.execution.ray_cluster.messages import KEPT, Begin, Begun, Done
from attn_nas.execution.ray_cluster.nodes import Shipment
from attn_nas.files import raising_write_error, write_whole
from attn_nas.space.trunks import Trunk
from attn_nas.training.trainer import ProxyTrainer

_MAX_DEATHS_AT_START = 4
_MAX_TROUBLES = 4
_LONGEST_LOOK = 10.0
"""Seconds that count at most between two looks at the tasks: if it is more, this process was stopped."""
_LONGEST_TIDYING = 5.0


@dataclass
class _Task:
    job: Job
    stream: Any
    begun: Begun | None = None
    seconds: float = 0.0


class Tasks:
    """What runs, and what it needs: see `Begin`.

    A job whose worker dies is told as lost; if its node has died, or was taken away, then without blame. Nothing is repeated
    here: that is for the coordinator to decide.
    """

    def __init__(self, begin: Begin) -> None:
        import ray

        self._begin = begin
        self._trainer = begin.trainer
        files = _contents(self._trainer) if isinstance(self._trainer, ProxyTrainer) else {}
        references = {name: ray.put(content) for name, content in files.items()}
        self._shipment = Shipment(uuid.uuid4().hex, self._trainer, references, begin.plugins, begin.trial_timeout)
        self._shipped = ray.put(self._shipment)
        options = {"num_cpus": begin.threads, "num_gpus": begin.gpus}
        self._train = ray.remote(num_returns="streaming", max_retries=0, max_calls=0, **options)(nodes.train)
        self._warm = ray.remote(max_retries=3, max_calls=0, **options)(nodes.warm_trunk)
        self._trunks: dict[Path, Any] = {}
        self.running: list[_Task] = []
        self._hosts: set[str] = set()
        self._troubles: Counter[str] = Counter()
        self._deaths_at_start = 0
        self._looked = time.monotonic()

    def slots(self, alive: Sequence[Mapping[str, float]]) -> int:
        """How many jobs to have at a time on nodes with these resources; at least one, to be waited for."""
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
        """Begin a job wherever there is room."""
        trunk, paused, weights = None, {}, False
        if isinstance(self._trainer, ProxyTrainer):
            trunk = self._trunk(self._trainer, job.genotype.trunk, job.seed) if self._trainer.settings.warm_epochs else None
            pause = self._trainer.pause_of(job.genotype, job.seed)
            paused = pause.pack() if pause else {}
            weights = self._trainer.weights_path(job.genotype, job.seed) is not None
        self.running.append(_Task(job, self._train.remote(self._shipped, job, trunk, paused, weights)))

    def _trunk(self, trainer: ProxyTrainer, trunk: Trunk, seed: int) -> Any:
        """A reference to the warm trunk: the one that the run keeps, or a task that trains it once for all nodes."""
        import ray

        path = trainer.trunk_path(trunk, seed)
        if path not in self._trunks:
            kept = path.read_bytes() if path.exists() else None
            self._trunks[path] = ray.put(kept) if kept else self._warm.remote(self._shipped, trunk, seed)
        return self._trunks[path]

    def _keep_trunks(self) -> None:
        """Write the warm trunks that are done into the run; from then on they live here, whatever becomes of a node."""
        import ray

        for path, reference in [*self._trunks.items()]:
            failed = path.with_suffix(".failed")
            if path.exists() or failed.exists() or not ray.wait([reference], timeout=0)[0]:
                continue
            try:
                trunk = ray.get(reference)
                with raising_write_error(path):
                    path.parent.mkdir(exist_ok=True)
                    write_whole(path if isinstance(trunk, bytes) else failed, trunk)
                self._trunks[path] = ray.put(trunk)
            except ray.exceptions.RayError:
                del self._trunks[path]

    def messages(self, timeout: float) -> Iterator[Progress | Finished | Failed]:
        """What has come, waiting for the first at most ``timeout`` seconds.

        Raises:
            RunError: workers die before they do anything, again and again.

        """
        import ray

        if self.running:
            ray.wait([task.stream for task in self.running], timeout=timeout, fetch_local=False)
            streams = [task.stream for task in self.running]
            ready = {*map(id, ray.wait(streams, num_returns=len(streams), timeout=0, fetch_local=False)[0])}
            if self._trunks:
                self._keep_trunks()
            for task in [task for task in self.running if id(task.stream) in ready]:
                yield from self._next(task)
        yield from self._overdue()

    def _next(self, task: _Task) -> Iterator[Progress | Finished | Failed]:
        import ray

        try:
            word = ray.get(next(task.stream))
        except (ray.exceptions.RayError, StopIteration) as error:
            self.running.remove(task)
            yield self._lost(task, error)
            return
        match word:
            case Begun():
                task.begun = word
                self._hosts.add(word.node)
                self._deaths_at_start = 0
            case Progress():
                yield word
            case Done():
                self.running.remove(task)
                yield self._kept(task.job, word)
                self._note_troubles(word)

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
        """End the workers that take too long; their jobs are lost."""
        import ray

        now = time.monotonic()
        passed, self._looked = min(now - self._looked, _LONGEST_LOOK), now
        limit = self._begin.trial_timeout
        for task in [task for task in self.running if task.begun]:
            task.seconds += passed
            if limit is not None and task.seconds > limit:
                ray.cancel(task.stream, force=True)
                self.running.remove(task)
                yield Failed(task.job.number, f"its worker was ended after the time limit of {limit:g} s", lost=True)

    def _kept(self, job: Job, done: Done) -> Finished | Failed:
        """How the job ended, once what it has written is in the run."""
        if isinstance(self._trainer, ProxyTrainer):
            pause = self._trainer.pause_of(job.genotype, job.seed)
            path = self._trainer.weights_path(job.genotype, job.seed)
            try:
                if pause:
                    with raising_write_error(pause.folder):
                        pause.unpack(done.paused)
                if path and done.weights:
                    with raising_write_error(path):
                        path.parent.mkdir(parents=True, exist_ok=True)
                        write_whole(path, done.weights)
            except WriteError as error:
                return Failed(job.number, str(error), unwritable=True)
        return done.ended

    def _note_troubles(self, done: Done) -> None:
        """Count what goes wrong on a node in a row, and is no candidate's fault; raises RunError where it does not end."""
        if not (isinstance(done.ended, Failed) and done.ended.blameless):
            self._troubles.pop(done.host, None)
            return
        self._troubles[done.host] += 1
        if self._troubles[done.host] >= _MAX_TROUBLES:
            raise RunError(f"{done.ended.reason}: {_MAX_TROUBLES} times in a row. Mend that node, or leave it out. {KEPT}")

    def close(self) -> None:
        """Drop what runs, and what the nodes keep."""
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        for task in self.running:
            ray.cancel(task.stream, force=True)
        for trunk in self._trunks.values():
            ray.cancel(trunk, force=True)
        if not self._shipment.files:
            return
        clear = ray.remote(nodes.clear)
        alive = {node["NodeID"] for node in ray.nodes() if node["Alive"]}
        left = alive if self._trunks else self._hosts & alive  # where a trunk was trained, nobody says
        cleared = [
            clear.options(num_cpus=0, scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)).remote(
                self._shipped
            )
            for node in left
        ]
        if cleared:
            ray.wait(cleared, num_returns=len(cleared), timeout=_LONGEST_TIDYING)


def _contents(trainer: ProxyTrainer) -> dict[str, Any]:
    """The files that a training reads, by name."""
    return {
        path.name: np.fromfile(path, np.uint8) for path in trainer.data_folder.iterdir() if path.suffix in (".npy", ".json")
    }
