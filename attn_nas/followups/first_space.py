"""Writes the first search space for a user's data: sizes, recipe and score are chosen from the data and a measured step."""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml

from attn_nas.attention.catalog import get_mechanism
from attn_nas.data import Augmentation, Dataset, Split, load_dataset
from attn_nas.data.inspection import Inspection, inspect
from attn_nas.errors import DataError, UsageError
from attn_nas.files import write_whole
from attn_nas.format import duration
from attn_nas.machine import usable_cores
from attn_nas.space.data_settings import DataSettings
from attn_nas.space.genotype import Genotype
from attn_nas.space.loading import parse_space
from attn_nas.space.schema import ProxySettings, SearchSpace
from attn_nas.space.task import Task
from attn_nas.space.trunks import Trunk
from attn_nas.training import Numerics, measure_throughput, numerics_here
from attn_nas.training.losses import label_counts
from attn_nas.training.pretrained import check_pretrained

TRIALS = 50
"""Candidates of the search whose time is foretold."""
_CONFIRMED = 10
"""Trainings that a search adds at its end, to confirm the front and the best references."""
_DEARER = 1.15
"""Factor of the time of a candidate over that of the bare trunk."""
_MOST_SECONDS = 10 * 3600.0
"""Images are as large as a search within this time allows."""
_SIDES = (224, 192, 160, 128, 96, 64, 48, 32)
_SMALL = 48
"""Images of up to this side are for the trunks of CIFAR, which reduce the size later."""
_SEVERAL = 1.5
"""Ratio of the largest to the smallest class above which the score gives each class the same weight."""
_MEASURED = 2.0
"""Seconds of a measurement."""
_MECHANISMS = ("se", "eca", "cbam")


@dataclass(frozen=True)
class FirstSpace:
    """A search space for data: ``text`` of its file, which is valid, ``lines`` about the data, ``seconds`` of a search."""

    text: str
    lines: tuple[str, ...]
    seconds: float

    def write(self, path: Path) -> None:
        """Write the file; raises UsageError if there is one already, or it cannot be written."""
        if path.exists():
            raise UsageError(f"{path} exists already: name another file (out)")
        try:
            write_whole(path, self.text)
        except OSError as error:
            raise UsageError(f"{path} cannot be written: {error.strerror}") from None


def first_space(
    data: Path, out: Path, *, trunk: str | None = None, mirror: bool = False, weights: Path | None = None, device: str = "auto"
) -> FirstSpace:
    """Look at the data at ``data``, measure training steps on this machine, and choose a search space for the file ``out``.

    Args:
        data: a folder of images, a CSV list, or arrays.
        out: the file that it is for: its paths are relative to this file.
        trunk: family and depth, as ``resnet18``; by default ``cifar_resnet20`` for images of up to 48 pixels, else
            ``resnet18``.
        mirror: whether training images are mirrored left to right; right only where this does not change their class.
        weights: a safetensors file of trunk weights to start from; the recipe is then one for fine-tuning.
        device: ``auto``, ``cpu`` or ``cuda``.

    Raises:
        UsageError, SpaceError, DataError, DeviceError: the data, the trunk or the weights cannot be used.

    """
    found = inspect(data)
    numerics = numerics_here(device, "auto")
    fixed = _loaded(found, None, {}) if not found.sizes else None
    side = min(fixed.task.height, fixed.task.width) if fixed else found.median_side
    assert side
    chosen = _trunk(trunk or ("cifar_resnet20" if side <= _SMALL else "resnet18"))
    number = len(fixed.train) if fixed else found.number
    batch = _batch_size(number)
    recipe = _recipe(number, batch, weights)
    sizes = [(fixed.task.height, fixed.task.width)] if fixed else _sizes(found, side)
    size, rate = _largest(sizes, chosen, fixed.task if fixed else None, recipe, number, numerics)
    keys = _division(number, found)
    dataset = fixed or _loaded(found, size, keys)
    if weights is not None:
        check_pretrained(weights, chosen, dataset.task)
    with _warnings() as warned:
        test = _test(dataset)
    lines = [*found.lines, *_about(dataset, test), *dict.fromkeys((*dataset.notes, *warned))]
    lines = [line for line in lines if not line.startswith("No test data")]
    counts = label_counts(dataset.train, dataset.task)
    metric = _metric(dataset, counts)
    trainings = TRIALS + _CONFIRMED
    seconds = trainings * _DEARER * recipe["epochs"] * len(dataset.train) / rate
    text = _text(
        found,
        None if fixed else size,
        keys,
        chosen,
        recipe,
        metric,
        out,
        mirror=mirror,
        weights=weights,
        seconds=seconds,
    )
    parse_space(text, str(out))
    return FirstSpace(text, tuple(lines), seconds)


