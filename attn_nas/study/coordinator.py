"""The loop that owns the study: propose, refuse what is known or too expensive, have it trained, tell."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from optuna.study import Study
from optuna.trial import Trial, TrialState

from attn_nas.cost import Cost
from attn_nas.front import Point, front_indices, hypervolume
from attn_nas.space.genotype import Genotype
from attn_nas.study.events import (
    EpochFinished,
    Event,
    FrontPoint,
    StopRequested,
    TrialFailed,
    TrialFinished,
    TrialStarted,
)
from attn_nas.study.executors import Executor
from attn_nas.study.facts import Setting
from attn_nas.study.folder import RunFolder
from attn_nas.study.interrupts import Interrupts
from attn_nas.study.jobs import Failed, Finished, Job, Message, Progress
from attn_nas.study.proposer import Proposer, SamplerFactory
from attn_nas.study.record import Record, State

_MAX_LOSSES = 3


@dataclass
class _Running:
    trial: Trial
    genotype: Genotype
    cost: Cost
    reference: str | None


class Coordinator:
    """One search on one study: the only process that asks and tells.

    The budget counts candidates that were trained, with a score or with a failure; a trial that was interrupted, or whose
    worker died, does not count and is trained again.
    """

    def __init__(
        self,
        setting: Setting,
        folder: RunFolder,
        study: Study,
        sampler: SamplerFactory,
        executor: Executor,
        emit: Callable[[Event], None],
    ) -> None:
        self._study = study
        self._folder = folder
        self._table = setting.table
        self._affordable = setting.affordable
        self._cost_axis = setting.space.objectives.cost
        accuracy, cost = setting.facts["reference_point"]
        self._reference_point: Point = (accuracy, cost)
        self._budget: int = setting.facts["budget"]
        self._seed: int = setting.facts["seed"]
        self._executor = executor
        self._emit = emit
        self._running: dict[int, _Running] = {}
        self._interrupts = Interrupts()
        self._stop_announced = False
        self._scored: dict[str, FrontPoint] = {}
        self.training_seconds = 0.0
        records = self._recover()
        self._counted = {record.key for record in records if record.counts}
        self._losses = Counter(record.key for record in records if record.state == "lost")
        for record in records:
            if record.result:
                self._note_score(record.genotype, record.cost, record.result.accuracy)
        self._reference_names = {genotype.key: name for name, genotype in setting.references.items()}
        interrupted = {record.key: record.genotype for record in records if not record.counts}
        first = {genotype.key: genotype for genotype in setting.affordable_references}
        queue = [genotype for key, genotype in {**interrupted, **first}.items() if key not in self._counted]
        self._proposer = Proposer(setting.encoding, sampler, self._seed, queue)

    @property
    def finished(self) -> int:
        """Units of the budget used up."""
        return len(self._counted)

    @property
    def front(self) -> tuple[FrontPoint, ...]:
        """The non-dominated candidates by rising cost."""
        scored = list(self._scored.values())
        return tuple(scored[index] for index in front_indices([(point.accuracy, point.cost) for point in scored]))

    def _note_score(self, genotype: Genotype, cost: Cost, accuracy: float) -> FrontPoint:
        point = FrontPoint(
            key=genotype.key,
            placements=str(genotype),
            accuracy=accuracy,
            cost=getattr(cost, self._cost_axis),
            added_flops=cost.flops - self._table.bare.flops,
        )
        self._scored[genotype.key] = point
        return point

    def _recover(self) -> list[Record]:
        """Close what a dead coordinator left open; returns the described trials.

        What ran when it died may have killed it, so it is counted as a loss.
        """
        trials = self._study.get_trials(deepcopy=False)
        losses = Counter(record.key for record in map(Record.of, trials) if record and record.state == "lost")
        for trial in trials:
            if trial.state == TrialState.RUNNING:
                record = Record.of(trial)
                again = record is None or losses[record.key] + 1 < _MAX_LOSSES
                storage = self._study._storage
                storage.set_trial_user_attr(trial._trial_id, "ended", "lost" if again else "failed")
                storage.set_trial_user_attr(trial._trial_id, "reason", "the search was killed while it was trained")
                self._study.tell(trial.number, state=TrialState.FAIL)
        for leftover in self._folder.weights.glob("*.unfinished-*"):
            leftover.unlink()
        records = map(Record.of, self._study.get_trials(deepcopy=False))
        return [record for record in records if record is not None]

    def run(self) -> str:
        """Search until the budget is used up, the space is exhausted or the user stops it; returns which of these."""
        exhausted = False
        with self._interrupts.listening():
            try:
                while True:
                    while self._executor.room and self._may_start(exhausted):
                        exhausted = not self._start_next()
                    if not self._running:
                        break
                    self._wait()
            except KeyboardInterrupt:
                for number in list(self._running):
                    self._drop(number, "interrupted", "stopped by the user")
        if self._remaining() <= 0:
            return "budget"
        return "interrupted" if self._interrupts.requested else "exhausted"

    def _wait(self) -> None:
        """Wait for messages; only here, and not while one is handled, may a signal cut in."""
        self._announce_stop()
        with self._interrupts.cutting(allowed=True):
            self._executor.wait(self._handle, timeout=1.0)

    def _announce_stop(self) -> None:
        if self._interrupts.requested and not self._stop_announced:
            self._stop_announced = True
            self._emit(StopRequested(running=len(self._running)))

    def _may_start(self, exhausted: bool) -> bool:
        return not self._interrupts.requested and self._remaining() > 0 and bool(self._proposer.queue or not exhausted)

    def _remaining(self) -> int:
        return self._budget - self.finished - len(self._running)

    def _start_next(self) -> bool:
        """Give the executor one more candidate; False if no admissible one is left."""
        trial, genotype, found = self._proposer.ask(self._study, self._admissible)
        if not found:
            trial.set_user_attr("ended", "duplicate")
            self._study.tell(trial, state=TrialState.FAIL)
            return False
        running = _Running(trial, genotype, self._table.cost(genotype), self._reference_names.get(genotype.key))
        trial.set_user_attr("genotype", genotype.to_dict())
        trial.set_user_attr("cost", running.cost.to_dict())
        if running.reference:
            trial.set_user_attr("reference", running.reference)
        self._running[trial.number] = running
        self._executor.submit(Job(trial.number, genotype, self._seed))
        self._emit(
            TrialStarted(
                number=trial.number,
                key=genotype.key,
                placements=str(genotype),
                reference=running.reference,
                flops=running.cost.flops,
                params=running.cost.params,
            )
        )
        return True

    def _admissible(self, genotype: Genotype) -> bool:
        pending = {running.genotype.key for running in self._running.values()}
        return genotype.key not in self._counted | pending and self._affordable(genotype)

    def _handle(self, message: Message) -> None:
        with self._interrupts.cutting(allowed=False):
            if isinstance(message, Progress):
                self._emit(EpochFinished(number=message.number, epoch=message.epoch, accuracy=message.accuracy))
            elif isinstance(message, Finished):
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
        del self._running[message.number]
        result = trained.result
        running.trial.set_user_attr("result", result.to_dict())
        if trained.profile:
            running.trial.set_user_attr("profile", trained.profile.to_dict())
        self._study.tell(running.trial, [result.accuracy, getattr(running.cost, self._cost_axis)])
        self._counted.add(running.genotype.key)
        point = self._note_score(running.genotype, running.cost, result.accuracy)
        self.training_seconds += result.seconds
        front = self.front
        self._prune_weights(front)
        self._emit(
            TrialFinished(
                number=message.number,
                key=point.key,
                placements=point.placements,
                reference=running.reference,
                accuracy=point.accuracy,
                flops=running.cost.flops,
                added_flops=point.added_flops,
                params=running.cost.params,
                seconds=result.seconds,
                front=front,
                hypervolume=hypervolume([(member.accuracy, member.cost) for member in front], self._reference_point),
                finished=self.finished,
            )
        )

    def _prune_weights(self, front: Sequence[FrontPoint]) -> None:
        """Keep the weights of the references and of every candidate as good as a member of the front."""
        on_front = {(point.accuracy, point.cost) for point in front}
        for path in self._folder.weights.glob("*.safetensors"):
            point = self._scored.get(path.stem)
            if point and (point.accuracy, point.cost) not in on_front and path.stem not in self._reference_names:
                path.unlink(missing_ok=True)

    def _fail(self, message: Failed) -> None:
        genotype = self._running[message.number].genotype
        if not message.lost:
            self._drop(message.number, "failed", message.reason)
            return
        self._losses[genotype.key] += 1
        if self._losses[genotype.key] < _MAX_LOSSES:
            self._drop(message.number, "lost", message.reason)
            self._proposer.queue.insert(0, genotype)
        else:
            self._drop(message.number, "failed", f"{message.reason}, {_MAX_LOSSES} times")

    def _drop(self, number: int, ended: State, reason: str) -> None:
        running = self._running.pop(number)
        running.trial.set_user_attr("ended", ended)
        running.trial.set_user_attr("reason", reason)
        self._study.tell(running.trial, state=TrialState.FAIL)
        if ended == "failed":
            self._counted.add(running.genotype.key)
        self._emit(
            TrialFailed(
                number=number,
                key=running.genotype.key,
                placements=str(running.genotype),
                reason=reason,
                counts=ended == "failed",
                finished=self.finished,
            )
        )
