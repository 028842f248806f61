"""The embedded tasks from scanned digits: cued, cluttered and plain. Images are generated from a seed, without download."""

from __future__ import annotations

import platform
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from attn_nas.data.augment import augmentation_of
from attn_nas.data.dataset import Dataset, Split
from attn_nas.data.rules import DataRules
from attn_nas.data.scans import Part, scans
from attn_nas.errors import DataError
from attn_nas.machine import usable_memory
from attn_nas.space.data_settings import DataSettings
from attn_nas.space.task import Task

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
Painter = Callable[[Part, int, np.random.Generator], tuple[NDArray[np.uint8], Ints]]

SCAN = 8
HUES = np.array([[1.0, 0.25, 0.25], [0.25, 1.0, 0.25], [0.35, 0.35, 1.0], [0.9, 0.9, 0.15]], dtype=np.float32)
_NOISE = 0.04
_CHUNK = 4000
_NUM_TEST = 4000
_PART_SEEDS: dict[Part, int] = {"train": 0, "validation": 1, "test": 2}

# Cued digits. These values are calibrated so that placements differ in accuracy at the default proxy: benchmarks/fidelity.py.
CUED_HEIGHT, CUED_WIDTH = 28, 16
CUED_HUES = HUES[:2]
CUE_ROWS = 3
NEAR_SHARE, NEAR_GAP = 0.6, 1
COHERENCE = (0.4, 1.0)

CLUTTERED_SIDE = 16


def cued_digits(settings: DataSettings, rules: DataRules, download: bool) -> Dataset:
    """Two digits of different hue, and a strip (the cue) in the hue of the digit to classify: ``3 x 28 x 16``, 10 classes.

    The digits are at the bottom; the strip crosses the image above them. In 60 % of the images it is at most one row above
    the digits, so that a few convolutions can compare the hues, and every network learns the rule early. In the others its
    row is uniform, and networks that transport the cue across the image are at an advantage. A random fraction of the
    strip's pixels (its coherence, as in random-dot displays) has the hue of the cue; the others have a random hue.
    """
    return _composed(settings, rules, "cued_digits", CUED_HEIGHT, CUED_WIDTH, _cued, num_train=18000)


def cluttered_digits(settings: DataSettings, rules: DataRules, download: bool) -> Dataset:
    """One digit of random hue among coloured fragments: ``3 x 16 x 16``, 10 classes. Placements have little effect."""
    return _composed(settings, rules, "cluttered_digits", CLUTTERED_SIDE, CLUTTERED_SIDE, _cluttered, num_train=8000)


def plain_digits(settings: DataSettings, rules: DataRules, download: bool) -> Dataset:
    """The unchanged scans: ``1 x 8 x 8``, 10 classes. For smoke tests: every network classifies them."""
    splits = {}
    for part in ("train", "validation", "test"):
        images, labels = scans(part)
        splits[part] = Split(torch.from_numpy(_to_bytes(images[:, None])), torch.from_numpy(labels))
    wanted = {"train": settings.num_train, "validation": settings.num_validation}
    for name, number in wanted.items():
        if number is not None and number > len(splits[name]):
            raise DataError(f"digits has {len(splits[name])} {name} scans: num_{name} = {number} is too many")
        splits[name] = splits[name].take(torch.arange(number or len(splits[name])))
    test = splits["test"]
    return Dataset(
        "digits",
        Task(1, SCAN, SCAN, 10),
        splits["train"],
        splits["validation"],
        augmentation_of(settings, rules),
        lambda: test,
    )


def _composed(
    settings: DataSettings, rules: DataRules, name: str, height: int, width: int, paint: Painter, num_train: int
) -> Dataset:
    def make(part: Part, number: int) -> Split:
        needed = 2 * number * 3 * height * width
        if needed > usable_memory():
            raise DataError(
                f"{number:,} {part} images of {name} need {needed / 2**30:,.0f} GB of memory: choose fewer in data.num_*"
            )
        rng = np.random.default_rng([settings.seed, _PART_SEEDS[part]])
        chunks = [paint(part, min(_CHUNK, number - start), rng) for start in range(0, number, _CHUNK)]
        images = np.concatenate([images for images, _ in chunks])
        return Split(torch.from_numpy(images), torch.from_numpy(np.concatenate([labels for _, labels in chunks])))

    train = make("train", settings.num_train or num_train)
    validation = make("validation", settings.num_validation or 4000)
    return Dataset(
        name,
        Task(3, height, width, 10),
        train,
        validation,
        augmentation_of(settings, rules),
        partial(make, "test", _NUM_TEST),
        made_with=f"NumPy {np.__version__} on {platform.machine()}",
    )


