"""How a run grows with its trials, up to 10,000: asking, telling, resuming, reading, its front, its dashboard.

A study of a ResNet-20 is filled by chance with a trainer that answers at once; at each size a search with the default sampler
goes on for a few candidates, and one by chance, which tells what the sampler takes of it and what the rest. Times are wall
seconds of one process, and processor seconds for the search; each growth is summed up by its exponent over the last decade.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import options, present
from dashboard import deep_space, get, grow, served

from attn_nas.data import load_dataset
from attn_nas.sampling import KnownCostSampler
from attn_nas.sampling.baselines import at_random
from attn_nas.study.events import Event, SearchStarted, TrialFinished
from attn_nas.study.proposer import SamplerFactory
from attn_nas.study.results import Run
from attn_nas.study.search import search
from attn_nas.testing import TableTrainer

SIZES = (100, 1000, 10_000)
QUICK_SIZES = (20, 60, 200)
MORE = 6
_DASHBOARD_RESTS = 20.0


class Stopwatch:
    """Listens to a search: when it began to train, and wall and processor seconds of each trial."""

    def __init__(self) -> None:
        self.begun = time.perf_counter()
        self.started = 0.0
        self.ended: list[tuple[float, float]] = []

    def __call__(self, event: Event) -> None:
        """Take an event in."""
        if isinstance(event, SearchStarted):
            self.started = time.perf_counter() - self.begun
        if isinstance(event, SearchStarted | TrialFinished):
            self.ended.append((time.perf_counter(), time.process_time()))

    @property
    def per_trial(self) -> tuple[float, float]:
        """Means of the trials after the first, which is slower."""
        wall, processor = np.diff(np.array(self.ended[1:]), axis=0).mean(0)
        return float(wall), float(processor)


def go_on(folder: Path, budget: int, sampler: SamplerFactory) -> Stopwatch:
    """Resume the search up to ``budget``."""
    watch = Stopwatch()
    trainer = TableTrainer(load_dataset(deep_space().data).task, epochs=3)
    search(run=folder, resume=True, budget=budget, confirm=0, workers=1, sampler=sampler, trainer=trainer, listeners=[watch])
    return watch


def timed(action: Callable[[], object]) -> float:
    """Seconds that it takes."""
    begun = time.perf_counter()
    action()
    return time.perf_counter() - begun


def at_size(folder: Path, size: int, rest: float) -> dict[str, float]:
    """All figures of the run, grown to ``size``."""
    grow(folder, size, resume=(folder / "study.db").exists())
    default = go_on(folder, size + MORE, KnownCostSampler)
    chance = go_on(folder, size + 2 * MORE, at_random)
    found = {
        "search, per trial": default.per_trial[0],
        "of it processor": default.per_trial[1],
        "by chance, per trial": chance.per_trial[0],
        "resume": default.started,
        "read": timed(lambda: Run(folder).records),
        "front": timed(lambda: Run(folder).front),
    }
    with served(folder) as (address, _):
        page = f"{address}/runs/{folder.name}"
        found["dashboard, first page"] = get(page)[0]
        time.sleep(rest)  # beliefs are computed on the side
        found["dashboard, again"] = min(get(page)[0] for _ in range(3))
    found["study.db, MB"] = (folder / "study.db").stat().st_size / 2**20
    found["peak memory so far, MB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
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
    sizes, rest = (QUICK_SIZES, 1.0) if chosen.quick else (SIZES, _DASHBOARD_RESTS)
    with tempfile.TemporaryDirectory() as temporary:
        found = [at_size(Path(temporary) / "run", size, rest) for size in sizes]
    rows = {
        name: {
            "values": [each[name] for each in found],
            "exponent": float(np.log(found[-1][name] / found[-2][name]) / np.log(sizes[-1] / sizes[-2])),
        }
        for name in found[0]
    }
    present(chosen, found[-1]["search, per trial"], table(sizes, rows), sizes=list(sizes), rows=rows)


if __name__ == "__main__":
    main()
