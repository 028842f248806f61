"""Search problems with known truths, stored and made up, on which search strategies are compared in seconds."""

from attn_nas.benchmark.compare import StrategyComparison, StrategyResult, Summary, Terms, compare
from attn_nas.benchmark.landscapes import LANDSCAPES, Instance, Landscape, landscape, recorded
from attn_nas.benchmark.problem import Judge, Problem
from attn_nas.benchmark.simulate import SimulatedTrial, simulate
from attn_nas.benchmark.strategies import (
    STRATEGIES,
    NamedStrategy,
    Peer,
    PeerStrategy,
    SamplerStrategy,
    SearchStrategy,
    Strategy,
    StrategyFactory,
)
from attn_nas.benchmark.surrogate import Surrogate
from attn_nas.benchmark.table import EMBEDDED, Entry, Header, Table
from attn_nas.benchmark.table_build import Shard, TableBuild
from attn_nas.benchmark.truth import SplitName, Truth

__all__ = [
    "EMBEDDED",
    "LANDSCAPES",
    "STRATEGIES",
    "Entry",
    "Header",
    "Instance",
    "Judge",
    "Landscape",
    "NamedStrategy",
    "Peer",
    "PeerStrategy",
    "Problem",
    "SamplerStrategy",
    "SearchStrategy",
    "Shard",
    "SimulatedTrial",
    "SplitName",
    "Strategy",
    "StrategyComparison",
    "StrategyFactory",
    "StrategyResult",
    "Summary",
    "Surrogate",
    "Table",
    "TableBuild",
    "Terms",
    "Truth",
    "compare",
    "landscape",
    "recorded",
    "simulate",
]
