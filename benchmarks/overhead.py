"""What a search takes beside training: seconds of the coordinator per trial, the workers' share, and memory over the trials.

Searches the embedded space with a trainer that answers at once, so that all wall time is the coordinator's, with one worker
(in its process) and with two. What a real worker does beside training (cost, weights, profile) is timed apart. Both, and the
start of the search, give the share outside training for candidates that take as long as those of ``results/main_job.json``.
Memory is that of the coordinator's process, and of one process that really trains ``--train`` tiny candidates.
``reproduce.py overhead --to FOLDER`` draws it.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import torch
from common import make_parser, present

from attn_nas.data import load_dataset
from attn_nas.data.arrays import share_dataset
from attn_nas.engine.search import Search
from attn_nas.events.types import Event, SearchStarted, TrialFailed, TrialFinished
from attn_nas.execution.settings import Local
from attn_nas.space.encoding import Encoding
from attn_nas.space.loading import load_space
from attn_nas.space.references import reference_genotypes
from attn_nas.space.schema import SearchSpace
from attn_nas.testing import TableTrainer
from attn_nas.training import choose_numerics
from attn_nas.training.device import resolve_device
from attn_nas.training.trainer import ProxyTrainer

GOALS = {50: 0.02, 1000: 0.05}
CHECKPOINTS = (50, 200, 1000)
QUICK_CHECKPOINTS = (25, 50, 100)
WORKERS = (1, 2)
RESULTS = Path(__file__).parent / "results"
_MEGABYTE = 2**20
_FEWEST_POINTS = 10

Points = list[tuple[int, float]]


@dataclass
class Timeline:
    """When each trial ended, in seconds from the search's start, and memory in MB every ``every`` trials."""

    every: int
    started: float = 0.0
    ended: list[float] = field(default_factory=list)
    rss: Points = field(default_factory=list)
    gpu: Points = field(default_factory=list)

    def __call__(self, event: Event) -> None:
        """Listen to a search."""
        if isinstance(event, SearchStarted):
            self.started = time.monotonic()
        elif isinstance(event, TrialFinished | TrialFailed):
            self.ended.append(time.monotonic() - self.started)
            if len(self.ended) % self.every == 0:
                self.rss.append((len(self.ended), resident_mb()))
                if torch.cuda.is_available() and torch.cuda.is_initialized():
                    self.gpu.append((len(self.ended), torch.cuda.memory_reserved() / _MEGABYTE))

    @property
    def start(self) -> float:
        """Seconds to the end of the first trial: the workers' start."""
        return self.ended[0]

    def per_trial(self, first: int, last: int) -> float:
        """Mean seconds of the trials after the ``first`` to the ``last``."""
        return (self.ended[last - 1] - self.ended[first - 1]) / (last - first)


def resident_mb() -> float:
    """Resident memory of this process in MB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / _MEGABYTE


def slope(points: Points) -> float | None:
    """MB per 1,000 trials over the second half of ``points``; None where they are too few to tell."""
    if len(points) < _FEWEST_POINTS:
        return None
    half = np.array(points[len(points) // 2 :])
    return float(1000 * np.polyfit(half[:, 0], half[:, 1], 1)[0])


def embedded_space(num_train: int = 512) -> SearchSpace:
    """The embedded space on a few of its images."""
    space = load_space("cued_digits")
    return space.model_copy(update={"data": space.data.model_copy(update={"num_train": num_train, "num_validation": 64})})


def tiny_space() -> SearchSpace:
    """The embedded mechanisms on a small trunk that is trained for a moment."""
    space = load_space("cued_digits")
    return space.model_copy(
        update={
            "trunk": space.trunk.model_copy(update={"width": 8}),
            "data": space.data.model_copy(update={"name": "cluttered_digits", "num_train": 256, "num_validation": 64}),
            "proxy": space.proxy.model_copy(update={"epochs": 1}),
        }
    )


def fake_search(budget: int, workers: int, every: int) -> Timeline:
    """Search with a trainer that answers at once."""
    space = embedded_space()
    timeline = Timeline(every)
    trainer = TableTrainer(load_dataset(space.data).task)
    with tempfile.TemporaryDirectory() as folder:
        Search(space, run=Path(folder) / "run", training=trainer).optimize(
            n_trials=budget, confirm=0, callbacks=[timeline], execution=Local(workers=workers)
        )
    return timeline


def real_search(budget: int, every: int) -> Timeline:
    """Search with real training of tiny candidates in this process, by one thread."""
    timeline = Timeline(every)
    with tempfile.TemporaryDirectory() as folder:
        Search(tiny_space(), run=Path(folder) / "run").optimize(
            n_trials=budget, confirm=0, callbacks=[timeline], execution=Local(workers=1, threads=1)
        )
    return timeline


def apart(function: Callable[..., Any], *arguments: Any) -> Any:
    """The function's answer from a fresh process, whose memory holds nothing else."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as executor:
        return executor.submit(function, *arguments).result()


