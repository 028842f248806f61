"""How a run grows with its trials, up to 10,000: searching, resuming, reading, its front, its dashboard.

A search of a ResNet-20 is filled by chance with candidates that were never trained; at each size it goes on for a few of them
with the default sampler and then by chance, with a trainer that answers at once, which tells what the sampler takes and what
the rest does. Times are wall seconds, and processor seconds where that is said; each growth is summed up by its exponent, the
slope on logarithmic axes over the last step.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import options, present
from dashboard import deep_space, get, grow, served
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.trial import create_trial

from attn_nas.cost import CostTable
from attn_nas.data import load_dataset
from attn_nas.engine.search import Search
from attn_nas.events.types import Event, SearchStarted, TrialFinished
from attn_nas.execution.settings import Local
from attn_nas.runs.run import Run
from attn_nas.sampling import CURVE, SEED, KnownCostSampler
from attn_nas.sampling.baselines import at_random
from attn_nas.sampling.proposer import SamplerFactory
from attn_nas.space.encoding import Encoding
from attn_nas.testing import TableTrainer

SIZES = (100, 1000, 10_000)
QUICK_SIZES = (20, 100)
BEGUN = 12
MORE = 6
EPOCHS = 3
_NOISE = 0.01
_DASHBOARD_RESTS = 60.0
_MEGABYTE = 2**20


class Stopwatch:
    """Listens to a search: when it began to train, and wall and processor seconds at the end of each trial."""

    def __init__(self) -> None:
        self.made = time.perf_counter()
        self.started = 0.0
        self.ended: list[tuple[float, float]] = []

    def __call__(self, event: Event) -> None:
        """Take an event in."""
        if isinstance(event, SearchStarted):
            self.started = time.perf_counter() - self.made
        elif isinstance(event, TrialFinished):
            self.ended.append((time.perf_counter(), time.process_time()))

    @property
    def per_trial(self) -> tuple[float, float]:
        """Wall and processor seconds: means of the trials after the first."""
        wall, processor = np.diff(np.array(self.ended), axis=0).mean(0)
        return float(wall), float(processor)


def fill(folder: Path, size: int) -> None:
    """Have ``size`` candidates in the run, with accuracies of chance."""
    space = deep_space()
    encoding, costs = Encoding(space), CostTable(space.trunk.trunk(), load_dataset(space.data).task)
    distributions: dict[str, BaseDistribution] = {
        name: CategoricalDistribution(values) for name, values in encoding.choices.items()
    }
    run = Run(folder)
    records = run.records
    result = next(record.result for record in records if record.result)
    rng, trials = np.random.default_rng(size), []
    for _ in range(size - len(records)):
        params = encoding.random(rng)
        genotype = encoding.decode(params)
        accuracy = 0.5 + _NOISE * float(rng.standard_normal())
        reached = replace(result, accuracy=accuracy, curve=(accuracy,) * EPOCHS)
        cost = costs.cost(genotype)
        described = {
            SEED: 0,
            "genotype": genotype.to_dict(),
            "cost": cost.to_dict(),
            "result": reached.to_dict(),
            CURVE: list(reached.curve),
        }
        values = [accuracy, *(float(getattr(cost, axis)) for axis in space.objectives.costs)]
        trials.append(create_trial(values=values, params=params, distributions=distributions, user_attrs=described))
    run.study.add_trials(trials)


def go_on(folder: Path, sampler: SamplerFactory) -> Stopwatch:
    """Resume the search for a few more candidates."""
    trainer = TableTrainer(load_dataset(deep_space().data).task, epochs=EPOCHS)
    budget = sum(record.counts for record in Run(folder).records) + MORE
    watch = Stopwatch()
    Search.load(folder, sampler=sampler, training=trainer).optimize(
        n_trials=budget, callbacks=[watch], execution=Local(workers=1)
    )
    return watch


def seconds(action: Callable[[], object]) -> float:
    """How long it takes."""
    begun = time.perf_counter()
    action()
    return time.perf_counter() - begun


def at_size(folder: Path, size: int, rest: float) -> dict[str, float]:
    """All figures of the run, filled up to ``size``."""
    fill(folder, size)
    default, chance = go_on(folder, KnownCostSampler), go_on(folder, at_random)
    found = {
        "a trial": default.per_trial[0],
        "a trial, processor": default.per_trial[1],
        "a trial by chance": chance.per_trial[0],
        "resume": chance.started,
        "read all trials": seconds(lambda: Run(folder).records),
        "believed front": seconds(lambda: Run(folder).front),
    }
    with served(folder.parent) as (address, _):
        page = f"{address}/runs/{folder.name}"
        found["page, first"] = get(page)[0]
        time.sleep(rest)  # beliefs are computed on the side
        found["page, again"] = min(get(page)[0] for _ in range(3))
    found["study.db, MB"] = (folder / "study.db").stat().st_size / _MEGABYTE
    found["memory at most, MB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    for name, value in found.items():
        print(f"{size} trials, {name}: {value:.3f}", file=sys.stderr, flush=True)
    return found


def table(sizes: Sequence[int], rows: dict[str, dict[str, Any]]) -> str:
    """For a person."""
    lines = [f"{'seconds':24}" + "".join(f"{size:>10,}" for size in sizes) + f"{'exponent':>10}"]
    for name, row in rows.items():
        lines.append(f"{name:24}" + "".join(f"{value:10.3f}" for value in row["values"]) + f"{row['exponent']:+10.2f}")
    return "\n".join(lines)


def main() -> None:
    """Measure, print."""
    chosen = options(__doc__.splitlines()[0])
    torch.set_num_threads(1)
    sizes, rest = (QUICK_SIZES, 2.0) if chosen.quick else (SIZES, _DASHBOARD_RESTS)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "runs" / "growing"
        grow(folder, BEGUN)
        found = [at_size(folder, size, rest) for size in sizes]
    step = np.log(sizes[-1] / sizes[-2])
    rows = {
        name: {
            "values": [each[name] for each in found],
            "exponent": float(np.log(found[-1][name] / found[-2][name]) / step),
        }
        for name in found[0]
    }
    present(chosen, rows["a trial"]["values"][-1], table(sizes, rows), sizes=list(sizes), rows=rows)


if __name__ == "__main__":
    main()
