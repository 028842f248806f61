"""Trainings of given candidates with given seeds, each kept as a file when it is done, so that a stopped series goes on."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path

from attn_nas.errors import RunError
from attn_nas.execution.jobs import Failed, Finished, Job, Message
from attn_nas.execution.local import Executor
from attn_nas.files import write_whole
from attn_nas.training.protocol import Replicate, Trained

_MAX_LOSSES = 3


class ReplicateFolder:
    """Results by replicate, ``KEY-SEED.json`` each, and ``KEY-SEED.failed`` with a reason; written whole or not at all."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def get(self, replicate: Replicate) -> Trained | None:
        """The kept training; None if there is none, or if its file is damaged."""
        try:
            return Trained.from_dict(json.loads((self.path / f"{replicate}.json").read_text()))
        except (OSError, AttributeError, ValueError, TypeError, KeyError):
            return None

    def failure(self, replicate: Replicate) -> str | None:
        """Why it could not be trained, if so."""
        path = self.path / f"{replicate}.failed"
        return path.read_text(encoding="utf-8") if path.exists() else None

    def failures(self, replicates: Sequence[Replicate]) -> dict[str, str]:
        """The reason by replicate of each that could not be trained."""
        found = {str(replicate): self.failure(replicate) for replicate in replicates}
        return {name: reason for name, reason in found.items() if reason is not None}

    def missing(self, replicates: Sequence[Replicate]) -> list[Replicate]:
        """Those with neither a result nor a failure."""
        return [each for each in replicates if self.get(each) is None and self.failure(each) is None]

    def forget(self, replicate: Replicate) -> None:
        """Have it trained again; raises OSError."""
        for suffix in ("json", "failed"):
            (self.path / f"{replicate}.{suffix}").unlink(missing_ok=True)

    def keep(self, replicate: Replicate, outcome: Trained | str) -> None:
        """Write a result, or the reason of a failure; raises RunError."""
        failed = isinstance(outcome, str)
        path = self.path / f"{replicate}.{'failed' if failed else 'json'}"
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            write_whole(path, outcome if isinstance(outcome, str) else json.dumps(outcome.to_dict()))
        except OSError as error:
            raise RunError(f"{path} cannot be written: {error.strerror}. What was finished is kept: make room, go on") from None


OnReplicate = Callable[[Replicate, Trained | str], None]
"""Told of every replicate that ends: what was trained, or the reason why it could not be."""


def train_replicates(replicates: Sequence[Replicate], folder: ReplicateFolder, executor: Executor, on_end: OnReplicate) -> None:
    """Train what ``folder`` lacks; one that fails is kept and told as a failure.

    One that takes its worker down three times is told as a failure, but tried again the next time: it may have been chance.

    Raises:
        RunError: a result cannot be written, or no worker can start.

    """
    waiting = list(reversed(folder.missing(replicates)))
    running: dict[int, Replicate] = {}
    losses: Counter[Replicate] = Counter()
    numbers = count()

    def handle(message: Message) -> None:
        if not isinstance(message, Finished | Failed):
            return
        replicate = running.pop(message.number)
        if isinstance(message, Failed) and message.unwritable:
            raise RunError(f"{message.reason}. What was finished is kept: make room, go on")
        if isinstance(message, Failed) and message.lost:
            losses[replicate] += not message.blameless
            if losses[replicate] < _MAX_LOSSES:
                waiting.append(replicate)
                return
        outcome = message.trained if isinstance(message, Finished) else message.reason
        if isinstance(message, Finished) or not message.lost:
            folder.keep(replicate, outcome)
        on_end(replicate, outcome)

    while waiting or running:
        while waiting and executor.room:
            number, replicate = next(numbers), waiting.pop()
            running[number] = replicate
            executor.submit(Job(number, replicate.genotype, replicate.seed))
        executor.wait(handle, timeout=1.0)
