"""What starting at the identity changes in a short proxy run: each mechanism everywhere, with and without ``identity_init``.

Paired seeds at the default proxy of the embedded task: the same trunk, data order and augmentation, so that the difference
of two runs is the start of the mechanism alone. Prints the mean difference in accuracy after every epoch with its standard
error over seeds.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from common import learning_curves, options, present

from attn_nas.attention.catalog import get_mechanism
from attn_nas.data import load_dataset
from attn_nas.data.arrays import share_dataset
from attn_nas.space.genotype import Genotype, Placement
from attn_nas.space.loading import load_space
from attn_nas.space.trunks import Trunk

MECHANISMS = ("se", "eca", "sam", "cbam", "coord", "ela", "triplet", "lsk")


def everywhere(trunk: Trunk, name: str, identity_init: bool) -> Genotype:
    """The trunk with a mechanism, as in its paper, in every block."""
    mechanism = get_mechanism(name)
    placements = [
        Placement(name, **vars(mechanism.typical_at(block.out_channels)), identity_init=identity_init) for block in trunk.blocks
    ]
    return Genotype(trunk, tuple(placements))


def main() -> None:
    """Train, compare, print."""
    chosen = options(__doc__.splitlines()[0])
    space = load_space("cued_digits")
    names: tuple[str, ...] = MECHANISMS
    seeds, proxy = 4, space.proxy
    if chosen.quick:
        names, seeds = ("cbam", "coord"), 2
        proxy = proxy.model_copy(update={"epochs": 1})
        space = space.model_copy(update={"data": space.data.model_copy(update={"num_train": 3000, "num_validation": 1000})})
    trunk = space.trunk.trunk()
    genotypes = {f"{name} {start}": everywhere(trunk, name, start == "one") for name in names for start in ("published", "one")}
    with tempfile.TemporaryDirectory() as temporary:
        share_dataset(load_dataset(space.data), Path(temporary) / "data")
        curves = learning_curves(Path(temporary), proxy, genotypes, range(seeds))
    rows = []
    lines = [f"{'mechanism':12}{'scale at start':>15}   accuracy published -> from one, difference +- standard error, by epoch"]
    for index, name in enumerate(names):
        published, one = curves[2 * index], curves[2 * index + 1]
        difference = one - published
        error = difference.std(0, ddof=1) / np.sqrt(seeds)
        rows.append(
            {
                "mechanism": name,
                "gate_scale": get_mechanism(name).gate_scale,
                "published": published.tolist(),
                "from_one": one.tolist(),
                "difference": difference.mean(0).tolist(),
                "standard_error": error.tolist(),
            }
        )
        epochs = "   ".join(
            f"{100 * a:.2f} -> {100 * b:.2f} ({100 * d:+.2f} +- {100 * e:.2f})"
            for a, b, d, e in zip(published.mean(0), one.mean(0), difference.mean(0), error, strict=True)
        )
        lines.append(f"{name:12}{get_mechanism(name).gate_scale:15.2f}   {epochs}")
    headline = float(np.mean([row["difference"][-1] for row in rows]))
    lines.append(f"mean difference after the last epoch: {100 * headline:+.2f} points")
    present(chosen, headline, "\n".join(lines), seeds=seeds, mechanisms=rows)


if __name__ == "__main__":
    main()