def _trunk(name: str) -> Trunk:
    settings = SearchSpace(trunk=name, mechanisms=["se"]).trunk
    assert settings is not None
    return settings.trunk()


def _batch_size(number: int) -> int:
    return 16 if number < 500 else 32 if number < 2000 else 64 if number < 30000 else 128


def _recipe(number: int, batch: int, weights: Path | None) -> dict[str, Any]:
    """The section ``proxy``: enough steps that networks differ, and no more."""
    steps = max(1, number // batch)
    if weights is not None:
        epochs = min(10, max(3, math.ceil(500 / steps)))
        return {
            "epochs": epochs,
            "batch_size": batch,
            "lr": 0.0005,
            "optimizer": "adamw",
            "schedule": "cosine",
            "warmup": 0.1,
            "weight_decay": 0.05,
            "label_smoothing": 0.1,
        }
    epochs = min(30, max(6, math.ceil(1000 / steps)))
    return {"epochs": epochs, "batch_size": batch, "lr": round(0.1 * batch / 64, 4), "label_smoothing": 0.1}


def _sizes(found: Inspection, side: int) -> list[tuple[int, int]]:
    """Sizes to choose from, the largest first: none enlarges most images."""
    if found.common_size and max(found.common_size) <= 64:
        return [found.common_size]
    proportions = found.common_size or (1, 1)
    sides = [each for each in _SIDES if each <= side] or [max(8, side)]
    shorter = min(proportions)
    return [tuple(max(8, 4 * round(each * length / shorter / 4)) for length in proportions) for each in sides]  # type: ignore[misc]


def _largest(
    sizes: list[tuple[int, int]],
    trunk: Trunk,
    task: Task | None,
    recipe: Mapping[str, Any],
    number: int,
    numerics: Numerics,
) -> tuple[tuple[int, int], float]:
    """The largest size with which a search ends in time, else the smallest; and training images per second there.

    One size is measured, the others are foretold from their numbers of pixels; then the one that is chosen is measured.
    """
    needed = (TRIALS + _CONFIRMED) * _DEARER * recipe["epochs"] * number / _MOST_SECONDS
    measured = sizes[len(sizes) // 2]
    rate = _rate(measured, trunk, task, recipe, numerics)
    pixels = measured[0] * measured[1]
    chosen = next((size for size in sizes if rate * pixels / (size[0] * size[1]) >= needed), sizes[-1])
    return chosen, rate if chosen == measured else _rate(chosen, trunk, task, recipe, numerics)


def _rate(size: tuple[int, int], trunk: Trunk, task: Task | None, recipe: Mapping[str, Any], numerics: Numerics) -> float:
    """Training images per second of all workers, measured with the bare trunk on random pixels.

    On a CPU it is measured in processor time, so that other programs that run now do not count.
    """
    height, width = size
    task = task or Task(3, height, width, 10)
    count = 2 * recipe["batch_size"]
    noise = torch.Generator().manual_seed(0)
    images = torch.randint(256, (count, task.channels, height, width), dtype=torch.uint8, generator=noise)
    split = Split(images, torch.arange(count) % task.num_classes)
    plain = Task(task.channels, height, width, task.num_classes)
    random = Dataset("random", plain, split, split, Augmentation(), lambda: split)
    settings = ProxySettings.model_validate({**recipe, "epochs": 4})
    threads = torch.get_num_threads()
    workers = usable_cores() if numerics.device == "cpu" else 1
    torch.set_num_threads(1 if numerics.device == "cpu" else threads)
    began, used = time.perf_counter(), time.process_time()
    try:
        rate = measure_throughput(Genotype.bare(trunk), settings, random, numerics, _MEASURED)
        if numerics.device != "cpu":
            return rate
        waited = (time.perf_counter() - began) / max(1e-9, time.process_time() - used)
        return workers * rate * max(1.0, waited)
    finally:
        torch.set_num_threads(threads)


def _division(number: int, found: Inspection) -> dict[str, int]:
    """How many validation images to hold out, where they are held out from files."""
    least = max(number // 10, min(1000, number // 5), found.num_classes)
    return {"num_validation": least} if found.settings["name"] == "image_folder" else {}


def _loaded(found: Inspection, size: tuple[int, int] | None, keys: Mapping[str, Any]) -> Dataset:
    sized = {} if size is None else {"image_size": _written(size)}
    return load_dataset(
        DataSettings.model_validate({**found.settings, "root": os.fspath(found.settings["root"]), **sized, **keys})
    )


def _written(size: tuple[int, int]) -> int | list[int]:
    return size[0] if size[0] == size[1] else [*size]


@contextmanager
def _warnings() -> Iterator[list[str]]:
    """Collect what the reading of a test split says."""
    said: list[str] = []

    class _Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(record.getMessage())

    reader, handler = logging.getLogger("attn_nas.data"), _Kept()
    reader.addHandler(handler)
    before, reader.propagate = reader.propagate, False
    try:
        yield said
    finally:
        reader.removeHandler(handler)
        reader.propagate = before


def _test(dataset: Dataset) -> Split | None:
    try:
        return dataset.load_test()
    except DataError:
        return None


def _about(dataset: Dataset, test: Split | None) -> list[str]:
    task = dataset.task
    parts = [f"{len(dataset.train):,} for training", f"{len(dataset.validation):,} for validation"]
    parts += [f"{len(test):,} for the test"] if test is not None else []
    return [f"images that can be used: {', '.join(parts)}, as {task.channels} x {task.height} x {task.width}"]


def _metric(dataset: Dataset, counts: torch.Tensor) -> tuple[str, str]:
    """The score, and why."""
    if dataset.task.kind == "multi_label":
        return "mean_ap", "mean average precision: images have several labels"
    few, many = int(counts.min()), int(counts.max())
    if many > _SEVERAL * max(1, few):
        return "balanced_accuracy", f"each class counts alike: they have {few:,} to {many:,} training images"
    return "accuracy", f"classes have similar numbers of training images ({few:,} to {many:,})"


def _text(
    found: Inspection,
    size: tuple[int, int] | None,
    keys: Mapping[str, Any],
    trunk: Trunk,
    recipe: Mapping[str, Any],
    metric: tuple[str, str],
    out: Path,
    *,
    mirror: bool,
    weights: Path | None,
    seconds: float,
) -> str:
    """The file, with a comment on each choice."""
    beside = out.absolute().parent
    pretrained = weights is not None
    data: list[tuple[str, Any, str]] = [
        ("name", found.settings["name"], "what the data are"),
        ("root", os.path.relpath(Path(found.settings["root"]).absolute(), beside), "relative to this file"),
    ]
    if "file" in found.settings:
        data.append(("file", found.settings["file"], "the list of the images, relative to root"))
    if size is not None:
        why = "as they are" if size == found.common_size else "height and width; larger images take more time"
        data.append(("image_size", _written(size), why))
    data += [(key, value, "candidates are scored on these; more give scores with less noise") for key, value in keys.items()]
    data.append(("seed", 0, "of the hold-out"))
    proxy: list[tuple[str, Any, str]] = [(name, value, _ABOUT_RECIPE.get(name, "")) for name, value in recipe.items()]
    proxy.append(("metric", *metric))
    if weights is not None:
        proxy.append(("weights", os.path.relpath(weights.absolute(), beside), "all candidates start from these"))
    mechanisms = [name for name in _MECHANISMS if not pretrained or get_mechanism(name).identity_init]
    begin = ", identity_init: true" if pretrained else ""
    identity = ["# Each mechanism starts as the identity, so that candidates start as the pretrained network."] * pretrained
    mirrored = "as you said, a mirrored image has the same class" if mirror else "true only where it has the same class"
    lines = [
        "# Made by attn-nas init from the data and the speed of this machine. Change what you know better.",
        f"# A search of {TRIALS} takes about {duration(seconds)} on the machine that made this file.",
        f"trunk: {{name: {trunk.name}, depth: {trunk.depth}, width: {trunk.width}}}",
        "data:",
        *_section(data),
        "  augment:",
        *_section([("mirror", str(mirror).lower(), mirrored)], "    "),
        *identity,
        "mechanisms:  # which may be at each block; no mechanism is always a choice",
        *[f"  - {{name: {name}{begin}}}" for name in mechanisms],
        'limits: {max_flops: "+5%"}  # a candidate may cost this much more than the bare trunk',
        "proxy:  # the short training that scores a candidate",
        *_section(proxy),
    ]
    return "\n".join(lines) + "\n"


_ABOUT_RECIPE = {
    "epochs": "enough steps that networks differ; longer trainings rank them better",
    "batch_size": "by the number of images",
    "lr": "peak of the schedule",
    "label_smoothing": "",
    "optimizer": "the usual choice for pretrained weights",
}


def _section(entries: list[tuple[str, Any, str]], indent: str = "  ") -> list[str]:
    lines = []
    for name, value, why in entries:
        written = yaml.safe_dump(value, default_flow_style=True, width=1 << 20).removesuffix("\n...\n").strip()
        if isinstance(value, str) and value in ("true", "false"):
            written = value
        lines.append(f"{indent}{name}: {written}{'  # ' + why if why else ''}")
    return lines
