"""Hands trainings to an executor and sorts the outcomes: a training whose worker died is trained again, at most three times."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from attn_nas.execution.jobs import EpochReport, Failed, Finished, Job, Message
from attn_nas.execution.local import Executor
from attn_nas.training.protocol import Replicate, Trained

MAX_LOSSES = 3
"""Times that a training may take its worker down before it is given up."""
Fate = Literal["finished", "failed", "unwritable", "lost", "interrupted", "given up"]
"""How a training ended: with a result; with an error; with a result that could not be kept; with its worker, and is repeated;
with its machine, which is no sign against it, and is repeated; or with its worker for the last time."""


@dataclass(frozen=True)
class Outcome:
    """The end of the training of ``replicate`` as number ``number``: its result if it is finished, else the ``reason``."""

    number: int
    replicate: Replicate
    fate: Fate
    trained: Trained | None = None
    reason: str = ""

    @property
    def again(self) -> bool:
        """Whether it is to be trained again."""
        return self.fate in ("lost", "interrupted")


@dataclass(frozen=True)
class _Running:
    replicate: Replicate
    began: float


class Dispatch:
    """The trainings that an executor runs, by number.

    ``losses`` are those of earlier calls by replicate; ``now`` gives the monotonic moment, in seconds.
    """

    def __init__(
        self, executor: Executor, losses: Mapping[Replicate, int] | None = None, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._executor = executor
        self._losses = Counter(losses)
        self._now = now
        self._running: dict[int, _Running] = {}

    @property
    def workers(self) -> int:
        """Number of trainings that run at a time."""
        return self._executor.workers

    @property
    def room(self) -> int:
        """Number of trainings that can begin now."""
        return self._executor.room

    @property
    def running(self) -> int:
        """Number of trainings that run."""
        return len(self._running)

    @property
    def began(self) -> list[float]:
        """Monotonic moments, in seconds, when the running trainings began."""
        return [each.began for each in self._running.values()]

    def submit(self, number: int, replicate: Replicate, until: int | None = None) -> None:
        """Begin a training, or go on with one that was paused, to its end or ``until`` an epoch; only while there is room."""
        self._running[number] = _Running(replicate, self._now())
        self._executor.submit(Job(number, replicate.genotype, replicate.seed, until))

    def wait(
        self, on_progress: Callable[[EpochReport], None], on_end: Callable[[Outcome, float], None], timeout: float
    ) -> None:
        """Pass on what has happened, after a wait of at most ``timeout`` seconds for the first message.

        ``on_end`` is given an outcome and the monotonic moment when that training began.

        Raises:
            RunError: no worker can start, or the GPU has failed.

        """

        def handle(message: Message) -> None:
            if isinstance(message, EpochReport):
                on_progress(message)
            elif isinstance(message, Finished | Failed):
                running = self._running.pop(message.number)
                on_end(self._outcome(message, running.replicate), running.began)

        self._executor.wait(handle, timeout)

    def _outcome(self, message: Finished | Failed, replicate: Replicate) -> Outcome:
        if isinstance(message, Finished):
            return Outcome(message.number, replicate, "finished", trained=message.trained)
        if message.unwritable:
            return Outcome(message.number, replicate, "unwritable", reason=message.reason)
        if not message.lost:
            return Outcome(message.number, replicate, "failed", reason=message.reason)
        if message.blameless:
            return Outcome(message.number, replicate, "interrupted", reason=message.reason)
        self._losses[replicate] += 1
        if self._losses[replicate] < MAX_LOSSES:
            return Outcome(message.number, replicate, "lost", reason=message.reason)
        return Outcome(message.number, replicate, "given up", reason=f"{message.reason}, {MAX_LOSSES} times")
