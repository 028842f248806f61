"""Where does attention go in a small U-Net that segments street scenes?

    python unet_camvid.py CAMVID_FOLDER

searches placements of scSE, SE and CBAM for CamVid (Brostow et al., 2008): 11 classes, masks with the label 11 for pixels
that count for nothing. ``CAMVID_FOLDER`` has ``train``, ``val`` and ``test``, each with ``images/NAME.jpg`` and
``labels/NAME.png``. The search scores mean IoU on ``val`` after a few epochs. Then the pick, the usual placements, the plain
U-Net and the next wider one are trained at full length with three seeds, and scored on ``test``. Trainings that are done are
kept in the folder of the run, and are not repeated. With ``--toy`` everything is made small, on images of noise if the folder
is missing.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

import attn_nas as an

CLASSES, VOID = 11, 11
SIZE = (96, 128)
BATCH = 8
HALF = torch.autocast("cpu", torch.bfloat16, enabled="AVX512" in torch.backends.cpu.get_cpu_capability())
"""bfloat16 where the processor multiplies it fast."""
FOLDER, TOY = "CAMVID_FOLDER", "CAMVID_TOY"
"""Environment variables with the place of the images, which worker processes have too."""


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut."""

    def __init__(self, in_channels: int, channels: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.shortcut = nn.Sequential()
        if stride > 1 or in_channels != channels:
            self.shortcut = nn.Sequential(nn.Conv2d(in_channels, channels, 1, stride, bias=False), nn.BatchNorm2d(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``(B, in_channels, H, W)`` to ``(B, channels, H / stride, W / stride)``."""
        out = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(out)) + self.shortcut(x))


class UNet(nn.Module):
    """A U-Net whose encoder halves the image four times and whose decoder has a block at each size."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        widths = [width, 2 * width, 4 * width, 8 * width]
        self.stem = nn.Sequential(nn.Conv2d(3, width, 3, 2, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU())
        self.encoder = nn.ModuleList(
            ResidualBlock(before, after, 2 if level else 1)
            for level, (before, after) in enumerate(zip([width, *widths[:-1]], widths, strict=True))
        )
        self.decoder = nn.ModuleList(
            ResidualBlock(below + skip, skip) for below, skip in zip(widths[:0:-1], widths[-2::-1], strict=True)
        )
        self.head = nn.Conv2d(width, CLASSES, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Maps images ``(B, 3, H, W)`` to logits ``(B, 11, H, W)``."""
        height, width = x.shape[2:]
        x = self.stem(x)
        skips = []
        for block in self.encoder:
            x = block(x)
            skips.append(x)
        skips.pop()
        for block in self.decoder:
            skip = skips.pop()
            x = block(torch.cat([F.interpolate(x, size=skip.shape[2:], mode="nearest"), skip], dim=1))
        return F.interpolate(self.head(x), size=(height, width), mode="bilinear", align_corners=False)


def make_unet(width: int = 16) -> UNet:
    """The network that receives attention."""
    return UNet(width)


@cache
def images_of(split: str) -> tuple[Tensor, Tensor]:
    """Images ``(N, 3, 96, 128)`` and masks ``(N, 96, 128)``, both uint8."""
    folder, toy = Path(os.environ[FOLDER]), TOY in os.environ
    if toy and not folder.is_dir():
        generator = torch.Generator().manual_seed(len(split))
        images = torch.randint(0, 256, (8, 3, *SIZE), generator=generator, dtype=torch.uint8)
        return images, (images[:, 0] // 24).clamp(max=VOID)
    files = sorted((folder / split / "images").iterdir())[: 8 if toy else None]
    height, width = SIZE
    images, masks = [], []
    for file in files:
        mask = Image.open(folder / split / "labels" / f"{file.stem}.png")
        images.append(np.array(Image.open(file).convert("RGB").resize((width, height), Image.Resampling.BILINEAR)))
        masks.append(np.array(mask.resize((width, height), Image.Resampling.NEAREST)))
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous(), torch.from_numpy(np.stack(masks))


def inputs(images: Tensor) -> Tensor:
    """Bytes as numbers around zero, in the memory format that is fast for convolutions."""
    return (images.float() / 127.5 - 1).to(memory_format=torch.channels_last)


@torch.no_grad()
def mean_iou(model: nn.Module, split: str) -> float:
    """Mean over the classes of intersection over union, over all pixels of a split; void pixels do not count."""
    model.eval()
    counts = torch.zeros(CLASSES, CLASSES, dtype=torch.int64)
    images, masks = images_of(split)
    for number in range(0, len(images), BATCH):
        with HALF:
            found = model(inputs(images[number : number + BATCH])).argmax(1)
        truth = masks[number : number + BATCH].long()
        kept = truth != VOID
        counts += torch.bincount(truth[kept] * CLASSES + found[kept], minlength=CLASSES**2).view(CLASSES, CLASSES)
    both = counts.diagonal().double()
    union = counts.sum(0) + counts.sum(1) - both
    return float((both[union > 0] / union[union > 0]).mean())


def train(model: nn.Module, epochs: int, seed: int, after: Callable[[int], None] = lambda epoch: None) -> None:
    """AdamW under a one-cycle schedule, half of the images mirrored; ``after`` is called after each epoch, counted from 0."""
    images, masks = images_of("train")
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.01)
    steps = len(images) // BATCH
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.005, total_steps=epochs * steps)
    for epoch in range(epochs):
        model.train()
        for batch in torch.randperm(len(images), generator=generator)[: steps * BATCH].view(steps, BATCH):
            chosen, truth = images[batch], masks[batch].long()
            mirrored = torch.rand(BATCH, generator=generator) < 0.5
            chosen[mirrored], truth[mirrored] = chosen[mirrored].flip(3), truth[mirrored].flip(2)
            with HALF:
                logits = model(inputs(chosen))
            loss = F.cross_entropy(logits.float(), truth, ignore_index=VOID)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        after(epoch)


def objective(model: nn.Module, trial: Any) -> float:
    """Train a candidate, and return its mean IoU on the validation split."""
    model = model.to(memory_format=torch.channels_last)
    scores = []

    def report(epoch: int) -> None:
        scores.append(mean_iou(model, "val"))
        trial.report(scores[-1], epoch)

    train(model, trial.epochs, trial.seed, report)
    return scores[-1]


def search(run: Path, trials: int, epochs: int, workers: int | None) -> an.Run:
    """The search: placements of three mechanisms in the seven blocks, with at most 5 % more FLOPs."""
    if (run / "study.db").exists():
        search = an.Search.load(run)
    else:
        space = an.SearchSpace(
            model=make_unet,
            example=(3, *SIZE),
            sites=["encoder.*", "decoder.*"],
            mechanisms=["scse", "se", "cbam"],
            max_flops="+5%",
        )
        search = an.Search(space, objective=objective, metric="mean_iou", training={"epochs": epochs}, run=run)
    return search.optimize(n_trials=trials, execution=an.Local(workers=workers))


def contestants(run: an.Run) -> dict[str, Callable[[int], nn.Module]]:
    """What is trained at full length: makers of networks from a seed, by name."""
    usual = {each.record.reference: each for each in run.references}
    chosen = {f"pick: {run.pick.name}": run.pick} if run.pick else {}
    chosen |= {name: usual[name] for name in ("scse everywhere", "se everywhere", "none") if name in usual}

    def placed(candidate: Any) -> Callable[[int], nn.Module]:
        return lambda seed: an.build_model(candidate.record.genotype, CLASSES, seed=seed)

    def wider(seed: int) -> nn.Module:
        torch.manual_seed(seed)
        return make_unet(18)

    return {name: placed(each) for name, each in chosen.items()} | {"none, width 18": wider}


def full_training(run: an.Run, epochs: int, seeds: Sequence[int]) -> dict[str, list[float]]:
    """Mean IoU on the test split of each contestant with each seed; those in the run's folder are not trained again."""
    kept = Path(run.folder.path) / "full_training.json"
    found: dict[str, dict[str, float]] = json.loads(kept.read_text()) if kept.exists() else {}
    for seed in seeds:
        for name, make in contestants(run).items():
            done = found.setdefault(name, {})
            if str(seed) not in done:
                model = make(seed).to(memory_format=torch.channels_last)
                train(model, epochs, seed)
                done[str(seed)] = mean_iou(model, "test")
                kept.write_text(json.dumps(found, indent=1))
                print(f"{name}, seed {seed}: {100 * done[str(seed)]:.2f} %", flush=True)
    return {name: [done[str(seed)] for seed in seeds] for name, done in found.items()}


def main() -> None:
    """Search, train at full length, print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?", default=Path("camvid"))
    parser.add_argument("--run", type=Path, default=Path("runs/unet_camvid"))
    parser.add_argument("--trials", type=int, default=30)
    parser.add_argument("--epochs", type=int, default=8, help="epochs of a candidate")
    parser.add_argument("--full", type=int, default=30, help="epochs of the full training")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--workers", type=int)
    parser.add_argument("--toy", action="store_true")
    chosen = parser.parse_args()
    if chosen.toy:
        os.environ[TOY] = "1"
        chosen.trials, chosen.epochs, chosen.full, chosen.seeds = 5, 1, 1, 1
    os.environ[FOLDER] = str(chosen.folder.resolve())
    run = search(chosen.run, chosen.trials, chosen.epochs, chosen.workers)
    print(run.verdict.text)
    for name, scores in full_training(run, chosen.full, range(100, 100 + chosen.seeds)).items():
        spread = f" ± {100 * stdev(scores):.2f}" if len(scores) > 1 else ""
        print(f"{100 * mean(scores):6.2f}{spread}  {name}")


if __name__ == "__main__":
    main()
