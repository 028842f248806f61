"""Decodes many image files: in parallel, with all damaged files found at once, and kept in a cache."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue

import torch
from torch import Tensor

from attn_nas.data.dataset import Split
from attn_nas.data.image_cache import Faults, ImageCache
from attn_nas.data.listing import Sample, shown
from attn_nas.errors import DataError, first_line
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
_Fault = tuple[Path, str]
"""A file, and why it cannot be used."""


@dataclass(frozen=True, eq=False)
class Decoded:
    """Decoded images.

    Args:
        split: images and labels of the files that could be read, in their order.
        damaged: files that could not be read and are left out.
        notes: sentences for the user: files left out, images that are nearly black.

    """

    split: Split
    damaged: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()


def decode(samples: Sequence[Sample], size: int, rule: int) -> Decoded:
    """Decode the files of ``samples`` to squares of ``size`` pixels by decoding rule ``rule`` (see `pixels.read_square`).

    Up to one file of a hundred may be damaged and is left out; rule 1 leaves none out.

    Raises:
        DataError: more files are damaged, values have no known range, or the images do not fit into memory.

    """
    return decode_parts([samples], size, rule)[0]


def decode_parts(parts: Sequence[Sequence[Sample]], size: int, rule: int) -> list[Decoded]:
    """Decode several splits at once, as `decode` does, so that the damaged files of all of them are found before any error.

    Raises:
        DataError: see `decode`; the files of all splits count together.

    """
    tensors = _allocated([len(samples) for samples in parts], size)
    cache = ImageCache.of_user()
    keys = [_key(cache, samples, size, rule) for samples in parts]
    found = [cache.read(key, images) if cache and key else None for key, images in zip(keys, tensors, strict=True)]
    # A file that could not be read is tried again: the reason may have passed, such as a right or memory that was missing.
    wanted = [range(len(part)) if kept is None else [*kept] for part, kept in zip(parts, found, strict=True)]
    places = [(number, index) for number, indices in enumerate(wanted) for index in indices]
    faults = _decode_into(tensors, parts, places, size, rule)
    _check_damage([(parts[p][i][0], reason) for p, each in enumerate(faults) for i, reason in each.items()], parts, rule)
    for key, images, kept, each in zip(keys, tensors, found, faults, strict=True):
        if cache and key and each != kept:
            cache.write(key, images, each)
    return [_kept(images, samples, each) for images, samples, each in zip(tensors, parts, faults, strict=True)]


def _allocated(counts: Sequence[int], size: int) -> list[Tensor]:
    """Tensors for so many images; raises DataError if they do not fit into memory."""
    needed, usable = sum(counts) * 3 * size**2, usable_memory()
    try:
        if needed <= usable:
            return [torch.empty((count, 3, size, size), dtype=torch.uint8) for count in counts]
    except RuntimeError:
        usable = usable_memory()  # torch could not allocate them
    raise DataError(
        f"{sum(counts):,} images of {size} x {size} pixels need {needed / 1e9:,.1f} GB of memory, but "
        f"{usable / 1e9:,.1f} GB are free: choose a smaller image_size, or fewer images (num_train, num_validation)"
    )


def _key(cache: ImageCache | None, samples: Sequence[Sample], size: int, rule: int) -> str | None:
    from PIL import __version__ as pillow

    return cache.key([path for path, _ in samples], size, rule, __version__, pillow) if cache and samples else None


def _decode_into(
    tensors: Sequence[Tensor], parts: Sequence[Sequence[Sample]], places: Sequence[_Place], size: int, rule: int
) -> list[Faults]:
    """Decode the files of ``parts`` at ``places`` into ``tensors``, and return the files of each part that cannot be read.

    Raises:
        DataError: values of more than 8 bits have no known range.

    """
    from attn_nas.data.pixels import UnsuitableImageError, read_square, readable_formats

    readable_formats()  # loads Pillow's readers in one thread
    arrays = [images.numpy() for images in tensors]
    faults: list[Faults] = [{} for _ in parts]
    unsuitable: dict[_Place, str] = {}

    def read(place: _Place) -> None:
        part, index = place
        path = parts[part][index][0]
        arrays[part][index] = read_square(path, size, rule).transpose(2, 0, 1)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of odd, but readable files
        for done, (place, error) in enumerate(_in_threads(read, places), start=1):
            if isinstance(error, UnsuitableImageError):
                unsuitable[place] = str(error)
            elif error is not None:
                part, index = place
                arrays[part][index] = 0
                faults[part][index] = _reason(error)
            report_decoded(done, len(places))
    if unsuitable:
        damaged = {(part, index): reason for part, each in enumerate(faults) for index, reason in each.items()}
        files = [(parts[part][index][0], reason) for (part, index), reason in {**unsuitable, **damaged}.items()]
        raise DataError(_told(files, sum(map(len, parts)), "usable"))
    return [dict(sorted(each.items())) for each in faults]


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


def _reason(error: Exception) -> str:
    """Why a file cannot be read, in a few words."""
    from PIL import Image, UnidentifiedImageError

    if isinstance(error, UnidentifiedImageError):
        return "no image in a format that Pillow reads"
    if isinstance(error, Image.DecompressionBombError):
        return f"{first_line(error).partition(',')[0]}: make it smaller"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return first_line(error)


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
    for target, source in enumerate(indices):
        if target != source:
            images[target] = images[source]
    images = images[: len(indices)]
    labels = torch.tensor([samples[index][1] for index in indices], dtype=torch.int64)
    damaged = tuple(samples[index][0] for index in sorted(faults))
    notes = []
    if faults:
        count = f"{len(faults)} of {len(samples):,} images " + (
            "is not readable and is" if len(faults) == 1 else "are not readable and are"
        )
        named = listed([f"{shown(samples[index][0])} ({faults[index]})" for index in sorted(faults)], _LISTED)
        notes.append(f"{count} left out: {named}")
    dark = torch.tensor([bool(image.max() <= _DARK) for image in images], dtype=torch.bool)
    if any(dark[labels == label].float().mean() > 0.5 for label in labels.unique()):
        example = shown(samples[indices[int(dark.nonzero()[0])]][0])
        notes.append(
            f"{int(dark.sum()):,} of {len(images):,} images are nearly black: no value is above {_DARK} of 255, for example in "
            f"{example}. If their values use fewer bits than their type, as 12 of 16, scale them to its range"
        )
    return Decoded(Split(images, labels), damaged, tuple(notes))