def beside_training(number: int, profiled: bool) -> float:
    """Mean seconds that a worker takes for a candidate beside training it, over ``number`` references after another one.

    They are those of counting and keeping the network and, if it is ``profiled``, of timing its steps.
    """
    space = embedded_space()
    settings = space.proxy.model_copy(update={"epochs": 1})
    numerics = choose_numerics(resolve_device("auto"), settings.precision)
    references = list(reference_genotypes(space, Encoding(space)).values())
    seconds = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        share_dataset(load_dataset(space.data), folder / "data")
        trainer = ProxyTrainer(settings, numerics, 1, folder / "data", folder / "trunks", folder / "weights", profiled=profiled)
        for genotype in references[: number + 1]:
            start = time.monotonic()
            trained = trainer(genotype, 0, lambda *_: None)
            seconds.append(time.monotonic() - start - trained.result.seconds)
    return mean(seconds[1:])


def training_seconds() -> float:
    """Mean seconds of training and validation of a candidate in the main job."""
    job = json.loads((RESULTS / "main_job.json").read_text())
    return float(job["training_seconds"] / job["trials"])


def row_at(timeline: Timeline, workers: int, trials: int, block: int, beside: float, training: float) -> dict[str, Any]:
    """Seconds per trial up to ``trials`` and over the last ``block``, and the share outside training."""
    mean_seconds = timeline.per_trial(1, trials)
    outside = workers * timeline.start + trials * (mean_seconds + beside)
    return {
        "workers": workers,
        "trials": trials,
        "seconds_per_trial": mean_seconds,
        "seconds_per_trial_of_the_last": timeline.per_trial(max(1, trials - block), trials),
        "share_outside_training": outside / (outside + trials * training),
        "coordinator_alone": mean_seconds / (mean_seconds + training),
        "goal": GOALS.get(trials),
    }


def memory_row(what: str, points: Points) -> dict[str, Any]:
    """How memory went."""
    return {"what": what, "first_mb": points[0][1], "last_mb": points[-1][1], "mb_per_1000_trials": slope(points), "mb": points}


def measure(checkpoints: Sequence[int], block: int, train: int, references: int) -> dict[str, Any]:
    """All of it; searches run one after the other, each in a process of its own."""
    budget = checkpoints[-1]
    training, beside = training_seconds(), apart(beside_training, references, True)
    rows, blocks, series = [], {}, {}
    for workers in WORKERS:
        timeline: Timeline = apart(fake_search, budget, workers, max(1, budget // 20))
        print(f"{budget} trials, {workers} workers: {timeline.ended[-1]:.1f} s", file=sys.stderr, flush=True)
        rows += [row_at(timeline, workers, trials, block, beside, training) for trials in checkpoints]
        ends = range(block, budget + 1, block)
        blocks[workers] = [timeline.per_trial(max(1, end - block), end) for end in ends]
        series[f"coordinator, {workers} worker{'s' * (workers > 1)}, a trainer that answers at once"] = timeline.rss
    if train:
        timeline = apart(real_search, train, max(1, train // 20))
        series[f"one process that trains {train} tiny candidates"] = timeline.rss
        if timeline.gpu:
            series["the same, GPU memory held"] = timeline.gpu
    return {
        "training_seconds_per_trial": training,
        "seconds_beside_training": beside,
        "seconds_without_profile": apart(beside_training, references, False),
        "rows": rows,
        "block": block,
        "seconds_per_trial_by_block": blocks,
        "memory": [memory_row(what, points) for what, points in series.items()],
    }


def table(results: dict[str, Any]) -> str:
    """For a person: time, its growth, memory."""
    block = results["block"]
    lines = [
        f"a candidate trains for {results['training_seconds_per_trial']:.2f} s (main_job.json); beside that it takes a worker "
        f"{results['seconds_beside_training']:.2f} s, {results['seconds_without_profile']:.2f} s without the step profile",
        f"{'workers':>8}{'trials':>8}{'s/trial':>10}{f'last {block}':>10}{'coordinator':>13}{'outside training':>18}   goal",
    ]
    for row in results["rows"]:
        goal = f"below {100 * row['goal']:.0f} %" if row["goal"] else "-"
        lines.append(
            f"{row['workers']:8}{row['trials']:8}{row['seconds_per_trial']:10.4f}{row['seconds_per_trial_of_the_last']:10.4f}"
            f"{100 * row['coordinator_alone']:11.2f} %{100 * row['share_outside_training']:16.2f} %   {goal}"
        )
    lines.append("coordinator: its seconds alone; outside training: also the workers' start and what they do beside training")
    for workers, seconds in results["seconds_per_trial_by_block"].items():
        lines.append(f"s/trial by {block} trials, {workers} workers: {' '.join(f'{value:.3f}' for value in seconds)}")
    lines.append("memory, goal: flat")
    for row in results["memory"]:
        growth = row["mb_per_1000_trials"]
        told = "too few trials for a slope" if growth is None else f"second half {growth:+.1f} MB per 1,000 trials"
        lines.append(f"  {row['what']}: {row['first_mb']:.0f} -> {row['last_mb']:.0f} MB, {told}")
    return "\n".join(lines)


def main() -> None:
    """Measure, print."""
    parser = make_parser(__doc__.splitlines()[0])
    parser.add_argument("--train", type=int, help="tiny candidates that are really trained (default 200, or 5 with --quick)")
    chosen = parser.parse_args()
    quick = chosen.quick
    train = (5 if quick else 200) if chosen.train is None else chosen.train
    results = measure(QUICK_CHECKPOINTS if quick else CHECKPOINTS, 25 if quick else 100, train, 2 if quick else 7)
    present(chosen, results["rows"][-1]["share_outside_training"], table(results), **results)


if __name__ == "__main__":
    main()
