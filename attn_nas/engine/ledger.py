"""The state of a search in memory: its records, the measured front, losses and the budget. It reads and writes nothing."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from math import inf
from statistics import fmean

from attn_nas.events.types import FrontPoint
from attn_nas.runs.beliefs import costs_of, reference_point_of
from attn_nas.runs.record import Record
from attn_nas.space.genotype import Genotype
from attn_nas.space.naming import Names
from attn_nas.stats.pareto import front_indices, hypervolume
from attn_nas.training.protocol import Replicate


class Ledger:
    """The records of a search with ``seed``, by the trials' numbers, and the sums that follow from them.

    The ``budget`` counts candidates that were trained with the search's seed: with a score, with a failure, or up to a pause. A
    training that was interrupted, or whose worker died, does not count. Without a budget there is no limit by number. ``axes``
    are the costs to be minimised, ``bare_flops`` the FLOPs of the bare trunk, and ``reference_point`` the worst score and
    costs, from which the hypervolume is measured (see `reference_point_of`).
    """

    def __init__(
        self,
        records: Iterable[Record],
        *,
        seed: int,
        budget: int | None,
        axes: Sequence[str],
        bare_flops: int,
        reference_point: Sequence[float | None],
    ) -> None:
        self.seed = seed
        self.budget = budget
        self.axes = tuple(axes)
        self._bare_flops = bare_flops
        self._reference_point = reference_point
        self._names = Names()
        self._records: dict[int, Record] = {}
        self._running: dict[int, Record] = {}
        self._counted: set[str] = set()
        self._trainings: defaultdict[str, list[Record]] = defaultdict(list)
        self._scored: dict[str, FrontPoint] = {}
        self._front: tuple[FrontPoint, ...] | None = None
        for record in records:
            self.put(record)

    def put(self, record: Record) -> None:
        """Add the record of a trial that has begun, or replace it by what the trial has become."""
        self._records[record.number] = record
        self.name(record.genotype)
        if record.state == "running":
            self._running[record.number] = record
            return
        self._running.pop(record.number, None)
        if record.counts and record.seed == self.seed:
            self._counted.add(record.key)
        if record.result:
            self._score(record)

    def _score(self, record: Record) -> None:
        """Add a training to those of its candidate, whose point has the means of all its seeds."""
        trainings = self._trainings[record.key]
        trainings.append(record)
        self._scored[record.key] = FrontPoint(
            key=record.key,
            placements=str(record.genotype),
            accuracy=fmean(each.result.accuracy for each in trainings if each.result),
            costs=costs_of(trainings, self.axes)[record.key],
            added_flops=record.cost.flops - self._bare_flops,
            name=self.name(record.genotype),
        )
        self._front = None

    def name(self, genotype: Genotype) -> str:
        """The name of a network, different from those of all networks before it."""
        return self._names.of(genotype)

    @property
    def records(self) -> list[Record]:
        """All records, in the order in which their trials began."""
        return [*self._records.values()]

    @property
    def running(self) -> list[Record]:
        """The records of trials that have not ended, in the order in which they began."""
        return [*self._running.values()]

    @property
    def finished(self) -> int:
        """Candidates of the budget that are used up."""
        return len(self._counted)

    @property
    def remaining(self) -> float:
        """Candidates that may still begin; infinite without a budget."""
        running = sum(record.seed == self.seed for record in self._running.values())
        return inf if self.budget is None else self.budget - self.finished - running

    @property
    def confirmed(self) -> list[str]:
        """Keys of the candidates that were trained with more than one seed."""
        return [key for key, trainings in self._trainings.items() if len(trainings) > 1]

    @property
    def front(self) -> tuple[FrontPoint, ...]:
        """The non-dominated candidates by rising cost, as measured: means over the seeds of each."""
        if self._front is None:
            scored = [*self._scored.values()]
            self._front = tuple(scored[index] for index in front_indices([point.place for point in scored]))
        return self._front

    @property
    def hypervolume(self) -> float:
        """Volume between the measured front and the reference point, in accuracy x costs."""
        worst = reference_point_of(self._reference_point, self._records.values(), self.seed)
        return hypervolume([point.place for point in self.front], worst)

    @property
    def losses(self) -> Counter[Replicate]:
        """How often each training took its worker down."""
        return Counter(Replicate(each.genotype, each.seed) for each in self._records.values() if each.state == "lost")

    @property
    def typical_seconds(self) -> float:
        """Mean duration of a training in seconds; 0 before the first."""
        took = [each.result.seconds for trainings in self._trainings.values() for each in trainings if each.result]
        return fmean(took) if took else 0.0

    def first_seconds(self, key: str) -> float:
        """Duration of the first training of the scored candidate ``key``, in seconds."""
        return next(each.result.seconds for each in self._trainings[key] if each.result)

    def point(self, key: str) -> FrontPoint:
        """The measured point of the scored candidate ``key``."""
        return self._scored[key]

    def counts(self, key: str) -> bool:
        """Whether the candidate ``key`` has used up a unit of the budget."""
        return key in self._counted

    def is_new(self, key: str) -> bool:
        """Whether the candidate ``key`` has neither counted nor runs."""
        return key not in self._counted and all(record.key != key for record in self._running.values())
