"""Strategies that play on a table: ours, Optuna's samplers, and any peer that asks and tells."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import optuna
from optuna.distributions import CategoricalDistribution
from optuna.samplers import BaseSampler, GPSampler, NSGAIIISampler, NSGAIISampler, RandomSampler, TPESampler
from optuna.trial import Trial

from attn_nas import plugins
from attn_nas.benchmark.table import Table
from attn_nas.errors import UsageError, choose_from, first_line
from attn_nas.front import front_indices
from attn_nas.proxy import ProxyResult
from attn_nas.space.genotype import Genotype
from attn_nas.study.proposer import Proposer, SamplerFactory, tpe


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
        index = next(index for index, (asked, _) in enumerate(self.running) if asked == genotype)
        _, token = self.running.pop(index)
        flops = self.table.cost(genotype).flops
        self.observed[genotype.key] = result.accuracy, flops
        self.learn(token, result.accuracy, flops)


StrategyFactory = Callable[[Table, int], Strategy]
"""Makes a strategy for the space of a table, with a seed of its own. It can be pickled."""


class Search(Strategy):
    """As `attn_nas.search` proposes without limits: the references first, then by its sampler, nothing twice."""

    def __init__(self, table: Table, seed: int, sampler: SamplerFactory = tpe) -> None:
        super().__init__(table)
        self._study = _study(RandomSampler(seed))
        self._proposer = Proposer(table.encoding, sampler, seed, [*table.references.values()])

    def propose(self) -> tuple[Genotype, Trial] | None:
        """See `Strategy.propose`."""
        out = {genotype.key for genotype, _ in self.running}
        trial, genotype, found = self._proposer.ask(self._study, lambda one: one.key not in self.observed.keys() | out)
        return (genotype, trial) if found else None

    def learn(self, token: Trial, accuracy: float, flops: int) -> None:
        """See `Strategy.learn`."""
        self._study.tell(token, [accuracy, flops])


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
_OURS: dict[str, SamplerFactory] = {"attn-nas": tpe, "random-distinct": RandomSampler}
"""What proposes after the references, and nothing twice: the difference between these two is the sampler's alone."""
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
            return Search(table, seed, _OURS[self.name])
        if self.name in _SAMPLERS:
            if self.name == "gp" and importlib.util.find_spec("scipy") is None:
                raise UsageError("gp needs scipy, which is not installed")
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
    plugins.load_file(source)
    return sys.modules[plugins.active_file(source).module_name]
