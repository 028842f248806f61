"""What to do after a search: commands, with the time that each takes by the times measured in the search."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean

from attn_nas.engine.confirmation import Confirmation
from attn_nas.errors import AttnNasError
from attn_nas.followups.audit import Audit
from attn_nas.followups.retraining import Retraining
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
    """What to do with the result of ``run``."""

    run: Run

    @cached_property
    def full(self) -> NextStep:
        """The full training of the pick, its references and wider trunks."""
        picked = [self.run.pick] if self.run.pick else []
        return NextStep(
            "Train the pick, the references and wider networks without attention in full",
            f"attn-nas retrain {self._where}",
            _predicted(lambda: Retraining(self.run, picked).seconds(1)),
        )

    @cached_property
    def steps(self) -> list[NextStep]:
        """Three commands: those that make the result surer, then those that use it; empty without candidates."""
        run, pick = self.run, self.run.pick
        if pick is None:
            return []
        if not run.verdict.allows_claims:
            return [self._seed, self._audit, self.full]
        if not pick.record.genotype.num_attended:
            return [self._audit, self.full, self._seed]
        code = f"attn-nas export {self._where} {pick.record.key}"
        return [self.full, self._seed, NextStep("Write the network as code with its weights, verified", code, None)]

    @property
    def _where(self) -> str:
        return shlex.quote(str(self.run.folder.path))

    @property
    def _seed(self) -> NextStep:
        return NextStep(
            "Train the best candidates and the references with one more seed",
            f"attn-nas search --resume --run {self._where} --confirm {self.run.manifest.confirm + 1}",
            _seconds_of_a_round(self.run),
        )

    @property
    def _audit(self) -> NextStep:
        return NextStep(
            "Ask whether the short training ranks networks as a longer one does",
            f"attn-nas audit {self._where}",
            _predicted(lambda: Audit(self.run).seconds(1)),
        )


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
