"""Strategies that play on a table: ours, Optuna's samplers, and any peer that asks and tells."""

from __future__ import annotations

import importlib
import sys
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import optuna
from optuna.distributions import CategoricalDistribution
from optuna.samplers import BaseSampler, GPSampler, NSGAIIISampler, NSGAIISampler, RandomSampler, TPESampler
from optuna.trial import Trial, TrialState

from attn_nas.benchmark.table import Table
from attn_nas.engine.early_stopping import EarlyStopping
from attn_nas.errors import UsageError, choose_from, first_line
from attn_nas.plugins import registry as plugins
from attn_nas.runs.record import Record, State
from attn_nas.sampling import CURVE, Beliefs, KnownCostSampler, Training
from attn_nas.sampling.baselines import at_random, tpe
from attn_nas.sampling.proposer import Proposer, SamplerFactory
from attn_nas.space.genotype import Genotype
from attn_nas.stats.pareto import front_indices
from attn_nas.training import ProxyResult


class Strategy(ABC):
    """One search of a table's space: asked for candidates, told what their training gave, and at any time for its front.

    A subclass says what to `propose` and how to `learn`; several candidates may be out at a time, and one may be out twice. It
    may look at the costs of the table, which a search knows before any training, and at nothing else that it was not told.
    """

    def __init__(self, table: Table) -> None:
        self.table = table
        self.observed: dict[str, tuple[float, float]] = {}
        """Accuracy as it was measured last, and FLOPs, by key."""
        self.running: list[tuple[Genotype, Any]] = []
        """Candidates that are out, each with the token it was proposed with."""

    @abstractmethod
    def propose(self) -> tuple[Genotype, Any] | None:
        """The next candidate, with a token that comes back with its result; None if there is nothing left to try."""

    @abstractmethod
    def learn(self, token: Any, accuracy: float, flops: int) -> None:
        """Take in what the candidate proposed with ``token`` has reached."""

    def next_rung(self, epochs: int, last: int) -> int:
        """The epoch to which a training goes on after so many ``epochs``: by default the ``last``."""
        return last

    def goes_on(self, genotype: Genotype, partial: ProxyResult) -> bool:
        """Whether a candidate that has reached a rung is trained further now."""
        return True

    def pause(self, genotype: Genotype, partial: ProxyResult) -> None:
        """What a candidate had reached when it was stopped."""
        self._ended(genotype)

    def front(self) -> Collection[str]:
        """Keys of the networks that it would report now: by default the non-dominated of what was measured."""
        keys = list(self.observed)
        return [keys[index] for index in front_indices([*self.observed.values()])]

    def ask(self) -> Genotype | None:
        """The next candidate; None if there is nothing left to try."""
        proposed = self.propose()
        if proposed is None:
            return None
        self.running.append(proposed)
        return proposed[0]

    def tell(self, genotype: Genotype, result: ProxyResult) -> None:
        """What came of a candidate that was asked for."""
        token = self._ended(genotype)
        flops = self.table.cost(genotype).flops
        self.observed[genotype.key] = result.accuracy, flops
        self.learn(token, result.accuracy, flops)

    def _ended(self, genotype: Genotype) -> Any:
        """Take a candidate from those that are out; its token."""
        index = next(index for index, (asked, _) in enumerate(self.running) if asked == genotype)
        return self.running.pop(index)[1]


StrategyFactory = Callable[[Table, int], Strategy]
"""Makes a strategy for the space of a table, with a seed of its own. It can be pickled."""


class SearchStrategy(Strategy):
    """As `attn_nas.search` proposes without limits: the references first, then by its sampler, nothing twice.

    The front is what the model of accuracies believes in, or with ``believed`` off the non-dominated of what was measured.
    """

    def __init__(self, table: Table, seed: int, sampler: SamplerFactory = KnownCostSampler, *, believed: bool = True) -> None:
        super().__init__(table)
        self._study = _study(RandomSampler(seed))
        self._believed = believed
        self._queue = [*table.references.values()]
        self.paused: set[str] = set()
        """Keys of the candidates that were stopped."""
        self._proposer = Proposer(table.encoding, sampler(table.header.space, table.costs, seed), seed)

    def propose(self) -> tuple[Genotype, Trial] | None:
        """See `Strategy.propose`."""
        if self._queue:
            reference = self._queue.pop(0)
            return reference, self._proposer.given(self._study, reference)
        taken = self.observed.keys() | self.paused | {genotype.key for genotype, _ in self.running}
        trial, genotype, found = self._proposer.ask(self._study, lambda one: one.key not in taken)
        return (genotype, trial) if found else None

    def learn(self, token: Trial, accuracy: float, flops: int) -> None:
        """See `Strategy.learn`."""
        self._study.tell(token, [accuracy, flops])

    def front(self) -> Collection[str]:
        """See `Strategy.front`."""
        trainings = [Training(self.table.genotypes[key], 0, accuracy) for key, (accuracy, _) in self.observed.items()]
        costs = {key: (flops,) for key, (_, flops) in self.observed.items()}
        beliefs = Beliefs.of(trainings, costs) if self._believed else None
        return beliefs.front if beliefs else super().front()


