"""How cost grows: a candidate's with images, depth and width, the coordinator's with trials, a search's with workers.

Candidates are trained for an epoch by one thread, and the best of a few runs counts. The coordinator's seconds are those of a
search with a trainer that answers at once. Each growth is summed up by its exponent, the slope on logarithmic axes. Workers
train by sleeping for a stated time; the clock runs from the moment when all of them stand ready to the end of the last trial,
and efficiency is the time that the sleeping alone would take over it. The coordinator's processor seconds are counted from the
same moment. The starts of 64 workers take minutes on few cores, and a quarter of a gigabyte each.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import options, present
from overhead import Timeline, embedded_space, fake_search

from attn_nas.cost import CostTable
from attn_nas.data import Dataset, load_dataset
from attn_nas.engine.search import Search
from attn_nas.execution.settings import Local
from attn_nas.machine import usable_cores
from attn_nas.space.data_settings import DataSettings
from attn_nas.space.encoding import Encoding
from attn_nas.space.genotype import Genotype, Placement
from attn_nas.space.loading import load_space
from attn_nas.space.schema import ProxySettings, SearchSpace
from attn_nas.space.trunks import Trunk
from attn_nas.testing import TableTrainer
from attn_nas.training import Numerics, OnEpoch, choose_numerics, train_proxy
from attn_nas.training.device import resolve_device
from attn_nas.training.protocol import Trained

IMAGES = (1, 2, 4, 8)
DEPTHS = (8, 14, 20, 32, 56)
WIDTHS = (8, 16, 32, 64)
TRIALS = (50, 100, 200, 400)
WORKERS = (1, 2, 4, 8, 16, 32, 64)
JOBS_PER_WORKER = 10
_POLL = 0.01
_RANDOM_PLACEMENTS = 300


@dataclass(kw_only=True)
class SleepingTrainer(TableTrainer):
    """Takes ``seconds`` for a candidate; each process waits with its first one until ``workers`` of them stand ready.

    ``costs`` knows what every candidate costs, so that no worker counts but for the bare trunk, before it is ready; ``folder``
    is where processes say that they are, and when.
    """

    workers: int
    folder: Path
    costs: CostTable

    def __call__(self, genotype: Genotype, seed: int, on_epoch: OnEpoch) -> Trained:
        """See `attn_nas.training.protocol.Trainer`."""
        ready = self.folder / str(os.getpid())
        if not ready.exists():
            TableTrainer(self.task)(Genotype.bare(genotype.trunk), seed, lambda *_: None)
            ready.write_text(str(time.monotonic()))
            while len(list(self.folder.iterdir())) < self.workers:
                time.sleep(_POLL)
        trained = super().__call__(Genotype.bare(genotype.trunk), seed, on_epoch)
        accuracy = int(genotype.key, 16) % 1000 / 1000
        return Trained(replace(trained.result, accuracy=accuracy), self.costs.cost(genotype))


def exponent(sizes: Sequence[float], costs: Sequence[float]) -> float:
    """Slope of ``costs`` over ``sizes`` on logarithmic axes."""
    return float(np.polyfit(np.log(sizes), np.log(costs), 1)[0])


def growth(what: str, sizes: Sequence[int], cost: Callable[[int], float]) -> dict[str, Any]:
    """Seconds at every size, and their exponent."""
    seconds = []
    for size in sizes:
        seconds.append(cost(size))
        print(f"{what} {size}: {seconds[-1]:.4f} s", file=sys.stderr, flush=True)
    return {"what": what, "sizes": list(sizes), "seconds": seconds, "exponent": exponent(sizes, seconds)}


def train_once(trunk: Trunk, dataset: Dataset, settings: ProxySettings, numerics: Numerics, repeats: int) -> float:
    """Seconds of the trunk with SE everywhere, the least of ``repeats``."""
    genotype = Genotype(trunk, (Placement("se", reduction=4),) * len(trunk.blocks))
    return min(train_proxy(genotype, settings, seed, dataset, numerics)[0].seconds for seed in range(repeats))


def candidate_growth(base: int, repeats: int, numerics: Numerics) -> list[dict[str, Any]]:
    """Seconds per candidate against images, depth and width; depth and width on ``base`` images."""
    pool = load_dataset(DataSettings(name="cluttered_digits", num_train=IMAGES[-1] * base, num_validation=base // 4))
    settings = load_space("cued_digits").proxy.model_copy(update={"epochs": 1})

    def on(number: int) -> Dataset:
        return replace(pool, train=pool.train.take(torch.arange(number)))

    def seconds(trunk: Trunk, dataset: Dataset) -> float:
        return train_once(trunk, dataset, settings, numerics, repeats)

    least = on(base)
    seconds(Trunk("cifar_resnet", DEPTHS[0], 16), least)
    return [
        growth("images", [base * factor for factor in IMAGES], lambda n: seconds(Trunk("cifar_resnet", 8, 16), on(n))),
        growth("depth", DEPTHS, lambda depth: seconds(Trunk("cifar_resnet", depth, 16), least)),
        growth("width", WIDTHS, lambda width: seconds(Trunk("cifar_resnet", 8, width), least)),
    ]


def coordinator_growth(trials: Sequence[int]) -> dict[str, Any]:
    """The coordinator's seconds per trial, over the second half of that many trials."""
    timeline = fake_search(trials[-1], 1, trials[-1])
    return growth("trials", trials, lambda number: timeline.per_trial(number // 2, number))


def known_costs(space: SearchSpace, dataset: Dataset) -> CostTable:
    """A cost table that has seen nearly every placement of the space."""
    encoding, rng = Encoding(space), np.random.default_rng(0)
    table = CostTable(encoding.trunk, dataset.task)
    for _ in range(_RANDOM_PLACEMENTS):
        table.cost(encoding.decode(encoding.random(rng)))
    return table


def efficiency(workers: int, seconds: float, costs: CostTable) -> dict[str, Any]:
    """Search with so many workers that sleep."""
    timeline = Timeline(every=JOBS_PER_WORKER * workers)
    spent: list[tuple[float, float]] = []
    with tempfile.TemporaryDirectory() as temporary:
        ready = Path(temporary) / "ready"
        ready.mkdir()
        trainer = SleepingTrainer(costs.task, seconds=seconds, workers=workers, folder=ready, costs=costs)
        Search(embedded_space(), run=Path(temporary) / "run", training=trainer).optimize(
            n_trials=JOBS_PER_WORKER * workers,
            confirm=0,
            callbacks=[timeline, lambda _: spent.append((time.monotonic(), time.process_time()))],
            execution=Local(workers=workers),
        )
        begun = max(float(file.read_text()) for file in ready.iterdir())
    ideal, wall, trials = JOBS_PER_WORKER * seconds, timeline.started + timeline.ended[-1] - begun, len(timeline.ended)
    since = [processor for moment, processor in spent if moment >= begun]
    print(f"{workers} workers: {wall:.2f} s", file=sys.stderr, flush=True)
    return {
        "workers": workers,
        "trials": trials,
        "ideal": ideal,
        "wall": wall,
        "efficiency": ideal / wall,
        "coordinator": (since[-1] - since[0]) / (trials - workers),
    }


def table(results: dict[str, Any]) -> str:
    """For a person: the growths, then the workers."""
    lines = [f"seconds per candidate: one epoch, one thread, {results['numerics']}; per trial: the coordinator's"]
    for row in results["growth"]:
        cells = "  ".join(f"{size}: {seconds:.4g}" for size, seconds in zip(row["sizes"], row["seconds"], strict=True))
        lines.append(f"  {row['what']:8}exponent {row['exponent']:+.2f}   {cells}")
    lines += [
        f"workers that sleep for {results['sleep']:g} s per trial, on {results['cores']} cores, with one coordinator",
        f"{'workers':>8}{'trials':>8}{'ideal':>9}{'wall':>9}{'efficiency':>12}{'coordinator, CPU s per trial':>31}",
    ]
    for row in results["workers"]:
        lines.append(
            f"{row['workers']:8}{row['trials']:8}{row['ideal']:7.2f} s{row['wall']:7.2f} s{100 * row['efficiency']:10.1f} %"
            f"{row['coordinator']:31.3f}"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure, print."""
    chosen = options(__doc__.splitlines()[0])
    torch.set_num_threads(1)
    numerics = choose_numerics(resolve_device("auto"), "auto")
    trials: tuple[int, ...] = TRIALS
    workers: tuple[int, ...] = WORKERS
    base, repeats, sleep = 1024, 3, 10.0
    if chosen.quick:
        base, repeats, trials, workers, sleep = 256, 2, TRIALS[:2], WORKERS[:3], 0.2
    grown = [*candidate_growth(base, repeats, numerics), coordinator_growth(trials)]
    space = embedded_space()
    costs = known_costs(space, load_dataset(space.data))
    by_workers = [efficiency(number, sleep, costs) for number in workers]
    results = {
        "numerics": str(numerics),
        "growth": grown,
        "sleep": sleep,
        "jobs_per_worker": JOBS_PER_WORKER,
        "cores": usable_cores(),
        "workers": by_workers,
    }
    present(chosen, by_workers[-1]["efficiency"], table(results), **results)


if __name__ == "__main__":
    main()
