"""The embedded tasks made of scanned digits: cued, cluttered and plain. Made from a seed in seconds; no download."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from attn_nas.data.dataset import Augmentation, Dataset, Split
from attn_nas.data.scans import Part, scans
from attn_nas.errors import DataError
from attn_nas.space.schema import DataSettings
from attn_nas.space.task import Task

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
Painter = Callable[[Part, int, np.random.Generator], tuple[NDArray[np.uint8], Ints]]

SCAN = 8
HUES = np.array([[1.0, 0.25, 0.25], [0.25, 1.0, 0.25], [0.35, 0.35, 1.0], [0.9, 0.9, 0.15]], dtype=np.float32)
_NOISE = 0.04
_CHUNK = 4000
_PART_SEEDS: dict[Part, int] = {"train": 0, "validation": 1, "test": 2}

# Cued digits. The numbers are calibrated so that placement is a signal at the default proxy: benchmarks/calibration.py.
CUED_HEIGHT, CUED_WIDTH = 22, 16
CUED_HUES = HUES[:2]
THIN_ROWS, THICK_ROWS, THICK_SHARE = 1, 7, 0.4
COHERENCE = (0.2, 1.0)

CLUTTERED_SIDE = 16


def cued_digits(settings: DataSettings, download: bool) -> Dataset:
    """Two digits of different hue, and bands above and below in the hue of the digit to read: ``3 x 22 x 16``, 10 classes.

    The digits are local, the cue is global: only a share of a band's pixels, drawn anew for every image (its coherence, as
    in random-dot displays), has the cue's hue, the others have either. In four images of ten the bands are thick and
    touch the digits, so that a few pixels tell what to read and every network finds the rule early; in the others they are
    one row at the edge, where a network must carry the cue across the image.
    """
    return _composed(settings, "cued_digits", CUED_HEIGHT, CUED_WIDTH, _cued, num_train=20000)


def cluttered_digits(settings: DataSettings, download: bool) -> Dataset:
    """One digit of any hue among many coloured fragments on ``3 x 16 x 16``; 10 classes. Placements hardly matter here."""
    return _composed(settings, "cluttered_digits", CLUTTERED_SIDE, CLUTTERED_SIDE, _cluttered, num_train=8000)


def plain_digits(settings: DataSettings, download: bool) -> Dataset:
    """The scans themselves, ``1 x 8 x 8``; 10 classes. A smoke test: every network reads them."""
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
    return Dataset("digits", Task(1, SCAN, SCAN, 10), splits["train"], splits["validation"], Augmentation(), lambda: test)


def _composed(settings: DataSettings, name: str, height: int, width: int, paint: Painter, num_train: int) -> Dataset:
    def make(part: Part, number: int) -> Split:
        rng = np.random.default_rng([settings.seed, _PART_SEEDS[part]])
        chunks = [paint(part, min(_CHUNK, number - start), rng) for start in range(0, number, _CHUNK)]
        images = np.concatenate([images for images, _ in chunks])
        return Split(torch.from_numpy(images), torch.from_numpy(np.concatenate([labels for _, labels in chunks])))

    train = make("train", settings.num_train or num_train)
    validation = make("validation", settings.num_validation or 4000)
    return Dataset(name, Task(3, height, width, 10), train, validation, Augmentation(), partial(make, "test", 4000))


def _cued(part: Part, number: int, rng: np.random.Generator) -> tuple[NDArray[np.uint8], Ints]:
    pool, labels = scans(part)
    target, other = _different_digits(labels, number, rng)
    hues = rng.permuted(np.tile(np.arange(len(CUED_HUES)), (number, 1)), axis=1)
    canvas = _noise((number, 3, CUED_HEIGHT, CUED_WIDTH), rng)
    _scatter_fragments(canvas, pool, 1, CUED_HUES, rng)
    sides = rng.permuted(np.tile(np.array([0, CUED_WIDTH // 2]), (number, 1)), axis=1)
    middle = np.full(number, (CUED_HEIGHT - SCAN) // 2)
    for which, scan, least in ((0, target, 0.8), (1, other, 0.6)):
        patches = pool[scan] * rng.uniform(least, 1.0, (number, 1, 1)).astype(np.float32)
        _paste(canvas, patches, middle, sides[:, which], CUED_HUES[hues[:, which]])
    _paint_bands(canvas, hues[:, 0], rng)
    return _to_bytes(canvas), labels[target]


def _paint_bands(canvas: Floats, cue: Ints, rng: np.random.Generator) -> None:
    """Fill the first and last rows with pixels of which a share, drawn per image, has the hue of the cue."""
    number = len(canvas)
    shape = (number, 2 * THICK_ROWS, CUED_WIDTH)
    coherent = rng.random(shape, dtype=np.float32) < rng.uniform(*COHERENCE, (number, 1, 1)).astype(np.float32)
    hues = np.where(coherent, cue[:, None, None], rng.integers(len(CUED_HUES), size=shape))
    bands = CUED_HUES[hues].transpose(0, 3, 1, 2) + _noise((number, 3, *shape[1:]), rng)
    thickness = np.where(rng.random(number) < THICK_SHARE, THICK_ROWS, THIN_ROWS)[:, None, None, None]
    row = np.arange(THICK_ROWS)[:, None]
    top, bottom = canvas[:, :, :THICK_ROWS], canvas[:, :, -THICK_ROWS:]
    np.copyto(top, bands[:, :, :THICK_ROWS], where=row < thickness)
    np.copyto(bottom, bands[:, :, THICK_ROWS:], where=row >= THICK_ROWS - thickness)


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
    number, _, height, width = canvas.shape
    window = np.arange(side)
    for _ in range(count):
        scan: Ints = rng.integers(len(pool), size=number)
        corner: Ints = rng.integers(0, SCAN - side + 1, size=(2, number))
        rows, columns = corner[0, :, None] + window, corner[1, :, None] + window
        patches = 0.6 * pool[scan[:, None, None], rows[:, :, None], columns[:, None, :]]
        top, left = rng.integers(0, height - side + 1, size=number), rng.integers(0, width - side + 1, size=number)
        _paste(canvas, patches, top, left, colours[rng.integers(len(colours), size=number)])


def _paste(canvas: Floats, patches: Floats, top: Ints, left: Ints, colours: Floats) -> None:
    """Lay ``patches`` ``(N, h, w)`` in ``colours`` ``(N, 3)`` over the canvas, the brighter pixel winning."""
    number, height, width = patches.shape
    image = np.arange(number)[:, None, None]
    rows = (top[:, None] + np.arange(height))[:, :, None]
    columns = (left[:, None] + np.arange(width))[:, None, :]
    for channel in range(3):
        tinted = patches * colours[:, channel, None, None]
        canvas[image, channel, rows, columns] = np.maximum(canvas[image, channel, rows, columns], tinted)


def _to_bytes(images: Floats) -> NDArray[np.uint8]:
    return np.clip(images * 255.0, 0.0, 255.0).astype(np.uint8)
