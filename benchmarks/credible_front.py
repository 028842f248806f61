"""The winner's curse on a recorded landscape: do intervals cover the truth, and is the reported front better than the raw one?

The table's mean over its seeds is the truth. A training of a search is the truth plus noise drawn from what the table's own
trainings of similar networks deviate from it (on the logit scale), so that every search can be repeated with other luck; the
deviation that all networks share with a seed is drawn too. Each search of 50 trials ends as `attn-nas search` does, with one
round of confirmation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from common import make_parser, present
from playing import AXES, confirmed, searched

from attn_nas.benchmark.landscapes import Instance, Landscape, landscape, recorded
from attn_nas.machine import usable_cores
from attn_nas.runs.beliefs import beliefs_of, costs_of, trainings_of
from attn_nas.runs.record import Record
from attn_nas.stats.pareto import front_indices
from attn_nas.stats.uncertainty import Mean

ROUNDS = 1


def raw_front(records: Sequence[Record]) -> list[str]:
    """Keys of the non-dominated by the mean of what was measured."""
    measured: dict[str, list[float]] = {}
    for training in trainings_of(records):
        measured.setdefault(training.genotype.key, []).append(training.accuracy)
    costs, keys = costs_of(records, AXES), list(measured)
    return [keys[index] for index in front_indices([(float(np.mean(measured[key])), *costs[key]) for key in keys])]


def judged(instance: Instance, records: Sequence[Record]) -> dict[str, float]:
    """True hypervolumes of the fronts of a search, how flattered these are, and the share of intervals that hold."""
    beliefs, raw = beliefs_of(records, AXES), raw_front(records)
    assert beliefs is not None
    genotypes = {record.key: record.genotype for record in records}
    true = {key: instance.accuracy(genotypes[key]) for key in beliefs.networks}
    first = {record.key: record.result.accuracy for record in reversed(records) if record.result}
    found = {
        "hypervolume, raw front": instance.hypervolume(genotypes[key] for key in raw),
        "hypervolume, believed front": instance.hypervolume(genotypes[key] for key in beliefs.front),
        "optimism of the raw front": float(np.mean([first[key] - true[key] for key in raw])),
        "optimism of the believed front": float(np.mean([beliefs.networks[key].mean - true[key] for key in beliefs.front])),
    }
    for which, keys in (("front", [*beliefs.front]), ("all", [*true])):
        inside = [beliefs.networks[key].low <= true[key] <= beliefs.networks[key].high for key in keys]
        found[f"covered, {which}"] = float(np.mean(inside))
    return found


def play(number: int, chosen: Landscape, budget: int) -> dict[str, float]:
    """Search ``number``: what there is after the search, after its confirmation, and after a search of as many trainings."""
    instance = chosen.instance(number)
    before = searched(instance, budget, number)
    after = confirmed(instance, before, ROUNDS)
    longer = searched(instance, len(after), number)
    found: dict[str, float] = {"trainings": len(after)}
    for name, records in (("search", before), ("confirmed", after), ("search as long", longer)):
        found |= {f"{name}: {what}": value for what, value in judged(instance, records).items()}
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
    parser.add_argument("--table", type=Path, help="a Parquet file; the embedded table by default")
    chosen = parser.parse_args()
    if chosen.quick:
        chosen.seeds, chosen.budget = 4, 20
    played_on = recorded(chosen.table) if chosen.table else landscape("table")
    once = partial(play, chosen=played_on, budget=chosen.budget)
    with ProcessPoolExecutor(usable_cores(), mp_context=get_context("spawn")) as pool:
        played: list[dict[str, float]] = list(pool.map(once, range(chosen.seeds)))
    found = {name: Mean.of([each[name] for each in played]) for name in played[0]}
    document: dict[str, Any] = {name: mean.to_dict() for name, mean in found.items()}
    present(
        chosen,
        found["confirmed: covered, front"].value,
        text(found, ["search", "confirmed", "search as long"]),
        searches=chosen.seeds,
        budget=chosen.budget,
        rounds=ROUNDS,
        landscape=played_on.name,
        found=document,
    )


if __name__ == "__main__":
    main()
