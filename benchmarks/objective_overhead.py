"""What the door for training loops of users costs: our own training, and the same training as an objective, in turns.

The objective does exactly the work of our own training: it builds the network again, trains it by the same recipe on the same
data, and reports every epoch. Both trainers count the network and write its weights. So the difference is what the objective
adds: building the network a second time, seeding, reports. Pairs of trainings of one network alternate in this process; the
seconds of the processor are compared, which other programs on the machine disturb least.
"""

from __future__ import annotations

import tempfile
import time
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch
from common import options, present
from torch import nn

from attn_nas.data import load_dataset
from attn_nas.data.arrays import share_dataset
from attn_nas.data.dataset import Dataset
from attn_nas.space.encoding import Encoding
from attn_nas.space.loading import load_space
from attn_nas.space.metric import ACCURACY
from attn_nas.space.references import reference_genotypes
from attn_nas.space.schema import ProxySettings
from attn_nas.training import Numerics, choose_numerics, train_proxy
from attn_nas.training.objective import ObjectiveSource, ObjectiveTrainer, Trial
from attn_nas.training.protocol import Trainer
from attn_nas.training.trainer import ProxyTrainer

GOAL = 0.03
_PAIRS, _FEWER = 12, 3


def objective(model: nn.Module, trial: Trial, *, proxy: ProxySettings, dataset: Dataset, numerics: Numerics) -> float:
    """Our own training as a user would write it, and its weights in the network that was given."""
    result, trained = train_proxy(
        trial.genotype, proxy, trial.seed, dataset, numerics, lambda epoch, accuracy: trial.report(accuracy, epoch - 1)
    )
    model.load_state_dict(trained.state_dict())
    return result.accuracy


def seconds_of(trainer: Trainer, genotype: Any, seed: int) -> tuple[float, float, float]:
    """Seconds of the processor and of the clock that a training takes with all that is around it, and its accuracy."""
    began, cpu_began = time.perf_counter(), time.process_time()
    result = trainer(genotype, seed, lambda epoch, accuracy: None).result
    return time.process_time() - cpu_began, time.perf_counter() - began, result.accuracy


def main() -> None:
    """Train in turns, compare, print."""
    chosen = options(__doc__.splitlines()[0])
    space = load_space("cued_digits")
    pairs = _FEWER if chosen.quick else _PAIRS
    proxy = space.proxy.model_copy(update={"epochs": 1 if chosen.quick else 4})
    torch.set_num_threads(1)
    dataset, numerics = load_dataset(space.data), choose_numerics("cpu", proxy.precision)
    genotypes = [*reference_genotypes(space, Encoding(space)).values()]
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        share_dataset(dataset, folder / "data")
        ours = ProxyTrainer(proxy, numerics, 1, folder / "data", folder / "trunks", folder / "ours")
        work = partial(objective, proxy=proxy, dataset=dataset, numerics=numerics)
        theirs = ObjectiveTrainer(
            ObjectiveSource(None, work), ACCURACY, dataset.task, proxy.epochs, numerics, 1, folder / "theirs"
        )
        ours(genotypes[0], 0, lambda epoch, accuracy: None)  # the first training of a process loads libraries
        for pair in range(pairs):
            genotype = genotypes[pair % len(genotypes)]
            trainers = (("ours", ours), ("objective", theirs))
            found = {name: seconds_of(each, genotype, pair) for name, each in (trainers if pair % 2 else trainers[::-1])}
            assert found["ours"][2] == found["objective"][2]
            cpu, wall = ({name: each[index] for name, each in found.items()} for index in (0, 1))
            rows.append({"genotype": str(genotype), "seed": pair, "cpu_seconds": cpu, "wall_seconds": wall})
    ratios = [row["cpu_seconds"]["objective"] / row["cpu_seconds"]["ours"] - 1 for row in rows]
    overhead = median(ratios)
    lines = [f"{'pair':>4} {'ours, s':>9} {'objective, s':>13} {'more':>8}"]
    for row, ratio in zip(rows, ratios, strict=True):
        cpu = row["cpu_seconds"]
        lines.append(f"{row['seed']:>4} {cpu['ours']:9.2f} {cpu['objective']:13.2f} {ratio:+8.1%}")
    lines.append(f"median: {overhead:+.2%} of the processor's time; the goal is less than {GOAL:.0%}")
    summary = {
        "pairs": len(rows),
        "epochs": proxy.epochs,
        "ours": median(row["cpu_seconds"]["ours"] for row in rows),
        "objective": median(row["cpu_seconds"]["objective"] for row in rows),
        "overhead": overhead,
        "smallest": min(ratios),
        "largest": max(ratios),
        "goal": GOAL,
    }
    present(chosen, overhead, "\n".join(lines), rows=[summary], trainings=rows)


if __name__ == "__main__":
    main()
