"""A search on images that this program makes, given to `Search` as Datasets of torch.

In full it takes some minutes on two cores: ``python examples/own_dataset.py``. With the environment variable
``ATTN_NAS_EXAMPLE=toy`` it takes seconds, and its figures mean nothing.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import Dataset

import attn_nas as an

TOY = os.environ.get("ATTN_NAS_EXAMPLE") == "toy"


class Rings(Dataset[tuple[Tensor, int]]):
    """Rings, discs and crosses at random places, in noise: images ``(1, 24, 24)`` of floats."""

    classes = ("ring", "disc", "cross")

    def __init__(self, number: int, seed: int) -> None:
        noise = torch.Generator().manual_seed(seed)
        self.labels = torch.randint(3, (number,), generator=noise)
        centre = 6 + 12 * torch.rand(number, 2, 1, 1, generator=noise)
        grid = torch.arange(24.0)
        rows, columns = grid[None, :, None] - centre[:, 0], grid[None, None] - centre[:, 1]
        radius = (rows**2 + columns**2).sqrt()
        shapes = torch.stack(
            [(radius - 4).abs() < 1, radius < 4, (torch.minimum(rows.abs(), columns.abs()) < 1) & (radius < 5)]
        )
        drawn = shapes[self.labels, torch.arange(number)].float()
        self.images = drawn[:, None] + 0.8 * torch.randn(number, 1, 24, 24, generator=noise)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.images[index], int(self.labels[index])


def main(run: str) -> None:
    """Search, print the front, export its most accurate network, and go on from the run folder alone."""
    train, validation, test = (Rings(number, seed) for seed, number in enumerate((200, 80, 40) if TOY else (4000, 1500, 1500)))
    space = an.SearchSpace(
        trunk={"name": "cifar_resnet", "depth": 8, "width": 8},
        mechanisms=["se", "eca", "cbam"],
        max_flops="+10%",
        proxy={"epochs": 1 if TOY else 8, "batch_size": 40, "lr": 0.1},
    )
    search = an.Search(space, data=an.OwnData(train, validation, test, augment={"crop": 2, "mirror": True}), run=run)
    search.optimize(n_trials=2 if TOY else 30, confirm=0 if TOY else 1, execution=an.Local(workers=1 if TOY else None))
    print(search.run.front)
    search.run.front[-1].export(Path(run) / "best")

    more = an.Search.load(run)  # the Datasets are not needed: the run has kept their images
    more.optimize(n_trials=3 if TOY else 40, confirm=0 if TOY else 1, execution=an.Local(workers=1 if TOY else None))
    print(f"{len(more.run.candidates)} candidates in {run}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "runs/own_dataset")
