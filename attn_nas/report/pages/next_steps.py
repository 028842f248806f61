"""What to do after a search: commands, with the time that each takes by the times measured in the search."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean

from attn_nas.engine.confirmation import Confirmation
from attn_nas.errors import AttnNasError
from attn_nas.followups.audit import Audit
from attn_nas.followups.retraining import Retraining
from attn_nas.format import capitalised
from attn_nas.runs.next_steps import NextCommand, full_training, next_commands
from attn_nas.runs.run import Run


@dataclass(frozen=True)
class NextStep:
    """A ``command`` and what it is good for.

    ``seconds`` is its predicted time, one training at a time: 0 if all of it is done, None if it cannot be predicted.
    """

    words: str
    command: str
    seconds: float | None


@dataclass(frozen=True)
class NextSteps:
    """What to do with the result of ``run``, whose search was ``stopped`` before its end or not."""

    run: Run
    stopped: bool = False

    @cached_property
    def full(self) -> NextStep:
        """The full training of the pick."""
        return self._timed(full_training(self.run))

    @cached_property
    def steps(self) -> list[NextStep]:
        """Up to three commands, the most useful first; empty without candidates."""
        found = next_commands(self.run, stopped=self.stopped)
        return [self.full if each.kind == "full training" else self._timed(each) for each in found]

    def _timed(self, found: NextCommand) -> NextStep:
        predict: dict[str, Callable[[], float]] = {
            "full training": lambda: Retraining(self.run, [self.run.pick] if self.run.pick else []).seconds(1),
            "audit": lambda: Audit(self.run).seconds(1),
            "one more seed": lambda: _seconds_of_a_round(self.run),
        }
        seconds = _predicted(predict[found.kind]) if found.kind in predict else None
        return NextStep(capitalised(found.words), found.command, seconds)


def _predicted(seconds: Callable[[], float]) -> float | None:
    """The prediction of ``seconds``; None where it cannot be made, as for a network whose code may not run here."""
    try:
        return seconds()
    except AttnNasError:
        return None


def _seconds_of_a_round(run: Run) -> float:
    """Predicted time of one more round of confirmation, from the mean time of a training."""
    references = [each.record.key for each in run.references]
    trainings = Confirmation(run.manifest.seed, 1, references, run.axes).foreseen(len(run.candidates))
    return trainings * fmean(result.seconds for each in run.candidates for result in each.results)
