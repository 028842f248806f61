"""The loop that owns the study: propose, refuse what is known or too expensive, have it trained, tell."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from math import inf, isnan
from statistics import fmean

from optuna.study import Study
from optuna.trial import Trial, TrialState

from attn_nas.cost import Cost
from attn_nas.engine.confirmation import Confirmation
from attn_nas.engine.early_stopping import Stopping
from attn_nas.engine.lookahead import Foresight
from attn_nas.engine.setting import Setting
from attn_nas.engine.signals import Interrupts
from attn_nas.engine.time_budget import Clock
from attn_nas.engine.weight_retention import KeptWeights
from attn_nas.errors import RunError, StudyError, first_line
from attn_nas.events.types import (
    ConfirmationStarted,
    EpochFinished,
    Event,
    FrontPoint,
    StopRequested,
    TrialFailed,
    TrialFinished,
    TrialPaused,
    TrialStarted,
)
from attn_nas.execution.jobs import Failed, Finished, Job, Message, Progress
from attn_nas.execution.local import Executor
from attn_nas.files import discard_unfinished
from attn_nas.runs.beliefs import costs_of
from attn_nas.runs.folder import RunFolder
from attn_nas.runs.record import Record, State
from attn_nas.sampling import CURVE, SEED
from attn_nas.sampling.proposer import Proposer, SamplerFactory
from attn_nas.space.genotype import Genotype
from attn_nas.stats.pareto import Point, front_indices, hypervolume
from attn_nas.storage.batching import batched
from attn_nas.storage.optuna_db import DATABASE_ERRORS
from attn_nas.training.pauses import Pause
from attn_nas.training.protocol import Replicate, Trained

_MAX_LOSSES = 3
_LONGEST_WAIT = 1.0
"""Seconds after which time and signals are looked at, if no message comes."""
_CONFIRMED_PER_POINT = 2
"""Candidates to be confirmed for each member of the front, as it is foreseen while the search goes on."""


@dataclass
class _Running:
    trial: Trial
    replicate: Replicate
    cost: Cost
    reference: str | None
    until: int | None
    began: float = inf
    """Monotonic moment when the executor got it; infinite while it waits for a worker that will be free."""

    @property
    def genotype(self) -> Genotype:
        return self.replicate.genotype


class Coordinator:
    """One search on one study: the only process that asks and tells.

    The budget counts candidates that were trained, with a score or with a failure; a trial that was interrupted, or whose
    worker died, does not count and is trained again. When it is used up, or there would be no time left for more, the front is
    confirmed: see `Confirmation`.
    """

    def __init__(
        self,
        setting: Setting,
        clock: Clock,
        folder: RunFolder,
        study: Study,
        sampler: SamplerFactory,
        executor: Executor,
        interrupts: Interrupts,
        emit: Callable[[Event], None],
    ) -> None:
        self._study = study
        self._folder = folder
        self._table = setting.table
        self._affordable = setting.affordable
        self._axes = setting.space.objectives.costs
        self._reference_point: Point = setting.manifest.reference_point
        self._budget: int | None = setting.manifest.budget
        self._clock = clock
        self._seed: int = setting.manifest.seed
        self._executor = executor
        self._emit = emit
        self._running: dict[int, _Running] = {}
        self._interrupts = interrupts
        self._stop_announced = False
        self._foresight = Foresight()
        self._trainings: defaultdict[str, list[Record]] = defaultdict(list)
        self._scored: dict[str, FrontPoint] = {}
        self._front: tuple[FrontPoint, ...] | None = None
        self.training_seconds = 0.0
        self._weights = KeptWeights(folder.weights, self._axes)
        records = self._recover()
        self._counted = {record.key for record in records if record.counts and record.seed == self._seed}
        self._losses = Counter(Replicate(record.genotype, record.seed) for record in records if record.state == "lost")
        for record in records:
            if record.result:
                self._note_score(record)
        self._reference_names = {genotype.key: name for name, genotype in setting.references.items()}
        begun = [record.genotype for record in records if not record.counts and record.seed == self._seed]
        wanted = dict.fromkeys((*begun, *setting.affordable_references))
        self._queue = [Replicate(genotype, self._seed) for genotype in wanted if genotype.key not in self._counted]
        self._exhausted = False
        self._stopping = Stopping.of(setting.space.proxy, self._axes) if setting.manifest.early_stopping else None
        self._going_on: list[int] = []
        self._proposer = Proposer(setting.encoding, sampler(setting.space, setting.table, self._seed), self._seed)
        self._confirmation = Confirmation(self._seed, setting.manifest.confirm, self._reference_names.keys(), self._axes)

    @property
    def finished(self) -> int:
        """Units of the budget used up."""
        return len(self._counted)

    @property
    def confirmed(self) -> int:
        """Candidates trained with more than one seed."""
        return sum(len(trainings) > 1 for trainings in self._trainings.values())

    @property
    def front(self) -> tuple[FrontPoint, ...]:
        """The non-dominated candidates by rising cost, as they were measured."""
        if self._front is None:
            scored = list(self._scored.values())
            self._front = tuple(scored[index] for index in front_indices([point.place for point in scored]))
        return self._front

    def _note_score(self, record: Record) -> FrontPoint:
        """Count a training among its candidate's, whose point has their means."""
        trainings = self._trainings[record.key]
        trainings.append(record)
        point = FrontPoint(
            key=record.key,
            placements=str(record.genotype),
            accuracy=fmean(each.result.accuracy for each in trainings if each.result),
            costs=costs_of(trainings, self._axes)[record.key],
            added_flops=record.cost.flops - self._table.bare.flops,
        )
        self._scored[record.key] = point
        self._front = None
        return point

    def _recover(self) -> list[Record]:
        """Close what a dead coordinator left open; returns the described trials."""
        self._close_left_open()
        discard_unfinished(self._folder.weights)
        return self._records

    def _close_left_open(self) -> None:
        """End trials that run in the study, but not here: a coordinator has died, or lost the answer of its storage.

        What ran when it died, or was to run next, may have killed it, so it is counted as a loss.
        """
        losses = Counter((record.key, record.seed) for record in self._records if record.state == "lost")
        for trial in self._study.get_trials(deepcopy=False):
            if trial.state == TrialState.RUNNING:
                record = Record.of(trial)
                again = record is None or losses[record.key, record.seed] + 1 < _MAX_LOSSES
                storage = self._study._storage
                storage.set_trial_user_attr(trial._trial_id, "ended", "lost" if again else "failed")
                storage.set_trial_user_attr(trial._trial_id, "reason", "the search was killed before it was trained")
                self._study.tell(trial.number, state=TrialState.FAIL)

    @property
    def _records(self) -> list[Record]:
        """The described trials of the study."""
        records = map(Record.of, self._study.get_trials(deepcopy=False))
        return [record for record in records if record is not None]

    def run(self) -> str:
        """Search until the budget is used up or the space is exhausted, then confirm the front, unless the user stops it.

        Returns which of these ended it.
        """
        cut = False
        with self._interrupts.listening():
            try:
                while True:
                    while self._executor.room and self._start_next():
                        pass
                    pause = self._ask_ahead()
                    if self._running:
                        self._wait(pause)
                    elif self._interrupts.requested or not self._next_round():
                        break
            except KeyboardInterrupt:
                cut = bool(self._running)
                for number in list(self._running):
                    self._drop(number, "interrupted", "stopped by the user")
            except (*DATABASE_ERRORS, StudyError):
                raise
            except BaseException as error:
                self._put_back(f"the search has failed: {first_line(error)}")
                raise
        self._close_left_open()
        why = self._why(cut)
        self._prune_weights(last=why in ("budget", "exhausted"))
        return why

    def _why(self, cut: bool) -> str:
        """What has ended the search; ``cut`` says that it was stopped while something ran."""
        unconfirmed = self._confirmation.next_round(self._records) is not None
        if self._interrupts.requested and (cut or unconfirmed or (self._open and not self._exhausted)):
            return "interrupted"
        if unconfirmed or not (self._exhausted or self._remaining <= 0):
            return "time"
        return "budget" if self._remaining <= 0 else "exhausted"

    def _wait(self, timeout: float) -> None:
        """Wait for messages; only here, and not while one is handled, may a signal cut in."""
        self._announce_stop()
        with self._interrupts.cutting(allowed=True):
            self._executor.wait(self._handle, timeout)

    def _announce_stop(self) -> None:
        if self._interrupts.requested and not self._stop_announced:
            self._stop_announced = True
            self._emit(StopRequested(running=len(self._running) - len(self._ready)))

    @property
    def _remaining(self) -> float:
        """How many more candidates may be begun, if there is time."""
        running = sum(running.replicate.seed == self._seed for running in self._running.values())
        return float("inf") if self._budget is None else self._budget - self.finished - running

    @property
    def _open(self) -> bool:
        """Whether more candidates may be begun."""
        if self._remaining <= 0 or (self._budget is None and self._clock.seconds is None):
            return False
        typical = self._typical_seconds
        again = self._confirmation.rounds * (len(self._reference_names) + _CONFIRMED_PER_POINT * len(self.front))
        return self._clock.allows(typical, typical * again / self._executor.workers)

    @property
    def _time_for_another(self) -> bool:
        return self._clock.allows(self._typical_seconds, 0.0)

    @property
    def _typical_seconds(self) -> float:
        """Of a training so far; 0 before the first."""
        took = [each.result.seconds for trainings in self._trainings.values() for each in trainings if each.result]
        return fmean(took) if took else 0.0

    def _next_round(self) -> bool:
        """Queue the next round of confirmation; whether there is one, and time for it."""
        records = self._records
        found = self._confirmation.next_round(records)
        if found is None or not self._time_for_another:
            return False
        self._queue = [*found.missing]
        first = {record.key: record.result for record in reversed(records) if record.result}
        results = [first[replicate.genotype.key] for replicate in found.missing]
        self._emit(
            ConfirmationStarted(
                round=found.number,
                rounds=found.of,
                seed=found.seed,
                candidates=found.candidates,
                references=found.references,
                trainings=len(found.missing),
                seconds=sum(result.seconds for result in results) / self._executor.workers,
            )
        )
        return True

    def _go_on(self) -> bool:
        """Give the executor the rest of a training that has passed a rung, if there is any."""
        if not self._going_on:
            return False
        number = self._going_on.pop(0)
        self._submit(self._running[number])
        return True

    def _next_replicate(self) -> tuple[Trial, Replicate | None, int] | None:
        """What is queued, then what was paused too early, then what the proposer finds; None if nothing is to be begun.

        With the epochs that it was trained for already; a trial for nothing if the space is exhausted.
        """
        if self._interrupts.requested:
            return None
        if self._queue and (self._open if self._queue[0].seed == self._seed else self._time_for_another):
            replicate = self._queue.pop(0)
            return self._proposer.given(self._study, replicate.genotype), replicate, 0
        promoted = self._stopping.promoted(self._records) if self._stopping and self._time_for_another else None
        if promoted and promoted.partial:
            replicate = Replicate(promoted.genotype, promoted.seed)
            return self._proposer.given(self._study, promoted.genotype), replicate, promoted.partial.epochs
        if self._exhausted or not self._open:
            return None
        trial, genotype, found = self._proposer.ask(self._study, self._admissible)
        return trial, Replicate(genotype, self._seed) if found else None, 0

    def _start_next(self) -> bool:
        """Give the executor one more training, if there is any."""
        if self._go_on():
            return True
        ready = self._ready
        if ready and (self._interrupts.requested or not self._time_for_another):
            for each in ready:
                self._drop(each.trial.number, "interrupted", "the search ended before it was trained")
            self._exhausted = False
            return False
        running = ready[0] if ready else self._ask()
        if running is None:
            return False
        genotype, seed = running.genotype, running.replicate.seed
        self._submit(running)
        self._emit(
            TrialStarted(
                number=running.trial.number,
                key=genotype.key,
                seed=seed,
                placements=str(genotype),
                reference=running.reference,
                flops=running.cost.flops,
                params=running.cost.params,
            )
        )
        return True

    def _submit(self, running: _Running) -> None:
        running.began = time.monotonic()
        self._executor.submit(Job(running.trial.number, running.genotype, running.replicate.seed, running.until))

    @property
    def _ready(self) -> list[_Running]:
        """What was asked ahead, and waits for a worker."""
        return [running for running in self._running.values() if running.began == inf]

    def _ask_ahead(self) -> float:
        """Ask for what a worker will take when it is free, if it is time for that; returns how long to wait for messages."""
        began = [running.began for running in self._running.values() if running.began < inf]
        ready = len(self._running) - len(began)
        spare = self._foresight.spare(began, ready) if ready < self._executor.workers // 2 else inf
        if spare <= 0 and self._ask():
            return 0.0
        return min(spare, _LONGEST_WAIT) if spare > 0 else _LONGEST_WAIT

    def _ask(self) -> _Running | None:
        """The next training, written down in the study; None if nothing is to be begun."""
        with self._foresight.proposing(), batched(self._study):
            found = self._next_replicate()
            running = self._described(*found) if found else None
        if running:
            self._running[running.trial.number] = running
        elif found:
            self._study.tell(found[0], state=TrialState.FAIL)
            self._exhausted = True
        return running

    def _described(self, trial: Trial, replicate: Replicate | None, reached: int) -> _Running | None:
        """The training that a trial is for, which is written down; None if it is for nothing."""
        if replicate is None:
            trial.set_user_attr("ended", "duplicate")
            return None
        genotype = replicate.genotype
        reference = self._reference_names.get(genotype.key)
        stopping = self._stopping if replicate.seed == self._seed and not reference else None
        until = stopping.next_rung(reached) if stopping else None
        running = _Running(trial, replicate, self._table.cost(genotype), reference, until)
        trial.set_user_attr(SEED, replicate.seed)
        trial.set_user_attr("cost", running.cost.to_dict())
        if running.reference:
            trial.set_user_attr("reference", running.reference)
        trial.set_user_attr("genotype", genotype.to_dict())
        return running

    def _admissible(self, genotype: Genotype) -> bool:
        pending = {running.genotype.key for running in self._running.values()}
        return genotype.key not in self._counted | pending and self._affordable(genotype)

    def _handle(self, message: Message) -> None:
        with self._interrupts.cutting(allowed=False):
            if isinstance(message, Progress):
                self._emit(EpochFinished(number=message.number, epoch=message.epoch, accuracy=message.accuracy))
            elif isinstance(message, Finished):
                with self._foresight.told(self._running[message.number].began):
                    self._finish(message)
            elif isinstance(message, Failed):
                self._fail(message)
            self._announce_stop()
        self._interrupts.heed()

    def _finish(self, message: Finished) -> None:
        running = self._running[message.number]
        trained = message.trained
        if trained.cost != running.cost:
            self._drop(message.number, "failed", f"cost table {running.cost} and full count {trained.cost} disagree")
            return
        record = self._record(message.number, running, trained)
        costs = record.costs(self._axes)
        if any(map(isnan, costs)):
            self._drop(message.number, "failed", f"it was not timed, and {' and '.join(self._axes)} are to be minimised")
            return
        if record.partial and self._stopping:
            if self._stopping.goes_on(record, self._records):
                running.until = self._stopping.next_rung(record.partial.epochs)
                self._going_on.append(message.number)
            else:
                self._pause(message.number, record, trained)
            return
        result = trained.result
        del self._running[message.number]
        Pause(self._folder.pauses, running.replicate).drop()
        self._describe(running.trial, trained)
        self._study.tell(running.trial, [result.accuracy, *costs])
        self._count(running.replicate)
        point = self._note_score(record)
        self.training_seconds += result.seconds
        front = self.front
        if self._weights.many:
            self._prune_weights()
        self._emit(
            TrialFinished(
                number=message.number,
                key=point.key,
                seed=running.replicate.seed,
                placements=point.placements,
                reference=running.reference,
                accuracy=result.accuracy,
                flops=running.cost.flops,
                added_flops=point.added_flops,
                params=running.cost.params,
                seconds=result.seconds,
                front=front,
                hypervolume=hypervolume([member.place for member in front], self._reference_point),
                finished=self.finished,
            )
        )

    def _record(self, number: int, running: _Running, trained: Trained) -> Record:
        """The record of what was trained: whole, or so far."""
        partial = bool(self._stopping and running.until and running.until < self._stopping.last)
        return Record(
            number,
            "running" if partial else "finished",
            running.genotype,
            running.replicate.seed,
            running.cost,
            running.reference,
            None if partial else trained.result,
            None,
            trained.profile,
            trained.result if partial else None,
        )

    def _describe(self, trial: Trial, trained: Trained) -> None:
        with batched(self._study):
            trial.set_user_attr("result", trained.result.to_dict())
            trial.set_user_attr(CURVE, list(trained.result.curve))
            if trained.profile:
                trial.set_user_attr("profile", trained.profile.to_dict())

    def _pause(self, number: int, record: Record, trained: Trained) -> None:
        """End the trial of what is paused: the candidate counts, and may go on in another."""
        running = self._running.pop(number)
        self._describe(running.trial, trained)
        self._study.tell(running.trial, state=TrialState.PRUNED)
        self._count(running.replicate)
        result = trained.result
        self._emit(
            TrialPaused(
                number=number,
                key=record.key,
                seed=record.seed,
                placements=str(record.genotype),
                epochs=result.epochs,
                accuracy=result.accuracy,
                seconds=result.seconds,
                finished=self.finished,
            )
        )

    def _count(self, replicate: Replicate) -> None:
        if replicate.seed == self._seed:
            self._counted.add(replicate.genotype.key)

    def _prune_weights(self, *, last: bool = False) -> None:
        """Keep the weights of references, of the front as measured and as believed, of what was confirmed or is training."""
        confirmed = (key for key, trainings in self._trainings.items() if len(trainings) > 1)
        running = (running.genotype.key for running in self._running.values())
        measured = (point.key for point in self.front)
        self._weights.prune(self._records, {*self._reference_names, *measured, *confirmed, *running}, last=last)

    def _fail(self, message: Failed) -> None:
        replicate = self._running[message.number].replicate
        if message.unwritable:
            raise RunError(f"{message.reason}. What was finished is kept: make room, then go on with --resume")
        if not message.lost:
            self._drop(message.number, "failed", message.reason)
            return
        if message.blameless:
            self._drop(message.number, "interrupted", message.reason)
            self._queue.insert(0, replicate)
            return
        self._losses[replicate] += 1
        if self._losses[replicate] < _MAX_LOSSES:
            self._drop(message.number, "lost", message.reason)
            self._queue.insert(0, replicate)
        else:
            self._drop(message.number, "failed", f"{message.reason}, {_MAX_LOSSES} times")

    def _put_back(self, reason: str) -> None:
        """Have what runs trained again without blame, as far as that can be written and told."""
        for number in list(self._running):
            with suppress(Exception):
                self._drop(number, "interrupted", reason)

    def _drop(self, number: int, ended: State, reason: str) -> None:
        running = self._running.pop(number)
        with batched(self._study):
            running.trial.set_user_attr("ended", ended)
            running.trial.set_user_attr("reason", reason)
        self._study.tell(running.trial, state=TrialState.FAIL)
        if ended == "failed":
            self._count(running.replicate)
        if running.began == inf:
            return
        self._emit(
            TrialFailed(
                number=number,
                key=running.genotype.key,
                seed=running.replicate.seed,
                placements=str(running.genotype),
                reason=reason,
                counts=ended == "failed",
                finished=self.finished,
            )
        )
