"""Trainings of given candidates with given seeds, each kept as a file when it is done, so that a stopped series goes on."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from attn_nas.errors import RunError
from attn_nas.proxy import ProxyResult
from attn_nas.space.genotype import Genotype
from attn_nas.study.executors import Executor
from attn_nas.study.jobs import Failed, Finished, Job, Message

_MAX_LOSSES = 3


@dataclass(frozen=True)
class Replicate:
    """Train ``genotype`` with ``seed``."""

    genotype: Genotype
    seed: int

    def __str__(self) -> str:
        return f"{self.genotype.key}-{self.seed}"


class ReplicateFolder:
    """Results by replicate: ``KEY-SEED.json`` each, written whole or not at all."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def get(self, replicate: Replicate) -> ProxyResult | None:
        """The kept result; None if there is none, or if its file is damaged."""
        try:
            return ProxyResult.from_dict(json.loads((self.path / f"{replicate}.json").read_text()))
        except (OSError, ValueError, TypeError):
            return None

    def missing(self, replicates: Sequence[Replicate]) -> list[Replicate]:
        """Those without a result."""
        return [replicate for replicate in replicates if self.get(replicate) is None]

    def keep(self, replicate: Replicate, result: ProxyResult) -> None:
        """Write a result; raises RunError."""
        path = self.path / f"{replicate}.json"
        unfinished = path.with_suffix(".unfinished")
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            unfinished.write_text(json.dumps(result.to_dict()))
            unfinished.replace(path)
        except OSError as error:
            raise RunError(f"{path} cannot be written: {error.strerror}. What was finished is kept: make room, go on") from None


OnReplicate = Callable[[Replicate, ProxyResult | str], None]
"""Told of every replicate that ends: its result, or the reason why it has none."""


def train_replicates(replicates: Sequence[Replicate], folder: ReplicateFolder, executor: Executor, on_end: OnReplicate) -> None:
    """Train what ``folder`` lacks; a replicate that fails, or takes its worker down three times, is told and left out.

    Raises:
        RunError: a result cannot be written, or no worker can start.

    """
    waiting = list(reversed(folder.missing(replicates)))
    running: dict[int, Replicate] = {}
    losses: dict[Replicate, int] = {}
    numbers = iter(range(10**9))

    def handle(message: Message) -> None:
        if not isinstance(message, Finished | Failed):
            return
        replicate = running.pop(message.number)
        if isinstance(message, Finished):
            folder.keep(replicate, message.trained.result)
            on_end(replicate, message.trained.result)
            return
        losses[replicate] = losses.get(replicate, 0) + 1
        if message.lost and losses[replicate] < _MAX_LOSSES:
            waiting.append(replicate)
        else:
            on_end(replicate, message.reason)

    while waiting or running:
        while waiting and executor.room:
            number, replicate = next(numbers), waiting.pop()
            running[number] = replicate
            executor.submit(Job(number, replicate.genotype, replicate.seed))
        executor.wait(handle, timeout=1.0)
