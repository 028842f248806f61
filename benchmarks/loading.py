"""Images per second that are loaded from files: this package, cold and from its cache, beside torchvision.

Both resize to the same uint8: torchvision's ImageFolder with ``Resize``, ``CenterCrop`` and ``PILToTensor`` in a DataLoader of
two workers. Files are in the page cache of the system for both, since each is run after a first reading of all files.

Without ``--data`` 60,000 JPEGs of 32 x 32 pixels in ten folders are written first (4,000 with ``--quick``).
"""

from __future__ import annotations

import importlib
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from common import make_parser, present
from PIL import Image

from attn_nas.data.decoding import decode
from attn_nas.data.listing import list_images
from attn_nas.data.rules import DataRules
from attn_nas.data.torchvision_import import torchvision_datasets

WORKERS, BATCH, SIZE = 2, 256, 32


def torchvision_rate(folder: Path, size: int) -> tuple[float, int]:
    """Images per second of torchvision, and their number."""
    datasets = torchvision_datasets()
    transforms = importlib.import_module("torchvision.transforms")
    began = time.perf_counter()
    steps = [transforms.Resize(size), transforms.CenterCrop(size), transforms.PILToTensor()]
    images = datasets.ImageFolder(folder, transforms.Compose(steps))
    loaded = torch.cat([pixels for pixels, _ in torch.utils.data.DataLoader(images, BATCH, num_workers=WORKERS)])
    assert loaded.dtype == torch.uint8
    return len(loaded) / (time.perf_counter() - began), len(loaded)


def own_rate(folder: Path, size: int) -> float:
    """Images per second of this package, from listing the files to the tensor."""
    began = time.perf_counter()
    samples = list_images(folder).samples
    loaded = decode(samples, size, DataRules().decoding).split
    return len(loaded) / (time.perf_counter() - began)


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


def measured(folder: Path, size: int, rounds: int) -> tuple[dict[str, list[float]], int]:
    """Images per second of each round by what loads them, and the number of images."""
    for path, _ in list_images(folder).samples:
        path.read_bytes()
    rates: dict[str, list[float]] = {"torchvision": [], "cold": [], "cached": []}
    number = 0
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as cache:
            os.environ["XDG_CACHE_HOME"] = cache
            rate, number = torchvision_rate(folder, size)
            rates["torchvision"].append(rate)
            rates["cold"].append(own_rate(folder, size))
            rates["cached"].append(own_rate(folder, size))
    return rates, number


def main() -> None:
    """Measure and print."""
    parser = make_parser(__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder with one folder of images per class")
    parser.add_argument("--size", type=int, default=SIZE, help="side of the images in pixels")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder = chosen.data or written(Path(made), 4000 if chosen.quick else 60_000)
        rates, number = measured(folder, chosen.size, 1 if chosen.quick else 3)
    best = {name: max(each) for name, each in rates.items()}
    ratios = {name: best[name] / best["torchvision"] for name in ("cold", "cached")}
    lines = [f"{number:,} JPEGs to {chosen.size} x {chosen.size}, torchvision with {WORKERS} workers"]
    lines += [
        f"{name:12} {rate:10,.0f} images per second{f'  {ratios[name]:6.1f} x torchvision' if name in ratios else ''}"
        for name, rate in best.items()
    ]
    present(
        chosen, ratios["cold"], "\n".join(lines), images=number, size=chosen.size, workers=WORKERS, rates=rates, ratios=ratios
    )


if __name__ == "__main__":
    main()
