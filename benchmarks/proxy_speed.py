"""Trained candidates per hour, ours beside a naive peer: equal networks, images and epochs, one machine, one run, in turns.

The peer (``naive_peer.py``) has one process with the library's default threads, and as many loader processes as make it
faster: none, or the two of its tutorial. Ours is the engine of a search with the workers that a search takes, step profile
included; what the coordinator takes beside it is in ``overhead.py``. What a process takes longer for its first candidate is
told apart, and so is the start of the workers. Each round times the peer and each variant of the engine on every candidate
once. The images are digits among fragments in files of CIFAR-10's format, which both sides read. Also: the accuracy of both
sides over seeds; the share that their training has of the multiply-adds of a large matrix product; the steps of one worker in
each precision and layout; and what compiling a candidate would take and save. Three quarters of an hour on two cores. Leave
OMP_NUM_THREADS alone.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median
from typing import TYPE_CHECKING, Any, Literal, cast
from unittest.mock import patch

import numpy as np
import torch
from common import options, present
from torch import nn

from attn_nas.cost import count_cost
from attn_nas.data import Dataset, load_dataset
from attn_nas.data.arrays import share_dataset
from attn_nas.data.torchvision_import import torchvision_datasets
from attn_nas.execution.gpu_packing import make_executor
from attn_nas.execution.jobs import Failed, Finished, Job, Message
from attn_nas.execution.local import Executor
from attn_nas.execution.resources import Resources
from attn_nas.models.build import build_model
from attn_nas.space.data_settings import DataSettings
from attn_nas.space.genotype import Genotype, Placement
from attn_nas.space.loading import load_space
from attn_nas.space.schema import ProxySettings
from attn_nas.space.task import Task
from attn_nas.space.trunks import Trunk
from attn_nas.training import Numerics, choose_numerics, measure_throughput
from attn_nas.training.device import has_bf16, resolve_device
from attn_nas.training.images import on_device, training_size
from attn_nas.training.step import TrainingStep
from attn_nas.training.trainer import ProxyTrainer

if TYPE_CHECKING:
    from naive_peer import NaivePeer

VARIANTS: dict[str, dict[str, object]] = {
    "plain": {"initial_resolution": 1.0, "averaging": "none"},
    "with levers": {"initial_resolution": 0.5, "averaging": "ema"},
}
"""Variants of the engine by name: what each changes in the proxy settings."""
NAIVE = "naive"
COMPARED = ("none", "se everywhere")
LOADERS = (0, 2)
LR = 0.1
_FIRST_SEED = 100
_WARM_SEED = 10_000

Run = tuple[str, int]
"""Name of a candidate, and seed."""


@dataclass(frozen=True)
class Extent:
    """How much is trained; the numbers of training images are whole batches."""

    train: int = 4096
    validation: int = 1000
    epochs: int = 5
    batch: int = 128
    rounds: int = 2
    seeds: int = 5
    step_batch: int = 128
    step_seconds: float = 3.0
    step_repeats: int = 3
    compiled: bool = True


@dataclass(frozen=True)
class Trained:
    """One training."""

    accuracy: float
    seconds: float


@dataclass(frozen=True)
class Round:
    """What one side did in one round: seconds of wall time, of the start before it, and of each candidate on all cores."""

    trained: int
    wall: float
    start: float
    seconds: dict[str, float]

    @property
    def per_hour(self) -> float:
        """Candidates per hour, the start left out."""
        return 3600 * self.trained / self.wall


def candidates(trunk: Trunk) -> dict[str, Genotype]:
    """The networks that both sides train, by name."""
    se, eca, sam = Placement("se", reduction=4), Placement("eca", kernel_size="adaptive"), Placement("sam", kernel_size=7)
    cbam, cam = Placement("cbam", reduction=4, kernel_size=7), Placement("cam_gate", reduction=4)
    by_stage: dict[str, tuple[Placement | None, ...]] = {
        "none": (None, None, None),
        "se everywhere": (se, se, se),
        "eca everywhere": (eca, eca, eca),
        "cbam everywhere": (cbam, cbam, cbam),
        "gsop last stage": (None, None, Placement("gsop", reduction=2)),
        "sam stage 1": (sam, None, None),
        "eca, se, se": (eca, se, se),
        "cam_gate everywhere": (cam, cam, cam),
    }
    return {name: Genotype(trunk, tuple(stages[b.stage] for b in trunk.blocks)) for name, stages in by_stage.items()}


def _pickled(path: Path, content: dict[str, Any]) -> str:
    """Write a pickle; returns its checksum."""
    data = pickle.dumps(content)
    path.write_bytes(data)
    return hashlib.md5(data).hexdigest()


@contextmanager
def cifar_files(root: Path, number: int) -> Iterator[None]:
    """Files in CIFAR-10's format with ``number`` training images under ``root``; torchvision accepts them meanwhile."""
    split = load_dataset(DataSettings(name="cluttered_digits", num_train=number, num_validation=10)).train
    pixels = split.images.numpy().repeat(2, axis=2).repeat(2, axis=3).reshape(number, -1)
    folder = root / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    files = []
    for index, part in enumerate(np.array_split(np.arange(number), 5), start=1):
        content = {"data": pixels[part], "labels": split.labels[part].tolist()}
        files.append([f"data_batch_{index}", _pickled(folder / f"data_batch_{index}", content)])
    loader = torchvision_datasets().CIFAR10
    meta = _pickled(folder / "batches.meta", {"label_names": [str(digit) for digit in range(10)]})
    with patch.multiple(loader, train_list=files, test_list=[], meta={**loader.meta, "md5": meta}):
        yield


