"""Writes what a search does into its Optuna study, and tells its listeners."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace

from optuna.trial import Trial, TrialState

from attn_nas.cost import Cost
from attn_nas.engine.confirmation import ConfirmationRound
from attn_nas.engine.ledger import Ledger
from attn_nas.events.types import (
    ConfirmationStarted,
    EpochFinished,
    Event,
    StopRequested,
    TrialFailed,
    TrialFinished,
    TrialPaused,
    TrialStarted,
)
from attn_nas.execution.dispatch import MAX_LOSSES
from attn_nas.execution.jobs import EpochReport
from attn_nas.runs.record import Record, State
from attn_nas.sampling import CURVE, SEED
from attn_nas.sampling.proposer import Proposer
from attn_nas.space.genotype import Genotype
from attn_nas.storage.live_study import LiveStudy
from attn_nas.training.protocol import Replicate


class Journal:
    """The study of one search, which this process alone asks and tells, and the listeners that ``emit`` calls.

    ``cost_of`` counts a genotype, ``references`` are the names of the hand-made ones by key.
    """

    def __init__(
        self,
        live: LiveStudy,
        proposer: Proposer,
        cost_of: Callable[[Genotype], Cost],
        references: Mapping[str, str],
        emit: Callable[[Event], None],
    ) -> None:
        self._live = live
        self._proposer = proposer
        self._cost_of = cost_of
        self._references = references
        self._emit = emit

    def read(self) -> list[Record]:
        """The records of all trials of the study that were described."""
        records = map(Record.of, self._live.study.get_trials(deepcopy=False))
        return [record for record in records if record is not None]

    def close_left_open(self) -> None:
        """End the trials that run in the study, but not here: their process has died.

        A trial that ran then, or was about to run, may have killed the process; this counts as a loss.
        """
        losses = Counter((record.key, record.seed) for record in self.read() if record.state == "lost")
        for trial in self._live.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            record = Record.of(trial)
            again = record is None or losses[record.key, record.seed] + 1 < MAX_LOSSES
            self._drop(trial.number, "lost" if again else "failed", "the search was killed before it was trained")

    def begin(self, replicate: Replicate) -> Record:
        """Write a new trial for ``replicate``."""
        return self._described(self._proposer.given(self._live.study, replicate.genotype), replicate)

    def propose(self, seed: int, admissible: Callable[[Genotype], bool]) -> Record | None:
        """Write a new trial for a genotype that the sampler proposes, to be trained with ``seed``.

        None if the sampler finds no ``admissible`` genotype: the space is exhausted.
        """
        trial, genotype, found = self._proposer.ask(self._live.study, admissible)
        if found:
            return self._described(trial, Replicate(genotype, seed))
        self._live.begin(trial.number)
        self._live.end(trial.number, {"ended": "duplicate"}, state=TrialState.FAIL)
        return None

    def _described(self, trial: Trial, replicate: Replicate) -> Record:
        """Write what the trial trains."""
        genotype, cost = replicate.genotype, self._cost_of(replicate.genotype)
        reference = self._references.get(genotype.key)
        trial.set_user_attr(SEED, replicate.seed)
        trial.set_user_attr("cost", cost.to_dict())
        if reference:
            trial.set_user_attr("reference", reference)
        trial.set_user_attr("genotype", genotype.to_dict())
        self._live.begin(trial.number)
        return Record(trial.number, "running", genotype, replicate.seed, cost, reference, None, None, None)

    def start(self, record: Record, ledger: Ledger) -> None:
        """Tell that a training has begun, of the network as the ``ledger`` names it."""
        self._emit(
            TrialStarted(
                number=record.number,
                key=record.key,
                seed=record.seed,
                placements=str(record.genotype),
                reference=record.reference,
                flops=record.cost.flops,
                params=record.cost.params,
                name=ledger.name(record.genotype),
            )
        )

    def progress(self, progress: EpochReport) -> None:
        """Tell that an epoch of a training has ended."""
        self._emit(EpochFinished(number=progress.number, epoch=progress.epoch, accuracy=progress.accuracy))

    def write(self, record: Record, axes: tuple[str, ...]) -> None:
        """Write a training that has ended with a score, or was paused, and end its trial."""
        result = record.result or record.partial
        assert result
        reached = {"result": result.to_dict(), CURVE: list(result.curve)}
        if record.profile:
            reached["profile"] = record.profile.to_dict()
        if record.result:
            self._live.end(record.number, reached, [result.accuracy, *record.costs(axes)])
        else:
            self._live.end(record.number, reached, state=TrialState.PRUNED)

    def finish(self, record: Record, ledger: Ledger) -> None:
        """Tell that a training has its score, with the front and the budget as the ``ledger`` has them."""
        assert record.result
        self._emit(
            TrialFinished(
                number=record.number,
                key=record.key,
                seed=record.seed,
                placements=str(record.genotype),
                reference=record.reference,
                accuracy=record.result.accuracy,
                flops=record.cost.flops,
                added_flops=ledger.point(record.key).added_flops,
                params=record.cost.params,
                seconds=record.result.seconds,
                front=ledger.front,
                hypervolume=ledger.hypervolume,
                finished=ledger.finished,
                name=ledger.name(record.genotype),
            )
        )

    def pause(self, record: Record, ledger: Ledger) -> None:
        """Tell that a training was paused, with the budget as the ``ledger`` has it."""
        assert record.partial
        self._emit(
            TrialPaused(
                number=record.number,
                key=record.key,
                seed=record.seed,
                placements=str(record.genotype),
                epochs=record.partial.epochs,
                accuracy=record.partial.accuracy,
                seconds=record.partial.seconds,
                finished=ledger.finished,
                name=ledger.name(record.genotype),
            )
        )

    def end(self, record: Record, state: State, reason: str) -> Record:
        """Write that a trial ended without a score; returns its record."""
        self._drop(record.number, state, reason)
        return replace(record, state=state, reason=reason)

    def _drop(self, number: int, state: State, reason: str) -> None:
        self._live.end(number, {"ended": state, "reason": reason}, state=TrialState.FAIL)

    def fail(self, record: Record, ledger: Ledger) -> None:
        """Tell that a training ended without a score, with the budget as the ``ledger`` has it."""
        self._emit(
            TrialFailed(
                number=record.number,
                key=record.key,
                seed=record.seed,
                placements=str(record.genotype),
                reason=record.reason or "",
                counts=record.state == "failed",
                finished=ledger.finished,
                name=ledger.name(record.genotype),
            )
        )

    def confirm(self, found: ConfirmationRound, seconds: float) -> None:
        """Tell that a round of confirmation begins, which is expected to take so many ``seconds``."""
        self._emit(
            ConfirmationStarted(
                round=found.number,
                rounds=found.of,
                seed=found.seed,
                candidates=found.candidates,
                references=found.references,
                trainings=len(found.missing),
                seconds=seconds,
            )
        )

    def stop(self, running: int) -> None:
        """Tell that the user asked to stop while ``running`` trainings go on."""
        self._emit(StopRequested(running=running))
