"""Is placement a signal on the embedded task, and does the short proxy rank like long training?

Trains 16 placements (references, single stages, mixtures) with 4 paired seeds at the default proxy, and with another
seed at four times its epochs. Prints the share of the variance of accuracy that lies between placements (one-way intraclass
correlation of single runs) and the rank agreement of the two trainings. About 20 minutes on two cores.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from common import learning_curves, options, present
from numpy.typing import NDArray

from attn_nas import Genotype, Placement, load_space
from attn_nas.data import load_dataset
from attn_nas.space.encoding import Encoding
from attn_nas.space.references import reference_genotypes
from attn_nas.space.schema import SearchSpace
from attn_nas.study.trainer import share_dataset

LONGER = 4
SE, ECA = Placement("se", reduction=4), Placement("eca", kernel_size="adaptive")
SAM, CBAM = Placement("sam", kernel_size=7), Placement("cbam", reduction=4, kernel_size=7)
GSOP, CAM = Placement("gsop", reduction=2), Placement("cam_gate", reduction=4)
OTHERS = {
    "sk everywhere": (Placement("sk", "replace", reduction=4),) * 3,
    "se stage 1": (SE, None, None),
    "eca stage 1": (ECA, None, None),
    "sam stage 1": (SAM, None, None),
    "gsop stage 1": (GSOP, None, None),
    "cbam stage 2": (None, CBAM, None),
    "sam inner, se, gsop": (Placement("sam", "inner", kernel_size=7), SE, GSOP),
    "se pre stages 2 and 3": (None, Placement("se", "pre", reduction=4), Placement("se", "pre", reduction=4)),
}


def intraclass_correlation(accuracy: NDArray[np.float64]) -> float:
    """Share of the variance of single runs between the rows of ``accuracy`` ``(placements, seeds)``: ICC(1, 1)."""
    count = accuracy.shape[1]
    between = count * accuracy.mean(1).var(ddof=1)
    within = accuracy.var(1, ddof=1).mean()
    return float((between - within) / (between + (count - 1) * within))


def spearman(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Rank correlation, ties at their mean rank."""

    def ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.array([(values < v).sum() + ((values == v).sum() - 1) / 2 for v in values])

    return float(np.corrcoef(ranks(a), ranks(b))[0, 1])


def candidates(space: SearchSpace) -> dict[str, Genotype]:
    """The placements to be trained, by name."""
    encoding = Encoding(space)
    named = {name: Genotype(encoding.trunk, placements) for name, placements in OTHERS.items()}
    return {**reference_genotypes(space, encoding), **named}


def main() -> None:
    """Train, summarise, print."""
    chosen = options(__doc__.splitlines()[0])
    space = load_space("cued_digits")
    genotypes, seeds = candidates(space), 4
    proxy = space.proxy
    if chosen.quick:
        names = ("none", "se everywhere", "se stage 1")
        genotypes, seeds = {name: genotypes[name] for name in names}, 2
        proxy = proxy.model_copy(update={"epochs": 1})
        space = space.model_copy(update={"data": space.data.model_copy(update={"num_train": 3000, "num_validation": 1000})})
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        share_dataset(load_dataset(space.data), folder / "data")
        curves = learning_curves(folder, proxy, genotypes, range(seeds))
        longer = proxy.model_copy(update={"epochs": LONGER * proxy.epochs})
        long_curves = learning_curves(folder, longer, genotypes, range(seeds, seeds + 1))
    short, long = curves[..., -1], long_curves[..., -1]
    share, agreement = intraclass_correlation(short), spearman(short.mean(1), long.mean(1))
    rows: list[dict[str, Any]] = []
    lines = [f"{'placement':24}{'proxy':>9}{'seed sd':>9}{'longer':>9}"]
    for index, (name, genotype) in enumerate(genotypes.items()):
        row = {
            "placement": name,
            "key": genotype.key,
            "mean": short[index].mean(),
            "seed_deviation": short[index].std(ddof=1),
            "longer_mean": long[index].mean(),
            "curves": curves[index].tolist(),
            "longer_curves": long_curves[index].tolist(),
        }
        rows.append(row)
        lines.append(f"{name:24}{row['mean']:9.4f}{row['seed_deviation']:9.4f}{row['longer_mean']:9.4f}")
    by_epoch = [intraclass_correlation(curves[..., epoch]) for epoch in range(curves.shape[2])]
    lines += [
        f"share of variance between placements {share:.3f} ({', '.join(f'{v:.3f}' for v in by_epoch)} after each epoch)",
        f"rank agreement with {LONGER} times the epochs (Spearman) {agreement:.3f}",
    ]
    present(chosen, share, "\n".join(lines), rank_agreement=agreement, share_by_epoch=by_epoch, seeds=seeds, placements=rows)


if __name__ == "__main__":
    main()
