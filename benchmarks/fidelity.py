"""What each lever of the proxy does to its fidelity, and what it costs in time.

Trains 12 placements of the embedded task (references, single stages) with paired seeds: by the embedded proxy without its
levers (plain), at four times its epochs, which is the truth here, and under each lever. A lever's fidelity is Spearman's
correlation between a run of one seed and the truth's mean. Its fidelity at equal time is what the mean of as many seeds as the
plain proxy's time pays for would reach, by the Spearman-Brown formula. Jobs that are done are kept in ``--folder`` and not
repeated. About 40 minutes on two cores.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from common import make_parser, present, replicate_all
from numpy.typing import NDArray

from attn_nas import Genotype, Placement
from attn_nas.data import load_dataset
from attn_nas.data.arrays import share_dataset
from attn_nas.execution.replicates import ReplicateFolder
from attn_nas.followups.audit import SCORES
from attn_nas.space.encoding import Encoding
from attn_nas.space.loading import load_space
from attn_nas.space.references import reference_genotypes
from attn_nas.space.schema import SearchSpace
from attn_nas.stats.rank_correlation import kendall, reliability, spearman
from attn_nas.stats.uncertainty import Estimate
from attn_nas.training import ProxyResult, choose_numerics
from attn_nas.training.protocol import Replicate
from attn_nas.training.trainer import ProxyTrainer

TRUTH, PLAIN = "4x epochs", "plain"
NO_LEVERS = {"initial_resolution": 1.0, "averaging": "none"}
TRUTH_SEEDS = range(100, 102)
COMBINED = ("accuracy", "validation loss", "margin")
OTHERS: dict[str, tuple[Placement | None, ...]] = {
    "se stage 1": (Placement("se", reduction=4), None, None),
    "sam stage 1": (Placement("sam", kernel_size=7), None, None),
    "cbam stage 2": (None, Placement("cbam", reduction=4, kernel_size=7), None),
    "se pre stages 2 and 3": (None, *(Placement("se", "pre", reduction=4),) * 2),
}


@dataclass(frozen=True)
class Lever:
    """Changes of the plain proxy, of the data and of the trunk."""

    proxy: Mapping[str, Any]
    num_validation: int = 4000
    width: int = 16


LEVERS = {
    PLAIN: Lever({}),
    "1 epoch": Lever({"epochs": 1}),
    "batch 128, lr 0.2": Lever({"batch_size": 128, "lr": 0.2}),
    "width 8": Lever({}, width=8),
    "16,000 validation images": Lever({}, num_validation=16000),
    "average: ema over half an epoch": Lever({"averaging": "ema"}),
    "resolution from a half": Lever({"initial_resolution": 0.5}),
    "resolution from a half, ema": Lever({"initial_resolution": 0.5, "averaging": "ema"}),
    "warm trunk, 1 epoch of 3": Lever({"warm_epochs": 1}),
    "warm trunk, 2 epochs of 3": Lever({"warm_epochs": 2}),
    "6 epochs": Lever({"epochs": 6}),
}


def candidates(space: SearchSpace, width: int) -> dict[str, Genotype]:
    """The placements by name, on a trunk of ``width``."""
    trunk = space.trunk.model_copy(update={"width": width})
    encoding = Encoding(space.model_copy(update={"trunk": trunk}))
    named = {name: Genotype(encoding.trunk, placements) for name, placements in OTHERS.items()}
    return {**reference_genotypes(space.model_copy(update={"trunk": trunk}), encoding), **named}


class Measurement:
    """Trains what is missing under ``folder`` and reads it back."""

    def __init__(self, space: SearchSpace, folder: Path) -> None:
        self._space = space
        self._folder = folder

    def results(self, name: str, lever: Lever, seeds: range) -> dict[str, list[ProxyResult]]:
        """By placement: a result for every seed."""
        named = candidates(self._space, lever.width)
        kept = ReplicateFolder(self._folder / name.replace(" ", "_"))
        replicates = [Replicate(genotype, seed) for seed in seeds for genotype in named.values()]
        if kept.missing(replicates):
            settings = self._space.proxy.model_copy(update={**NO_LEVERS, **lever.proxy})
            data = self._folder / f"data-{lever.num_validation}"
            share_dataset(load_dataset(self._space.data.model_copy(update={"num_validation": lever.num_validation})), data)
            trainer = ProxyTrainer(settings, choose_numerics("cpu", settings.precision), 1, data, self._folder / "trunks")
            replicate_all(trainer, replicates, kept)
        found = {name: [kept.get(Replicate(genotype, seed)) for seed in seeds] for name, genotype in named.items()}
        return {name: [trained.result for trained in row if trained] for name, row in found.items()}


def accuracy(result: ProxyResult) -> float:
    """The score that a search goes by."""
    return result.accuracy


def table(results: dict[str, list[ProxyResult]], score: Callable[[ProxyResult], float]) -> NDArray[np.float64]:
    """Scores ``(placements, seeds)``."""
    return np.array([[score(result) for result in row] for row in results.values()])


def mean_rank(tables: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Mean over ``tables`` of the ranks of placements within each seed, ``(placements, seeds)``."""
    return np.mean([scores.argsort(0).argsort(0) for scores in tables], axis=0)