class EarlyStoppingStrategy(SearchStrategy):
    """The same with early stopping, see `EarlyStopping`."""

    def __init__(self, table: Table, seed: int) -> None:
        super().__init__(table, seed)
        self._stopping = EarlyStopping.of(table.header.space.proxy, ("flops",))
        self._names = {genotype.key: name for name, genotype in table.references.items()}
        self._records: list[Record] = []

    def propose(self) -> tuple[Genotype, Trial] | None:
        """See `Strategy.propose`; what was paused too early comes before what is new."""
        promoted = None if self._queue else self._stopping.promoted([*self._records, *self._out()])
        if promoted:
            return promoted.genotype, self._proposer.given(self._study, promoted.genotype)
        return super().propose()

    def _out(self) -> list[Record]:
        return [self._record(genotype, "running") for genotype, _ in self.running]

    def next_rung(self, epochs: int, last: int) -> int:
        """See `Strategy.next_rung`."""
        return self._stopping.next_rung(epochs) - self._stopping.first + 1

    def goes_on(self, genotype: Genotype, partial: ProxyResult) -> bool:
        """See `Strategy.goes_on`; references are never stopped."""
        return genotype.key in self._names or self._stopping.goes_on(
            self._record(genotype, "running", partial=partial), self._records
        )

    def pause(self, genotype: Genotype, partial: ProxyResult) -> None:
        """See `Strategy.pause`."""
        trial = self._ended(genotype)
        trial.set_user_attr(CURVE, list(partial.curve))
        self._study.tell(trial, state=TrialState.PRUNED)
        self.paused.add(genotype.key)
        self._records.append(self._record(genotype, "paused", partial=partial))

    def tell(self, genotype: Genotype, result: ProxyResult) -> None:
        """See `Strategy.tell`."""
        token = next(token for asked, token in self.running if asked == genotype)
        token.set_user_attr(CURVE, list(result.curve))
        super().tell(genotype, result)
        self._records.append(self._record(genotype, "finished", result=result))

    def _record(
        self, genotype: Genotype, state: State, result: ProxyResult | None = None, partial: ProxyResult | None = None
    ) -> Record:
        cost, name = self.table.cost(genotype), self._names.get(genotype.key)
        return Record(0, state, genotype, 0, cost, name, result, None, None, partial)


class Sampled(Strategy):
    """An Optuna sampler as its documentation teaches: a study of two objectives, asked and told. It may repeat itself."""

    def __init__(self, table: Table, sampler: BaseSampler) -> None:
        super().__init__(table)
        self._study = _study(sampler)
        self._space = {name: CategoricalDistribution(values) for name, values in table.encoding.choices.items()}

    def propose(self) -> tuple[Genotype, Trial]:
        """See `Strategy.propose`."""
        trial = self._study.ask(dict(self._space))
        return self.table.encoding.decode(trial.params), trial

    def learn(self, token: Trial, accuracy: float, flops: int) -> None:
        """See `Strategy.learn`."""
        self._study.tell(token, [accuracy, flops])


class Peer(Protocol):
    """A search outside Optuna, made from ``(choices, seed)``: the values that each categorical parameter may take, by name.

    Parameters that a mechanism does not have are dropped, so several sets of them are one network.
    """

    def ask(self) -> Mapping[str, Any]:
        """A value for every parameter."""
        ...

    def tell(self, params: Mapping[str, Any], accuracy: float, flops: int) -> None:
        """What came of ``params`` that were asked for: accuracy is to be maximised, FLOPs to be minimised."""
        ...


