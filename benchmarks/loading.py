"""Images per second that are loaded from files: this package, cold and from its cache, beside torchvision.

Both resize to the same uint8: torchvision's ImageFolder with ``Resize``, ``CenterCrop`` and ``PILToTensor`` in a DataLoader of
two workers. Files are in the page cache of the system for both, since each is run after a first reading of all files.

Without ``--data`` 60,000 JPEGs of 32 x 32 pixels in ten folders are written first (4,000 with ``--quick``).
"""

from __future__ import annotations

import importlib
import os
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import make_parser, present
from PIL import Image

from attn_nas.data.decoding import decode
from attn_nas.data.listing import list_images
from attn_nas.data.rules import DataRules
from attn_nas.data.torchvision_import import torchvision_datasets

WORKERS, BATCH, SIZE = 2, 256, 32


def torchvision_images(folder: Path, size: int) -> int:
    """Load all images with torchvision; returns their number."""
    datasets = torchvision_datasets()
    transforms = importlib.import_module("torchvision.transforms")
    steps = [transforms.Resize(size), transforms.CenterCrop(size), transforms.PILToTensor()]
    images = datasets.ImageFolder(folder, transforms.Compose(steps))
    loaded = torch.cat([pixels for pixels, _ in torch.utils.data.DataLoader(images, BATCH, num_workers=WORKERS)])
    assert loaded.dtype == torch.uint8
    return len(loaded)


def own_images(folder: Path, size: int) -> int:
    """Load all images with this package, from listing the files to the tensor; returns their number."""
    samples = list_images(folder).samples
    loaded = decode(samples, size, DataRules().decoding).split
    return len(loaded)


def rates(load: Callable[[Path, int], int], folder: Path, size: int) -> tuple[float, float]:
    """Images per second, and per second of processor time of this process and those that it started."""
    began, used = time.perf_counter(), _processor_seconds()
    number = load(folder, size)
    return number / (time.perf_counter() - began), number / (_processor_seconds() - used)


def _processor_seconds() -> float:
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in usage)


def written(folder: Path, number: int) -> Path:
    """Write so many JPEGs of smooth noise in ten class folders."""
    noise = np.random.default_rng(0)
    for label in range(10):
        (folder / f"class {label}").mkdir()
    for index in range(number):
        coarse = Image.fromarray(noise.integers(256, size=(8, 8, 3), dtype=np.uint8))
        coarse.resize((SIZE, SIZE), Image.Resampling.BICUBIC).save(
            folder / f"class {index % 10}" / f"{index:05}.jpg", quality=90
        )
    return folder


def measured(folder: Path, size: int, rounds: int) -> list[dict[str, Any]]:
    """Rates of each round, by what loads the images; the files are in the page cache of the system."""
    number = len([Path(path).read_bytes() for path, _ in list_images(folder).samples])
    found = []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as cache:
            os.environ["XDG_CACHE_HOME"] = cache
            for name, load in (("torchvision", torchvision_images), ("cold", own_images), ("cached", own_images)):
                wall, processor = rates(load, folder, size)
                found.append({"loader": name, "images": number, "per_second": wall, "per_processor_second": processor})
    return found


def summary(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The best round of each loader, with its ratio to torchvision."""
    names = dict.fromkeys(row["loader"] for row in rows)
    best = {name: max((row for row in rows if row["loader"] == name), key=lambda row: row["per_second"]) for name in names}
    base = best["torchvision"]
    fields = ("per_second", "per_processor_second")
    return [{**row, **{f"{field}_ratio": row[field] / base[field] for field in fields}} for row in best.values()]


def main() -> None:
    """Measure and print."""
    parser = make_parser(__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder with one folder of images per class")
    parser.add_argument("--size", type=int, default=SIZE, help="side of the images in pixels")
    parser.add_argument("--rounds", type=int, default=3, help="how often each loads them; the best counts")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder = chosen.data or written(Path(made), 4000 if chosen.quick else 60_000)
        rows = measured(folder, chosen.size, 1 if chosen.quick else chosen.rounds)
    found = summary(rows)
    lines = [f"{rows[0]['images']:,} JPEGs to {chosen.size} x {chosen.size}, torchvision with {WORKERS} workers"]
    lines += [
        f"{row['loader']:12} {row['per_second']:10,.0f} images per second ({row['per_second_ratio']:.1f} x), "
        f"{row['per_processor_second']:8,.0f} per second of the processor ({row['per_processor_second_ratio']:.1f} x)"
        for row in found
    ]
    cold = next(row for row in found if row["loader"] == "cold")
    present(chosen, cold["per_second_ratio"], "\n".join(lines), size=chosen.size, workers=WORKERS, rows=rows, best=found)


if __name__ == "__main__":
    main()