def seconds(results: dict[str, list[ProxyResult]]) -> float:
    """Mean processor time of a training."""
    return float(np.mean([result.cpu_seconds for row in results.values() for result in row]))


def at_equal_time(correlation: float, repeats: Estimate, share: float) -> float:
    """Correlation of the mean of ``1 / share`` runs with the truth, from that of one run and its reliability."""
    one = max(repeats.value, 1e-3)
    runs = 1 / share
    return float(min(1.0, correlation * np.sqrt(runs / (1 + (runs - 1) * one))))


def main() -> None:
    """Train, summarise, print."""
    parser = make_parser(__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, help="where results are kept; a temporary one by default")
    parser.add_argument("--seeds", type=int, default=2, help="paired seeds of each lever")
    chosen = parser.parse_args()
    space, levers, seeds, truth_seeds = load_space("cued_digits"), LEVERS, range(chosen.seeds), TRUTH_SEEDS
    if chosen.quick:
        space = space.model_copy(update={"data": space.data.model_copy(update={"num_train": 1000})})
        levers = {name: LEVERS[name] for name in (PLAIN, "warm trunk, 2 epochs of 3")}
        seeds, truth_seeds = range(2), TRUTH_SEEDS[:1]
    with tempfile.TemporaryDirectory() as temporary:
        measurement = Measurement(space, chosen.folder or Path(temporary))
        truth = measurement.results(TRUTH, Lever({"epochs": 4 * space.proxy.epochs}), truth_seeds)
        trained = {name: measurement.results(name, lever, seeds) for name, lever in levers.items()}
    present(chosen, **summary(trained, truth))


def summary(trained: dict[str, dict[str, list[ProxyResult]]], truth: dict[str, list[ProxyResult]]) -> dict[str, Any]:
    """The document and its text."""
    long = table(truth, accuracy)
    plain = trained[PLAIN]
    rows: list[dict[str, Any]] = []
    lines = [f"{'lever':34}{'seconds':>8}{'reliability':>22}{'Spearman':>22}{'of mean':>22}{'Kendall':>9}{'equal time':>12}"]
    for name, results in trained.items():
        scores = table(results, accuracy)
        repeats, agrees = reliability(scores), spearman(scores.mean(1), long.mean(1))
        single = spearman(scores, long.mean(1))
        row = {
            "lever": name,
            "seconds": seconds(results),
            "reliability": repeats.to_dict(),
            "spearman_of_one_run": single.to_dict(),
            "spearman_of_mean": agrees.to_dict(),
            "kendall_of_mean": kendall(scores.mean(1), long.mean(1)).to_dict(),
            "spearman_at_equal_time": at_equal_time(single.value, repeats, seconds(results) / seconds(plain)),
            "accuracies": {placement: scores[index].tolist() for index, placement in enumerate(results)},
        }
        rows.append(row)
        lines.append(
            f"{name:34}{row['seconds']:8.1f}{repeats!s:>22}{single!s:>22}{agrees!s:>22}"
            f"{row['kendall_of_mean']['value']:9.2f}{row['spearman_at_equal_time']:12.2f}"
        )
    by_score = {}
    lines.append(f"\n{'score of the plain run':34}{'reliability':>30}{'Spearman':>22}")
    by_name = {name: table(plain, score) for name, score in {"accuracy": accuracy, **SCORES}.items()}
    by_name["accuracy, loss and margin, mean rank"] = mean_rank([by_name[name] for name in COMBINED])
    for name, scores in by_name.items():
        repeats, agrees = reliability(scores), spearman(scores, long.mean(1))
        by_score[name] = {"reliability": repeats.to_dict(), "spearman_of_one_run": agrees.to_dict()}
        lines.append(f"{name:34}{repeats!s:>30}{agrees!s:>22}")
    return {
        "headline": rows[0]["spearman_of_one_run"]["value"],
        "text": "\n".join(lines),
        "levers": rows,
        "scores": by_score,
        "truth": {placement: long[index].tolist() for index, placement in enumerate(truth)},
        "truth_reliability": reliability(long).to_dict(),
    }


if __name__ == "__main__":
    main()
