"""Decodes many image files: in parallel, with all damaged files found at once, and kept in a cache."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import accumulate
from math import prod
from queue import Empty, SimpleQueue

import numpy as np
import torch
from torch import Tensor

from attn_nas.data.dataset import Split
from attn_nas.data.decoding_pool import Fault, Pool, allocated, decoded_by_processes
from attn_nas.data.decoding_process import reason_of
from attn_nas.data.image_cache import VARIABLE, Faults, ImageCache
from attn_nas.data.listing import Sample, shown
from attn_nas.errors import DataError
from attn_nas.events.loading import report_decoded
from attn_nas.format import listed
from attn_nas.machine import usable_cores, usable_memory
from attn_nas.version import __version__

_TOLERATED = 0.01
"""Fraction of the files that may be damaged; rule 1 tolerates none."""
_LISTED = 10
_THREADS = 16
_DARK = 15
"""Largest value of an image that is nearly black, of 255: an image of 12 bits that is stored in 16."""


_Place = tuple[int, int]
"""A split, and the index of an image in it."""
_Fault = tuple[str, str]
"""The path of a file, and why it cannot be used."""


@dataclass(frozen=True, eq=False)
class Decoded:
    """Decoded images.

    Args:
        split: images and labels of the files that could be read, in their order.
        damaged: paths of the files that could not be read and are left out.
        notes: sentences for the user: files left out, images that are nearly black.

    """

    split: Split
    damaged: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def decode(samples: Sequence[Sample], size: int | tuple[int, int], rule: int) -> Decoded:
    """Decode the files of ``samples`` to images of ``size`` pixels by decoding rule ``rule`` (see `pixels.read_image`).

    Up to one file of a hundred may be damaged and is left out; rule 1 leaves none out.

    Raises:
        DataError: more files are damaged, values have no known range, or there is no room for the images.

    """
    return decode_parts([samples], size, rule)[0]


def decode_parts(parts: Sequence[Sequence[Sample]], size: int | tuple[int, int], rule: int) -> list[Decoded]:
    """Decode several splits at once, as `decode` does, so that the damaged files of all of them are found before any error.

    Images that do not fit into memory are mapped from a file in the cache folder.

    Raises:
        DataError: see `decode`; the files of all splits count together.

    """
    sides = size if isinstance(size, tuple) else (size, size)
    cache = ImageCache.of_user()
    counts = [len(samples) for samples in parts]
    needed = sum(counts) * 3 * sides[0] * sides[1]
    if needed > usable_memory():
        return [_mapped(cache, samples, sides, rule, needed) for samples in parts]
    with allocated(counts, sides) as pool:
        tensors = pool.images
        keys = [_key(cache, samples, sides, rule) for samples in parts]
        found = [cache.read(key, images) if cache and key else None for key, images in zip(keys, tensors, strict=True)]
        # A file that could not be read is tried again: the reason may have passed, such as a right or memory that was missing.
        wanted = [range(len(part)) if kept is None else [*kept] for part, kept in zip(parts, found, strict=True)]
        places = [(number, index) for number, indices in enumerate(wanted) for index in indices]
        faults = _decode_into(pool, parts, places, sides, rule)
    _check_damage([(parts[p][i][0], reason) for p, each in enumerate(faults) for i, reason in each.items()], parts, rule)
    for key, images, kept, each in zip(keys, tensors, found, faults, strict=True):
        if cache and key and each != kept:
            cache.write(key, images, each)
    return [_kept(images, samples, each) for images, samples, each in zip(tensors, parts, faults, strict=True)]


def _mapped(cache: ImageCache | None, samples: Sequence[Sample], size: tuple[int, int], rule: int, needed: int) -> Decoded:
    """The images mapped from a file in the cache, into which they are decoded unless they are there already.

    ``needed`` are the bytes of all images that are read together.

    Raises:
        DataError: the cache may not take so much, its disk has no room, or too many files are damaged.

    """
    key = _key(cache, samples, size, rule)
    shape = (len(samples), 3, *size)
    advice = "choose a smaller image_size, or fewer images (num_train, num_validation)"
    if cache is None or key is None or needed > cache.most:
        free, room = usable_memory() / 1e9, (cache.most if cache else 0) / 1e9
        raise DataError(
            f"images of {size[1]} x {size[0]} pixels need {needed / 1e9:,.1f} GB, but {free:,.1f} GB of memory are free and "
            f"the cache on disk may take {room:,.1f} GB: allow it more ({VARIABLE}={needed / 1e9 + 1:.0f}), or {advice}"
        )
    kept = cache.mapped(key, shape)
    if kept is None:
        try:
            with cache.unfinished(key, prod(shape)) as file:
                images = torch.from_numpy(np.memmap(file, np.uint8, "r+", shape=shape))
                places = [(0, index) for index in range(len(samples))]
                (faults,) = _decode_into(Pool([images], file.fileno()), [samples], places, size, rule)
                _check_damage([(samples[index][0], reason) for index, reason in faults.items()], [samples], rule)
                cache.finish(file, images, faults)
        except OSError as error:
            raise DataError(
                f"{needed / 1e9:,.1f} GB of images do not fit into memory, and cannot be written to {cache.folder} "
                f"({error.strerror}): make room there, or {advice}"
            ) from None
        kept = cache.mapped(key, shape)
    if kept is None:
        raise DataError(f"the images in {cache.folder} are damaged as soon as they are written: its disk is not reliable")
    return _without(*kept, samples)


def _key(cache: ImageCache | None, samples: Sequence[Sample], size: tuple[int, int], rule: int) -> str | None:
    from PIL import __version__ as pillow

    return cache.key([path for path, _ in samples], size, rule, __version__, pillow) if cache and samples else None


def _decode_into(
    pool: Pool, parts: Sequence[Sequence[Sample]], places: Sequence[_Place], size: tuple[int, int], rule: int
) -> list[Faults]:
    """Decode the files of ``parts`` at ``places`` into ``pool``, and return the files of each part that cannot be read.

    Raises:
        DataError: values of more than 8 bits have no known range.

    """
    faults: list[Faults] = [{} for _ in parts]
    unsuitable: dict[_Place, str] = {}
    if pool.descriptor is None:
        found = _by_threads(pool, parts, places, size, rule)
    else:
        found = _by_processes(pool, parts, places, size, rule)
    for done, (place, fault) in enumerate(found, start=1):
        if fault is not None:
            part, index = place
            if fault.is_unsuitable:
                unsuitable[place] = fault.reason
            else:
                faults[part][index] = fault.reason
        report_decoded(done, len(places))
    if unsuitable:
        damaged = {(part, index): reason for part, each in enumerate(faults) for index, reason in each.items()}
        files = [(parts[part][index][0], reason) for (part, index), reason in {**unsuitable, **damaged}.items()]
        raise DataError(_told(files, sum(map(len, parts)), "usable"))
    return [dict(sorted(each.items())) for each in faults]


def _by_threads(
    pool: Pool, parts: Sequence[Sequence[Sample]], places: Sequence[_Place], size: tuple[int, int], rule: int
) -> Iterator[tuple[_Place, Fault | None]]:
    from attn_nas.data import pixels

    pixels.readable_formats()  # loads Pillow's readers in one thread
    arrays = [images.numpy() for images in pool.images]

    def read(place: _Place) -> None:
        part, index = place
        arrays[part][index] = pixels.read_image(parts[part][index][0], size, rule).transpose(2, 0, 1)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of odd, but readable files
        for place, error in _in_threads(read, places):
            if error is None:
                yield place, None
            else:
                arrays[place[0]][place[1]] = 0
                yield place, Fault(reason_of(error), isinstance(error, pixels.UnsuitableImageError))


def _by_processes(
    pool: Pool, parts: Sequence[Sequence[Sample]], places: Sequence[_Place], size: tuple[int, int], rule: int
) -> Iterator[tuple[_Place, Fault | None]]:
    begins = [0, *accumulate(map(len, parts))]
    order = [begins[part] + index for part, index in places]
    files = [parts[part][index][0] for part, index in places]
    assert pool.descriptor is not None
    for at, faults in decoded_by_processes([*zip(order, files, strict=True)], pool.descriptor, size, rule):
        yield from ((places[number], faults.get(order[number])) for number in at)


def _in_threads(work: Callable[[_Place], None], places: Sequence[_Place]) -> Iterator[tuple[_Place, Exception | None]]:
    """Call ``work`` for each place, in as many threads as there are cores; yield each place when it is done, with its error.

    An interrupt ends it at once, also while a thread waits for a file that never comes.
    """
    waiting: SimpleQueue[_Place] = SimpleQueue()
    results: SimpleQueue[tuple[_Place, Exception | None]] = SimpleQueue()
    stopped = threading.Event()
    for place in places:
        waiting.put(place)

    def run() -> None:
        with suppress(Empty):
            while not stopped.is_set():
                place, raised = waiting.get_nowait(), None
                try:
                    work(place)
                except Exception as error:  # noqa: BLE001  decoders raise exceptions of every type
                    raised = error
                results.put((place, raised))

    threads = [threading.Thread(target=run, daemon=True) for _ in range(min(usable_cores(), _THREADS, len(places)))]
    for thread in threads:
        thread.start()
    try:
        for _ in places:
            yield results.get()
    finally:
        stopped.set()
    for thread in threads:
        thread.join()


def _check_damage(damaged: Sequence[_Fault], parts: Sequence[Sequence[Sample]], rule: int) -> None:
    """Raise DataError if too many files are damaged."""
    total = sum(map(len, parts))
    if len(damaged) > (0 if rule == 1 else _TOLERATED * total):
        raise DataError(_told(damaged, total, "readable"))


def _told(files: Sequence[_Fault], total: int, quality: str) -> str:
    """The message for ``files`` with their reasons, of ``total`` files, which lack a ``quality``."""
    (path, reason), *others = sorted(files)
    message = f"{shown(path)} is not a {quality} image ({reason})"
    if not others:
        return f"{message}: remove or replace it"
    lines = [f"  {shown(path)} ({reason})" for path, reason in others[: _LISTED - 1]]
    if len(files) > _LISTED:
        lines.append(f"  and {len(files) - _LISTED:,} more")
    return "\n".join(
        [f"{message}; {len(files):,} of {total:,} images are not {quality}. The others:", *lines, "Remove or replace them"]
    )


def _kept(images: Tensor, samples: Sequence[Sample], faults: Faults) -> Decoded:
    """The images without those of ``faults``, which the others fill up in their place in memory."""
    indices = [index for index in range(len(samples)) if index not in faults]
    if faults:
        for target, source in enumerate(indices):
            if target != source:
                images[target] = images[source]
    return _without(images[: len(indices)], faults, samples)


def _without(images: Tensor, faults: Faults, samples: Sequence[Sample]) -> Decoded:
    """The ``images`` of all ``samples`` but those of ``faults``, with their labels and notes."""
    indices = [index for index in range(len(samples)) if index not in faults]
    labels = torch.tensor([samples[index][1] for index in indices], dtype=torch.int64)
    damaged = tuple(samples[index][0] for index in sorted(faults))
    notes = []
    if faults:
        count = f"{len(faults)} of {len(samples):,} images " + (
            "is not readable and is" if len(faults) == 1 else "are not readable and are"
        )
        named = listed([f"{shown(samples[index][0])} ({faults[index]})" for index in sorted(faults)], _LISTED)
        notes.append(f"{count} left out: {named}")
    dark = torch.from_numpy(images.flatten(1).numpy().max(axis=1) <= _DARK)
    counts = labels.bincount()
    if bool((2 * labels[dark].bincount(minlength=len(counts)) > counts).any()):
        example = shown(samples[indices[int(dark.nonzero()[0])]][0])
        notes.append(
            f"{int(dark.sum()):,} of {len(images):,} images are nearly black: no value is above {_DARK} of 255, for example in "
            f"{example}. If their values use fewer bits than their type, as 12 of 16, scale them to its range"
        )
    return Decoded(Split(images, labels), damaged, tuple(notes))
