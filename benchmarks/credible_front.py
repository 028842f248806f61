"""The winner's curse on the placement table: do intervals cover the truth, and is the reported front better than the raw one?

The table's mean over its seeds is the truth. A training of a search is the truth plus noise drawn from what the table's own
trainings deviate from it (on the logit scale), so that every search can be repeated with other luck; the deviation that all
networks share with a seed is drawn too. Each search of 50 trials ends as `attn-nas search` does, with two rounds of
confirmation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from common import make_parser, present
from scipy.special import expit, logit

from attn_nas.benchmark import EMBEDDED, Table, Truth
from attn_nas.benchmark.strategies import SearchStrategy
from attn_nas.engine.confirmation import Confirmation
from attn_nas.errors import TableError
from attn_nas.machine import usable_cores
from attn_nas.runs.beliefs import beliefs_of, costs_of, trainings_of
from attn_nas.runs.record import Record
from attn_nas.space.genotype import Genotype
from attn_nas.stats.pareto import front_indices
from attn_nas.stats.uncertainty import Mean
from attn_nas.training import ProxyResult

ROUNDS = 2
AXES = ("flops",)
_MARGIN = 1e-3


@dataclass(frozen=True)
class Luck:
    """A table whose trainings can be drawn anew."""

    table: Table
    seed: int

    @cached_property
    def _deviations(self) -> tuple[np.ndarray, np.ndarray]:
        """Of trainings from their network's mean, and of seeds from the mean of all, as logits."""
        found = np.array([[self._logit(self.table.query(each, seed)) for seed in self.table.seeds] for each in self._networks])
        if found.shape[1] < 2:
            raise TableError("the table has one seed: its noise is not known")
        shifts = found.mean(0) - found.mean()
        rest = found - found.mean(1, keepdims=True) - shifts
        freedom = (found.shape[1] - 1) / found.shape[1]
        return rest.ravel() / freedom**0.5, shifts / freedom**0.5

    @property
    def _networks(self) -> list[Genotype]:
        return [*self.table.genotypes.values()]

    @staticmethod
    def _logit(result: ProxyResult) -> float:
        return float(logit(np.clip(result.accuracy, _MARGIN, 1 - _MARGIN)))

    def train(self, genotype: Genotype, seed: int) -> ProxyResult:
        """One training: it repeats itself."""
        deviations, shifts = self._deviations
        own = np.random.default_rng([self.seed, seed, int(genotype.key, 16)])
        shared = np.random.default_rng([self.seed, seed])
        result = self.table.query(genotype)
        accuracy = expit(self._logit(result) + own.choice(deviations) + shared.choice(shifts))
        return replace(result, accuracy=float(accuracy), seed=seed)

    @property
    def noise(self) -> float:
        """Standard deviation of a training, as a logit."""
        return float(self._deviations[0].std())


def searched(luck: Luck, budget: int) -> list[Record]:
    """The trainings of one search without confirmation."""
    strategy, records = SearchStrategy(luck.table, luck.seed), list[Record]()
    names = {genotype.key: name for name, genotype in luck.table.references.items()}
    while len(records) < budget and (genotype := strategy.ask()):
        result = luck.train(genotype, 0)
        strategy.tell(genotype, result)
        records.append(_record(luck, genotype, result, names))
    return records


def _record(luck: Luck, genotype: Genotype, result: ProxyResult, names: Mapping[str, str]) -> Record:
    cost = luck.table.cost(genotype)
    return Record(0, "finished", genotype, result.seed, cost, names.get(genotype.key), result, None, None)


def confirmed(luck: Luck, records: Sequence[Record]) -> list[Record]:
    """The same with what its confirmation adds."""
    names = {record.key: record.reference for record in records if record.reference}
    confirmation, grown = Confirmation(0, ROUNDS, names.keys(), AXES), [*records]
    while (found := confirmation.next_round(grown)) is not None:
        for replicate in found.missing:
            result = luck.train(replicate.genotype, replicate.seed)
            grown.append(_record(luck, replicate.genotype, result, names))
    return grown


def raw_front(records: Sequence[Record]) -> list[str]:
    """Keys of the non-dominated by the mean of what was measured."""
    measured: dict[str, list[float]] = {}
    for training in trainings_of(records):
        measured.setdefault(training.genotype.key, []).append(training.accuracy)
    costs, keys = costs_of(records, AXES), list(measured)
    return [keys[index] for index in front_indices([(float(np.mean(measured[key])), *costs[key]) for key in keys])]


def play(luck: Luck, budget: int) -> dict[str, float]:
    """One search: true hypervolumes of its fronts, how flattered these are, and the share of intervals that hold."""
    truth = Truth(luck.table, "validation")
    before = searched(luck, budget)
    after = confirmed(luck, before)
    longer = searched(luck, len(after))
    found: dict[str, float] = {"trainings": len(after)}
    for name, records in (("search", before), ("confirmed", after), ("search as long", longer)):
        beliefs, raw = beliefs_of(records, AXES), raw_front(records)
        assert beliefs is not None
        true = {key: truth.accuracy(key) for key in beliefs.networks}
        first = {record.key: record.result.accuracy for record in reversed(records) if record.result}
        found[f"{name}: hypervolume, raw front"] = truth.hypervolume(raw)
        found[f"{name}: hypervolume, believed front"] = truth.hypervolume(beliefs.front)
        found[f"{name}: optimism of the raw front"] = float(np.mean([first[key] - true[key] for key in raw]))
        found[f"{name}: optimism of the believed front"] = float(
            np.mean([beliefs.networks[key].mean - true[key] for key in beliefs.front])
        )
        for which, keys in (("front", [*beliefs.front]), ("all", [*true])):
            inside = [beliefs.networks[key].low <= true[key] <= beliefs.networks[key].high for key in keys]
            found[f"{name}: covered, {which}"] = float(np.mean(inside))
    return found


def text(found: Mapping[str, Mean], names: Sequence[str]) -> str:
    """A table for a person, in hundredths."""
    lines = [f"{'':34}" + "".join(f"{name:>20}" for name in names)]
    rows = [key.split(": ")[1] for key in found if key.startswith(f"{names[0]}: ")]
    for row in rows:
        lines.append(f"{row:34}" + "".join(f"{found[f'{name}: {row}'].hundredths():>20}" for name in names))
    return "\n".join([*lines, f"trainings with confirmation: {found['trainings'].value:.1f}"])


def main() -> None:
    """Play, print."""
    parser = make_parser(__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=50, help="searches, each with luck of its own")
    parser.add_argument("--budget", type=int, default=50)
    parser.add_argument("--table", type=Path, default=EMBEDDED, help="a Parquet file; the embedded table by default")
    chosen = parser.parse_args()
    if chosen.quick:
        chosen.seeds, chosen.budget = 4, 20
    table = Table.load(chosen.table)
    lucks = [Luck(table, seed) for seed in range(chosen.seeds)]
    with ProcessPoolExecutor(usable_cores(), mp_context=get_context("spawn")) as pool:
        played: list[dict[str, float]] = list(pool.map(play, lucks, [chosen.budget] * len(lucks)))
    found = {name: Mean.of([each[name] for each in played]) for name in played[0]}
    document: dict[str, Any] = {name: mean.to_dict() for name, mean in found.items()}
    setting = {"searches": chosen.seeds, "budget": chosen.budget, "noise_logit": lucks[0].noise}
    present(
        chosen,
        found["confirmed: covered, front"].value,
        text(found, ["search", "confirmed", "search as long"]),
        **setting,
        found=document,
    )


if __name__ == "__main__":
    main()
