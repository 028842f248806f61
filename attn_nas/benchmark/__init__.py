"""A tabular benchmark of attention placements: real trainings to look up, and searches compared on them in seconds."""

from attn_nas.benchmark.build import Build, Shard
from attn_nas.benchmark.compare import Comparison, Played, Summary, Terms, compare
from attn_nas.benchmark.simulate import Step, simulate
from attn_nas.benchmark.strategies import (
    STRATEGIES,
    Adapted,
    Named,
    Peer,
    Sampled,
    SearchStrategy,
    Strategy,
    StrategyFactory,
)
from attn_nas.benchmark.surrogate import Surrogate
from attn_nas.benchmark.table import EMBEDDED, Entry, Header, Table
from attn_nas.benchmark.truth import Split, Truth

__all__ = [
    "EMBEDDED",
    "STRATEGIES",
    "Adapted",
    "Build",
    "Comparison",
    "Entry",
    "Header",
    "Named",
    "Peer",
    "Played",
    "Sampled",
    "SearchStrategy",
    "Shard",
    "Split",
    "Step",
    "Strategy",
    "StrategyFactory",
    "Summary",
    "Surrogate",
    "Table",
    "Terms",
    "Truth",
    "compare",
    "simulate",
]
