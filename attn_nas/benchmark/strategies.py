"""Search strategies to be compared: those of attn-nas, Optuna's samplers, and other optimisers with ask and tell."""

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

from attn_nas.benchmark.problem import Problem
from attn_nas.engine.early_stopping import EarlyStopping
from attn_nas.errors import UsageError, choose_from, first_line
from attn_nas.plugins import registry as plugins
from attn_nas.runs.record import Record, State
from attn_nas.sampling import CURVE, Beliefs, KnownCostSampler, Training
from attn_nas.sampling.baselines import at_random, tpe
from attn_nas.sampling.beliefs import FEWER
from attn_nas.sampling.proposer import Proposer, SamplerFactory
from attn_nas.space.genotype import Genotype
from attn_nas.stats.pareto import front_indices
from attn_nas.training import ProxyResult


class Strategy(ABC):
    """One search of the space of ``problem``: proposes candidates, receives their results, and reports its front.

    Subclasses implement `propose` and `learn`. Several candidates can run at the same time, and one candidate can run twice.
    A strategy may read the costs of the problem, which a search knows before training, but no accuracies except those that
    it receives.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.observed: dict[str, tuple[float, float]] = {}
        """Last measured accuracy, and FLOPs, by key."""
        self.genotypes: dict[str, Genotype] = {}
        """The networks that were measured, by key."""
        self.running: list[tuple[Genotype, Any]] = []
        """Running candidates with the tokens of their proposals."""

    @abstractmethod
    def propose(self) -> tuple[Genotype, Any] | None:
        """The next candidate, and a token that is passed to `learn` with its result; None if there is none."""

    @abstractmethod
    def learn(self, token: Any, accuracy: float, flops: int) -> None:
        """Receive the result of the candidate that was proposed with ``token``."""

    def next_rung(self, epochs: int, last: int) -> int:
        """The next epoch at which a training may be paused, after ``epochs`` epochs; by default the ``last``."""
        return last

    def goes_on(self, genotype: Genotype, partial: ProxyResult) -> bool:
        """True if a candidate that has reached a rung continues now."""
        return True

    def pause(self, genotype: Genotype, partial: ProxyResult) -> None:
        """Receive the partial result of a candidate that was paused."""
        self._ended(genotype)

    def front(self) -> Collection[str]:
        """Keys of the current front; by default the Pareto front of measured accuracies."""
        keys = list(self.observed)
        return [keys[index] for index in front_indices([*self.observed.values()])]

    def ask(self) -> Genotype | None:
        """The next candidate; None if there is none."""
        proposed = self.propose()
        if proposed is None:
            return None
        self.running.append(proposed)
        return proposed[0]

    def tell(self, genotype: Genotype, result: ProxyResult) -> None:
        """Receive the result of a running candidate."""
        token = self._ended(genotype)
        flops = self.problem.cost(genotype).flops
        self.observed[genotype.key] = result.accuracy, flops
        self.genotypes[genotype.key] = genotype
        self.learn(token, result.accuracy, flops)

    def _ended(self, genotype: Genotype) -> Any:
        """Remove a candidate from those that run; returns its token."""
        index = next(index for index, (asked, _) in enumerate(self.running) if asked == genotype)
        return self.running.pop(index)[1]


StrategyFactory = Callable[[Problem, int], Strategy]
"""Makes a strategy from a problem and a seed. Must be picklable."""


class SearchStrategy(Strategy):
    """The strategy of `attn_nas.search` without limits: references first, then proposals of a sampler, no repeats.

    The front is that of estimated accuracies; without ``estimated``, the Pareto front of measured accuracies.
    """

    def __init__(
        self, problem: Problem, seed: int, sampler: SamplerFactory = KnownCostSampler, *, estimated: bool = True
    ) -> None:
        super().__init__(problem)
        self._study = _study(RandomSampler(seed))
        self._estimated = estimated
        self._queue = [*problem.references.values()]
        self.paused: set[str] = set()
        """Keys of the paused candidates."""
        self._proposer = Proposer(problem.encoding, sampler(problem.space, problem.costs, seed), seed)

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
        trainings = [Training(self.genotypes[key], 0, accuracy) for key, (accuracy, _) in self.observed.items()]
        costs = {key: (flops,) for key, (_, flops) in self.observed.items()}
        beliefs = Beliefs.of(trainings, costs, FEWER) if self._estimated else None
        return beliefs.front if beliefs else super().front()


class EarlyStoppingStrategy(SearchStrategy):
    """`SearchStrategy` with early stopping (`EarlyStopping`)."""

    def __init__(self, problem: Problem, seed: int) -> None:
        super().__init__(problem, seed)
        self._stopping = EarlyStopping.of(problem.space.proxy, ("flops",))
        self._names = {genotype.key: name for name, genotype in problem.references.items()}
        self._records: list[Record] = []

    def propose(self) -> tuple[Genotype, Trial] | None:
        """See `Strategy.propose`; candidates that were paused too early come before new ones."""
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
        """See `Strategy.goes_on`; references are never paused."""
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
        cost, name = self.problem.cost(genotype), self._names.get(genotype.key)
        return Record(0, state, genotype, 0, cost, name, result, None, None, partial)


class SamplerStrategy(Strategy):
    """An Optuna sampler in a study of two objectives with ask and tell; it may repeat candidates."""

    def __init__(self, problem: Problem, sampler: BaseSampler) -> None:
        super().__init__(problem)
        self._study = _study(sampler)
        self._space = {name: CategoricalDistribution(values) for name, values in problem.encoding.choices.items()}

    def propose(self) -> tuple[Genotype, Trial]:
        """See `Strategy.propose`."""
        trial = self._study.ask(dict(self._space))
        return self.problem.encoding.decode(trial.params), trial

    def learn(self, token: Trial, accuracy: float, flops: int) -> None:
        """See `Strategy.learn`."""
        self._study.tell(token, [accuracy, flops])


class Peer(Protocol):
    """An optimiser outside Optuna, made from ``(choices, seed)``; ``choices`` are the values of each parameter, by name.

    Parameters that a mechanism lacks are ignored, so that several sets of parameters can be the same network.
    """

    def ask(self) -> Mapping[str, Any]:
        """A value for every parameter."""
        ...

    def tell(self, params: Mapping[str, Any], accuracy: float, flops: int) -> None:
        """Receive the result of ``params`` from `ask`: accuracy is maximised, FLOPs are minimised."""
        ...


class PeerStrategy(Strategy):
    """A `Peer` as a strategy."""

    def __init__(self, problem: Problem, peer: Peer) -> None:
        super().__init__(problem)
        self._peer = peer

    def propose(self) -> tuple[Genotype, Mapping[str, Any]]:
        """See `Strategy.propose`."""
        params = self._peer.ask()
        plain: dict[str, str | int] = {}
        for name, values in self.problem.encoding.choices.items():
            if params.get(name) not in values:
                raise UsageError(f"the peer chose {name} = {params.get(name)!r}: {choose_from(params.get(name), values)}")
            plain[name] = values[values.index(params[name])]  # a peer may draw numbers of another type
        return self.problem.encoding.decode(plain), params

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
_OURS: dict[str, Callable[[Problem, int], SearchStrategy]] = {
    "attn-nas": SearchStrategy,
    "attn-nas-stopping": EarlyStoppingStrategy,
    "attn-nas-measured": partial(SearchStrategy, estimated=False),
    "tpe-distinct": partial(SearchStrategy, sampler=tpe, estimated=False),
    "random-distinct": partial(SearchStrategy, sampler=at_random, estimated=False),
}
"""Strategies with references first and no repeats; the last three differ only in their sampler."""
STRATEGIES = (*_OURS, *_SAMPLERS)
"""Names of the built-in strategies."""


@dataclass(frozen=True)
class NamedStrategy:
    """Factory of a strategy by its name, or by a class given as ``FILE.py:CLASS`` or ``MODULE:CLASS``.

    The class is a `Strategy`, made from ``(problem, seed)``; an Optuna sampler, made from ``seed=``; or a `Peer`, made from
    ``(choices, seed)``.
    """

    name: str

    def __call__(self, problem: Problem, seed: int) -> Strategy:
        """The strategy.

        Raises:
            UsageError: the name is unknown, or the class cannot be loaded or made.

        """
        if self.name in _OURS:
            return _OURS[self.name](problem, seed)
        if self.name in _SAMPLERS:
            return SamplerStrategy(problem, _quietly(lambda: _SAMPLERS[self.name](seed)))
        kind = self._class()
        try:
            made = self._made(kind, problem, seed)
        except Exception as error:
            raise UsageError(f"{self.name} cannot be made: {first_line(error)}") from error
        if made is None:
            raise UsageError(f"{self.name} is neither a strategy, nor an Optuna sampler, nor a class with ask and tell")
        return made

    def _made(self, kind: type[Any], problem: Problem, seed: int) -> Strategy | None:
        make: Callable[..., Any] = kind
        if issubclass(kind, Strategy):
            made: Strategy = make(problem, seed)
            return made
        if issubclass(kind, BaseSampler):
            return SamplerStrategy(problem, _quietly(lambda: make(seed=seed)))
        if callable(getattr(kind, "ask", None)) and callable(getattr(kind, "tell", None)):
            return PeerStrategy(problem, make(dict(problem.encoding.choices), seed))
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