def _cued(part: Part, number: int, rng: np.random.Generator) -> tuple[NDArray[np.uint8], Ints]:
    pool, labels = scans(part)
    target, other = _different_digits(labels, number, rng)
    hues = rng.permuted(np.tile(np.arange(len(CUED_HUES)), (number, 1)), axis=1)
    canvas = _noise((number, 3, CUED_HEIGHT, CUED_WIDTH), rng)
    _scatter_fragments(canvas, pool, 1, CUED_HUES, rng)
    sides = rng.permuted(np.tile(np.array([0, CUED_WIDTH // 2]), (number, 1)), axis=1)
    bottom = np.full(number, CUED_HEIGHT - SCAN)
    for which, scan in enumerate((target, other)):
        patches = pool[scan] * rng.uniform(0.7, 1.0, (number, 1, 1)).astype(np.float32)
        _paste(canvas, patches, bottom, sides[:, which], CUED_HUES[hues[:, which]])
    _lay_strip(canvas, hues[:, 0], rng)
    return _to_bytes(canvas), labels[target]


def _lay_strip(canvas: Floats, cue: Ints, rng: np.random.Generator) -> None:
    """Cover three rows above the digits with the strip; ``cue`` ``(N,)`` are the hues of the cues."""
    number = len(canvas)
    shape = (number, CUE_ROWS, CUED_WIDTH)
    coherent = rng.random(shape, dtype=np.float32) < rng.uniform(*COHERENCE, (number, 1, 1)).astype(np.float32)
    hues = np.where(coherent, cue[:, None, None], rng.integers(len(CUED_HUES), size=shape))
    strip = CUED_HUES[hues] + _noise((*shape, 3), rng)
    lowest = CUED_HEIGHT - SCAN - CUE_ROWS
    near = lowest - rng.integers(0, NEAR_GAP + 1, size=number)
    top = np.where(rng.random(number) < NEAR_SHARE, near, rng.integers(0, lowest + 1, size=number))
    rows = top[:, None] + np.arange(CUE_ROWS)
    # Advanced indices around slices put the rows first: (N, rows, channels, columns).
    canvas[np.arange(number)[:, None], :, rows] = strip.transpose(0, 1, 3, 2)


def _cluttered(part: Part, number: int, rng: np.random.Generator) -> tuple[NDArray[np.uint8], Ints]:
    pool, labels = scans(part)
    chosen = rng.integers(len(pool), size=number)
    canvas = _noise((number, 3, CLUTTERED_SIDE, CLUTTERED_SIDE), rng)
    _scatter_fragments(canvas, pool, 8, HUES, rng)
    corner = rng.integers(0, CLUTTERED_SIDE - SCAN + 1, size=(2, number))
    _paste(canvas, pool[chosen], corner[0], corner[1], HUES[rng.integers(len(HUES), size=number)])
    return _to_bytes(canvas), labels[chosen]


def _different_digits(labels: Ints, number: int, rng: np.random.Generator) -> tuple[Ints, Ints]:
    first = rng.integers(len(labels), size=number)
    second = rng.integers(len(labels), size=number)
    while (same := labels[first] == labels[second]).any():
        second[same] = rng.integers(len(labels), size=int(same.sum()))
    return first, second


def _noise(shape: tuple[int, ...], rng: np.random.Generator) -> Floats:
    return np.float32(_NOISE) * rng.standard_normal(shape, dtype=np.float32)


def _scatter_fragments(
    canvas: Floats, pool: Floats, count: int, colours: Floats, rng: np.random.Generator, side: int = 4
) -> None:
    number, (height, width) = len(canvas), canvas.shape[2:]
    window = np.arange(side)
    for _ in range(count):
        scan = rng.integers(len(pool), size=number)
        corner = rng.integers(0, SCAN - side + 1, size=(2, number))
        rows, columns = corner[0, :, None] + window, corner[1, :, None] + window
        patches = 0.6 * pool[scan[:, None, None], rows[:, :, None], columns[:, None, :]]
        top, left = rng.integers(0, height - side + 1, size=number), rng.integers(0, width - side + 1, size=number)
        _paste(canvas, patches, top, left, colours[rng.integers(len(colours), size=number)])


def _paste(canvas: Floats, patches: Floats, top: Ints, left: Ints, colours: Floats) -> None:
    """Paste ``patches`` ``(N, h, w)`` in ``colours`` ``(N, 3)`` into the canvas; the brighter pixel is kept."""
    number, height, width = patches.shape
    image = np.arange(number)[:, None, None]
    rows = (top[:, None] + np.arange(height))[:, :, None]
    columns = (left[:, None] + np.arange(width))[:, None, :]
    for channel in range(3):
        tinted = patches * colours[:, channel, None, None]
        canvas[image, channel, rows, columns] = np.maximum(canvas[image, channel, rows, columns], tinted)


def _to_bytes(images: Floats) -> NDArray[np.uint8]:
    return np.clip(images * 255.0, 0.0, 255.0).astype(np.uint8)
