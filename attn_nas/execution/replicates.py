"""Trainings of given genotypes with given seeds; each is kept as a file when it ends, so that a stopped series goes on."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path

from attn_nas.errors import RunError
from attn_nas.execution.dispatch import Dispatch, Outcome
from attn_nas.execution.jobs import EpochReport
from attn_nas.execution.local import Executor
from attn_nas.files import write_whole
from attn_nas.training.protocol import Replicate, Trained


class ReplicateFolder:
    """Results by replicate: ``KEY-SEED.json``, or ``KEY-SEED.failed`` with a reason; each written whole or not at all."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def get(self, replicate: Replicate) -> Trained | None:
        """The kept training; None if there is none, or if its file is damaged."""
        try:
            return Trained.from_dict(json.loads((self.path / f"{replicate}.json").read_text()))
        except (OSError, AttributeError, ValueError, TypeError, KeyError):
            return None

    def failure(self, replicate: Replicate) -> str | None:
        """The reason why it could not be trained; None if it did not fail."""
        path = self.path / f"{replicate}.failed"
        return path.read_text(encoding="utf-8") if path.exists() else None

    def failures(self, replicates: Sequence[Replicate]) -> dict[str, str]:
        """Reasons of the replicates that could not be trained, by replicate."""
        found = {str(replicate): self.failure(replicate) for replicate in replicates}
        return {name: reason for name, reason in found.items() if reason is not None}

    def missing(self, replicates: Sequence[Replicate]) -> list[Replicate]:
        """The replicates with neither a result nor a failure."""
        return [each for each in replicates if self.get(each) is None and self.failure(each) is None]

    def forget(self, replicate: Replicate) -> None:
        """Delete its result or failure, so that it is trained again; raises OSError."""
        for suffix in ("json", "failed"):
            (self.path / f"{replicate}.{suffix}").unlink(missing_ok=True)

    def keep(self, replicate: Replicate, outcome: Trained | str) -> None:
        """Write a training, or the reason of a failure; raises RunError."""
        failed = isinstance(outcome, str)
        path = self.path / f"{replicate}.{'failed' if failed else 'json'}"
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            write_whole(path, outcome if isinstance(outcome, str) else json.dumps(outcome.to_dict()))
        except OSError as error:
            raise RunError(f"{path} cannot be written: {error.strerror}. What was finished is kept: make room, go on") from None


OnReplicate = Callable[[Replicate, Trained | str], None]
"""Called with each replicate that ends, and its training, or the reason why it could not be trained."""


def train_replicates(replicates: Sequence[Replicate], folder: ReplicateFolder, executor: Executor, on_end: OnReplicate) -> None:
    """Train the replicates that ``folder`` lacks; keep each training, or the reason why it failed, and call ``on_end`` with it.

    A replicate that takes its worker down three times counts as a failure but is not kept as one: the next call tries it again.

    Raises:
        RunError: a result cannot be written, or no worker can start.

    """
    waiting = deque(folder.missing(replicates))
    dispatch = Dispatch(executor)
    numbers = count()

    def ignore(progress: EpochReport) -> None:
        """Do nothing: the epochs of a replicate are not reported."""

    def end(outcome: Outcome, began: float) -> None:
        if outcome.fate == "unwritable":
            raise RunError(f"{outcome.reason}. What was finished is kept: make room, then go on")
        if outcome.again:
            waiting.appendleft(outcome.replicate)
            return
        result = outcome.trained or outcome.reason
        if outcome.fate != "given up":
            folder.keep(outcome.replicate, result)
        on_end(outcome.replicate, result)

    while waiting or dispatch.running:
        while waiting and dispatch.room:
            dispatch.submit(next(numbers), waiting.popleft())
        dispatch.wait(ignore, end, timeout=1.0)