def split_indices(root: Path, dataset: Dataset, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Where the training and the validation images of ``dataset`` lie in the files."""
    pool = torchvision_datasets().CIFAR10(root, train=True).data.transpose(0, 3, 1, 2)
    order = torch.randperm(len(pool), generator=torch.Generator().manual_seed(seed))
    validation, train = order.split([len(dataset.validation), len(dataset.train)])
    for split, where in ((dataset.train, train), (dataset.validation, validation)):
        assert np.array_equal(pool[where.numpy()], split.images.numpy())
    return train, validation


def matrix_rate(numerics: Numerics) -> float:
    """Multiply-adds per second of a large product of two matrices: of one thread, or of the GPU."""
    cuda = numerics.device == "cuda"
    side = 8192 if cuda else 2048
    dtype = torch.bfloat16 if numerics.precision == "bf16" else torch.float32
    a, b = (torch.randn(side, side, device=numerics.device).to(dtype) for _ in range(2))
    threads, allowed = torch.get_num_threads(), torch.get_float32_matmul_precision()
    torch.set_num_threads(1)
    # Convolutions on a GPU take TF32 where they are given fp32; so does the product that they are measured by.
    torch.set_float32_matmul_precision("high" if cuda else allowed)
    times = []
    for _ in range(7):
        start = time.perf_counter()
        torch.mm(a, b)
        if cuda:
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    torch.set_num_threads(threads)
    torch.set_float32_matmul_precision(allowed)
    return float(side**3 / median(times[1:]))


class Ours:
    """The engine of a search, in one variant, on ``named`` candidates."""

    def __init__(self, named: dict[str, Genotype], settings: ProxySettings, folder: Path, numerics: Numerics) -> None:
        self.resources = Resources.choose(numerics, len(named))
        data, weights = folder / "data", folder / "weights"
        self.trainer = ProxyTrainer(settings, numerics, self.resources.threads, data, folder / "trunks", weights, profiled=True)
        self.named = named
        self.workers = 0

    @contextmanager
    def executor(self) -> Iterator[Executor]:
        """The executor that a search would make."""
        executor = make_executor(self.trainer, self.resources, list(self.named.values()))
        self.workers = executor.workers
        try:
            yield executor
        finally:
            executor.close()

    def train(self, executor: Executor, runs: Sequence[Run]) -> list[Trained]:
        """Train all of them; returns accuracy and seconds of each."""
        found: dict[int, Trained] = {}
        begun: dict[int, float] = {}

        def handle(message: Message) -> None:
            if isinstance(message, Failed):
                raise RuntimeError(message.reason)
            if isinstance(message, Finished):
                accuracy, seconds = message.trained.result.accuracy, time.monotonic() - begun[message.number]
                found[message.number] = Trained(accuracy, seconds)
                print(f"[ours] {accuracy:.4f} {seconds:.1f} s  {runs[message.number][0]}", file=sys.stderr, flush=True)

        while len(found) < len(runs):
            while len(begun) < len(runs) and executor.room:
                number = len(begun)
                begun[number] = time.monotonic()
                name, seed = runs[number]
                executor.submit(Job(number, self.named[name], seed))
            executor.wait(handle, timeout=1.0)
        return [found[number] for number in range(len(runs))]

    def time(self, seed: int) -> Round:
        """Train every candidate once, after one for every worker that is not counted."""
        begun = time.monotonic()
        first = next(iter(self.named))
        runs = [(name, seed) for name in self.named]
        with self.executor() as executor:
            self.train(executor, [(first, _WARM_SEED)] * executor.workers)
            warm = time.monotonic()
            trained = self.train(executor, runs)
            wall = time.monotonic() - warm
        seconds = {name: each.seconds for name, each in zip(self.named, trained, strict=True)}
        return Round(
            trained=len(runs),
            wall=wall,
            start=warm - begun - seconds[first],
            seconds={name: value / self.workers for name, value in seconds.items()},
        )

    def accuracies(self, runs: Sequence[Run]) -> list[float]:
        """Accuracy of each run after its last epoch."""
        with self.executor() as executor:
            return [each.accuracy for each in self.train(executor, runs)]


class Peer:
    """The naive peer, timed."""

    def __init__(self, naive: NaivePeer) -> None:
        self.naive = naive
        self.first_seconds: float | None = None

    def train(self, name: str, seed: int) -> Trained:
        """Train one candidate."""
        start = time.monotonic()
        accuracy = self.naive.run_trial(name, seed)
        seconds = time.monotonic() - start
        print(f"[{NAIVE}] {accuracy:.4f} {seconds:.1f} s  {name}", file=sys.stderr, flush=True)
        return Trained(accuracy, seconds)

    def time(self, seed: int) -> Round:
        """Train every candidate once; the first time after one that is not counted."""
        names = list(self.naive.candidates)
        if self.first_seconds is None:
            self.first_seconds = self.train(names[0], _WARM_SEED).seconds
        seconds = {name: self.train(name, seed).seconds for name in names}
        return Round(len(names), sum(seconds.values()), self.first_seconds - seconds[names[0]], seconds)

    def accuracies(self, runs: Sequence[Run]) -> list[float]:
        """Accuracy of each run after its last epoch."""
        return [self.train(name, seed).accuracy for name, seed in runs]


def compare_accuracy(sides: dict[str, Peer | Ours], names: Sequence[str], number: int) -> list[dict[str, Any]]:
    """Accuracy by candidate and side over ``number`` seeds, and its difference from the peer's, with standard errors."""
    runs = [(name, _FIRST_SEED + seed) for name in names for seed in range(number)]
    found = {side: np.array(trainer.accuracies(runs)).reshape(len(names), number) for side, trainer in sides.items()}
    errors = {side: values.std(1, ddof=1) / number**0.5 for side, values in found.items()}
    return [
        {
            "candidate": name,
            "side": side,
            "accuracies": values[index].tolist(),
            "mean": values[index].mean(),
            "standard_error": errors[side][index],
            "difference": values[index].mean() - found[NAIVE][index].mean(),
            "difference_standard_error": np.hypot(errors[side][index], errors[NAIVE][index]) if side != NAIVE else 0.0,
        }
        for index, name in enumerate(names)
        for side, values in found.items()
    ]


def step_rates(
    named: dict[str, Genotype], settings: ProxySettings, dataset: Dataset, numerics: Numerics, extent: Extent
) -> dict[str, dict[str, float]]:
    """Training images per second of one worker by candidate, in each precision and layout, in turns; the median."""
    device = numerics.device
    settings = settings.model_copy(update={"batch_size": extent.step_batch})
    precisions: tuple[Literal["fp32", "bf16"], ...] = ("fp32", "bf16") if has_bf16(device) else ("fp32",)
    kinds = [Numerics(device, precision, last) for precision in precisions for last in (False, True)]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    rates: dict[str, dict[str, list[float]]] = {name: {str(kind): [] for kind in kinds} for name in named}
    for _ in range(extent.step_repeats):
        for name, genotype in named.items():
            for kind in kinds:
                rate = measure_throughput(genotype, settings, dataset, kind, extent.step_seconds)
                rates[name][str(kind)].append(rate)
    torch.set_num_threads(threads)
    return {name: {kind: median(values) for kind, values in row.items()} for name, row in rates.items()}


def fastest_peer(peers: dict[int, NaivePeer]) -> tuple[NaivePeer, dict[int, float]]:
    """The peer with the number of loaders that is faster on the second training of its first candidate, and seconds of each."""
    seconds = {}
    for number, peer in peers.items():
        side = Peer(peer)
        name = next(iter(peer.candidates))
        seconds[number] = [side.train(name, _WARM_SEED).seconds for _ in range(2)][1]
    return peers[min(seconds, key=lambda number: seconds[number])], seconds


def seen(side: Peer | Ours, task: Task) -> float:
    """Share of the pixels of whole images that a side's training images have."""
    if isinstance(side, Peer):
        return 1.0
    settings, size = side.trainer.settings, (task.height, task.width)
    sizes = [training_size(size, settings.initial_resolution, epoch, settings.epochs) for epoch in range(settings.epochs)]
    return mean(height * width for height, width in sizes) / (size[0] * size[1])


def compiled(
    genotype: Genotype, settings: ProxySettings, dataset: Dataset, numerics: Numerics, extent: Extent
) -> dict[str, float]:
    """Seconds of the first step and images per second of later ones, of a candidate as it is and compiled; one thread."""
    images = on_device(dataset, numerics)
    row = images.plan(settings.batch_size, torch.Generator().manual_seed(0))[0]
    found: dict[str, float] = {}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    for name in ("eager", "compiled"):
        model = numerics.placed(build_model(genotype, dataset.task.num_classes, dataset.task.channels, 0)).train()
        if name == "compiled":
            model = cast(nn.Module, torch.compile(model))
        step = TrainingStep(model, images, settings, settings.batch_size)
        begun = time.monotonic()
        step(row, torch.zeros(()))
        found[f"{name}_first_step"] = time.monotonic() - begun
        begun, steps = time.monotonic(), 0
        while time.monotonic() - begun < extent.step_seconds * extent.step_repeats:
            step(row, torch.zeros(()))
            steps += 1
        found[f"{name}_images_per_second"] = steps * settings.batch_size / (time.monotonic() - begun)
    torch.set_num_threads(threads)
    return found


def summary(
    rounds: dict[str, list[Round]], training: dict[str, dict[str, float]], peaks: dict[str, float]
) -> dict[str, dict[str, Any]]:
    """Rates, ratios to the peer and shares of the arithmetic by side.

    ``training`` is the multiply-adds that training a candidate takes a side, ``peaks`` what it could do per second at most.
    """
    found = {}
    for side, done in rounds.items():
        ratios = [ours.per_hour / naive.per_hour for ours, naive in zip(done, rounds[NAIVE], strict=True)]
        rate = mean(mean(training[side].values()) * each.per_hour / 3600 for each in done)
        by_name = {name: mean(each.seconds[name] for each in done) for name in training[side]}
        found[side] = {
            "per_hour": [each.per_hour for each in done],
            "start_seconds": mean(each.start for each in done),
            "ratios": ratios,
            "ratio": mean(ratios),
            "seconds": by_name,
            "candidate_ratios": {
                name: mean(each.seconds[name] for each in rounds[NAIVE]) / seconds for name, seconds in by_name.items()
            },
            "multiply_adds_per_second": rate,
            "share_of_arithmetic": rate / peaks[side],
        }
    return found


def table(results: dict[str, Any]) -> str:
    """For a person: rates, candidates, arithmetic, accuracy."""
    sides, extent, used = results["sides"], results["extent"], results["workers_or_threads"]
    lines = [
        f"{extent['train']} images, {extent['epochs']} epochs, {results['trunk']}; ours: {used[next(iter(VARIANTS))]} workers, "
        f"{results['numerics']}; naive: {used[NAIVE]} threads, {results['naive_device']}, fp32",
        f"{'side':16}{'candidates/h':>14}{'ratio':>8}{'min .. max':>16}{'start':>9}{'GMAC/s':>9}{'share':>8}",
    ]
    for side, row in sides.items():
        extremes = f"{min(row['ratios']):.2f} .. {max(row['ratios']):.2f}"
        lines.append(
            f"{side:16}{mean(row['per_hour']):14.1f}{row['ratio']:8.2f}{extremes:>16}{row['start_seconds']:7.1f} s"
            f"{row['multiply_adds_per_second'] / 1e9:9.1f}{100 * row['share_of_arithmetic']:6.1f} %"
        )
    lines.append(
        "GMAC/s: multiply-adds of training, three times the forward pass; share: of a matrix product's, all workers or threads"
    )
    for precision, rate in results["matrix_rates"].items():
        lines.append(f"  matrix product, {precision}: {rate / 1e9:.1f} GMAC/s {results['matrix_product']}")
    lines.append("seconds per candidate, all cores (ratio)")
    for name in results["candidates"]:
        cells = [f"{side} {row['seconds'][name]:.2f} ({row['candidate_ratios'][name]:.2f})" for side, row in sides.items()]
        lines.append(f"  {name:22}{'   '.join(cells)}")
    lines.append("training images per second of one worker")
    for name, row in results["images_per_second"].items():
        lines.append(f"  {name:22}{'   '.join(f'{kind} {rate:.0f}' for kind, rate in row.items())}")
    lines.append(f"the peer's loaders: {', '.join(f'{number}: {s:.1f} s' for number, s in results['loader_seconds'].items())}")
    if cost := results["compiled"]:
        lines.append(
            f"compiled: first step {cost['compiled_first_step']:.1f} s, then "
            f"{cost['compiled_images_per_second']:.0f} images/s; eager: {cost['eager_first_step']:.2f} s, then "
            f"{cost['eager_images_per_second']:.0f}"
        )
    lines.append(f"accuracy over {extent['seeds']} seeds +- standard error, and difference from naive")
    for row in results["accuracy"]:
        lines.append(
            f"  {row['candidate']:22}{row['side']:16}{100 * row['mean']:6.2f} +- {100 * row['standard_error']:.2f}"
            f"   {100 * row['difference']:+6.2f} +- {100 * row['difference_standard_error']:.2f}"
        )
    return "\n".join(lines)


def measure(root: Path, extent: Extent, names: Sequence[str] | None, compared: Sequence[str]) -> dict[str, Any]:
    """Train everything in turns; ``names`` are the candidates, all by default."""
    from naive_peer import NaivePeer  # here, because the workers of the pool need none of it

    data = DataSettings(name="cifar10", root=str(root), num_train=extent.train, num_validation=extent.validation)
    dataset = load_dataset(data)
    share_dataset(dataset, root / "data")
    space = load_space("cifar10_resnet20")
    proxy = space.proxy.model_copy(update={"epochs": extent.epochs, "batch_size": extent.batch, "lr": LR})
    trunk = space.trunk.trunk()
    named = {name: genotype for name, genotype in candidates(trunk).items() if names is None or name in names}
    numerics = choose_numerics(resolve_device("auto"), proxy.precision)
    naive, tried = fastest_peer(
        {number: NaivePeer(root, *split_indices(root, dataset, data.seed), named, proxy, number) for number in LOADERS}
    )
    ours = {name: Ours(named, proxy.model_copy(update=changes), root, numerics) for name, changes in VARIANTS.items()}
    sides: dict[str, Peer | Ours] = {NAIVE: Peer(naive), **ours}
    rates = {precision: matrix_rate(Numerics(numerics.device, precision)) for precision in ("fp32", "bf16")}
    on_gpu = numerics.device == "cuda"

    rounds: dict[str, list[Round]] = {side: [] for side in sides}
    for number in range(extent.rounds):
        for side in list(sides)[:: -1 if number % 2 else 1]:
            rounds[side].append(sides[side].time(number))
    used = {NAIVE: torch.get_num_threads(), **{name: engine.workers for name, engine in ours.items()}}
    peaks = {side: rates["fp32" if side == NAIVE else numerics.precision] * (1 if on_gpu else used[side]) for side in sides}
    task = dataset.task
    macs = {name: count_cost(build_model(genotype, 10, 3, 0), dataset.task).macs for name, genotype in named.items()}
    return {
        "extent": vars(extent),
        "trunk": str(trunk),
        "candidates": {name: genotype.key for name, genotype in named.items()},
        "variants": VARIANTS,
        "numerics": str(numerics),
        "naive_device": str(naive.device),
        "workers_or_threads": used,
        "matrix_rates": rates,
        "matrix_product": "on the GPU" if on_gpu else "on one thread",
        "loader_seconds": tried,
        "sides": summary(
            rounds,
            {
                side: {name: 3 * count * extent.train * extent.epochs * seen(trainer, task) for name, count in macs.items()}
                for side, trainer in sides.items()
            },
            peaks,
        ),
        "compiled": compiled(named[compared[-1]], proxy, dataset, numerics, extent) if extent.compiled else None,
        "images_per_second": step_rates({name: named[name] for name in compared}, proxy, dataset, numerics, extent),
        "accuracy": compare_accuracy(sides, compared, extent.seeds),
    }


def main() -> None:
    """Measure, print."""
    chosen = options(__doc__.splitlines()[0])
    if "OMP_NUM_THREADS" in os.environ:
        raise SystemExit("OMP_NUM_THREADS is set: unset it, the peer takes its default threads")
    load = os.getloadavg()[0]
    extent = Extent()
    names: Sequence[str] | None = None
    compared: Sequence[str] = COMPARED
    if chosen.quick:
        extent = Extent(
            256, 200, 1, batch=64, rounds=1, seeds=2, step_batch=16, step_seconds=0.5, step_repeats=1, compiled=False
        )
        names, compared = COMPARED, COMPARED[:1]
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        with cifar_files(root, extent.train + extent.validation):
            results = measure(root, extent, names, compared)
    headline = results["sides"][next(iter(VARIANTS))]["ratio"]
    text = f"{table(results)}\nload of the machine before: {load:.2f} (keep it idle: the peer suffers most)"
    present(chosen, headline, text, load_before=load, **results)


if __name__ == "__main__":
    main()