class Adapted(Strategy):
    """A `Peer` as a strategy."""

    def __init__(self, table: Table, peer: Peer) -> None:
        super().__init__(table)
        self._peer = peer

    def propose(self) -> tuple[Genotype, Mapping[str, Any]]:
        """See `Strategy.propose`."""
        params = self._peer.ask()
        plain: dict[str, str | int] = {}
        for name, values in self.table.encoding.choices.items():
            if params.get(name) not in values:
                raise UsageError(f"the peer chose {name} = {params.get(name)!r}: {choose_from(params.get(name), values)}")
            plain[name] = values[values.index(params[name])]  # a peer may draw numbers of another type
        return self.table.encoding.decode(plain), params

    def learn(self, token: Mapping[str, Any], accuracy: float, flops: int) -> None:
        """See `Strategy.learn`."""
        self._peer.tell(token, accuracy, flops)


def _study(sampler: BaseSampler) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)


def _quietly(make: Callable[[], BaseSampler]) -> BaseSampler:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return make()


_SAMPLERS: dict[str, Callable[[int], BaseSampler]] = {
    "random": RandomSampler,
    "tpe": lambda seed: TPESampler(seed=seed, multivariate=True),
    "tpe-independent": lambda seed: TPESampler(seed=seed),
    "nsga2": lambda seed: NSGAIISampler(seed=seed),
    "nsga2-10": lambda seed: NSGAIISampler(seed=seed, population_size=10),
    "nsga3": lambda seed: NSGAIIISampler(seed=seed),
    "gp": lambda seed: GPSampler(seed=seed),
}
_OURS: dict[str, Callable[[Table, int], SearchStrategy]] = {
    "attn-nas": SearchStrategy,
    "attn-nas-stopping": EarlyStoppingStrategy,
    "attn-nas-measured": partial(SearchStrategy, believed=False),
    "tpe-distinct": partial(SearchStrategy, sampler=tpe, believed=False),
    "random-distinct": partial(SearchStrategy, sampler=at_random, believed=False),
}
"""What proposes after the references, and nothing twice: the difference between the last three is the sampler's alone."""
STRATEGIES = (*_OURS, *_SAMPLERS)
"""The strategies that have a name."""


@dataclass(frozen=True)
class Named:
    """The strategy of a name, or of a class given as ``FILE.py:CLASS`` or ``MODULE:CLASS``.

    A class may be a `Strategy`, made from ``(table, seed)``; an Optuna sampler, made from ``seed=``; or a `Peer`, made from
    ``(choices, seed)``.
    """

    name: str

    def __call__(self, table: Table, seed: int) -> Strategy:
        """The strategy; raises UsageError."""
        if self.name in _OURS:
            return _OURS[self.name](table, seed)
        if self.name in _SAMPLERS:
            return Sampled(table, _quietly(lambda: _SAMPLERS[self.name](seed)))
        kind = self._class()
        try:
            made = self._made(kind, table, seed)
        except Exception as error:
            raise UsageError(f"{self.name} cannot be made: {first_line(error)}") from error
        if made is None:
            raise UsageError(f"{self.name} is neither a strategy, nor an Optuna sampler, nor a class with ask and tell")
        return made

    def _made(self, kind: type[Any], table: Table, seed: int) -> Strategy | None:
        make: Callable[..., Any] = kind
        if issubclass(kind, Strategy):
            made: Strategy = make(table, seed)
            return made
        if issubclass(kind, BaseSampler):
            return Sampled(table, _quietly(lambda: make(seed=seed)))
        if callable(getattr(kind, "ask", None)) and callable(getattr(kind, "tell", None)):
            return Adapted(table, make(dict(table.encoding.choices), seed))
        return None

    def _class(self) -> type[Any]:
        source, _, name = self.name.rpartition(":")
        if not source:
            raise UsageError(f"unknown strategy {self.name!r}: {choose_from(self.name, STRATEGIES)}, or FILE.py:CLASS")
        try:
            found = getattr(_module(source), name)
        except Exception as error:
            raise UsageError(f"{self.name} cannot be loaded: {first_line(error)}") from error
        if not isinstance(found, type):
            raise UsageError(f"{self.name} is not a class")
        return found


def _module(source: str) -> Any:
    if not source.endswith(".py"):
        return importlib.import_module(source)
    plugins.load_file(source, named=True)
    return sys.modules[plugins.active_file(source).module_name]
