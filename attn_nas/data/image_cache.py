"""Keeps decoded images in the user's cache folder, so that the next command does not decode the same files again.

A cache that is missing, damaged, read-only or on a full disk is never an error: the files are decoded.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from math import prod
from pathlib import Path
from secrets import token_hex
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import Tensor

from attn_nas.errors import DataError
from attn_nas.files import whole

VARIABLE = "ATTN_NAS_IMAGE_CACHE"
"""Environment variable: most gigabytes that the cache takes; 0 switches it off."""

_MOST = 10.0
_SUFFIX = ".images"
_LONGEST_END = 1 << 26
_LEFT_BEHIND = 3600.0
"""Age in seconds at which a file that a killed process was writing is removed."""

Faults = dict[int, str]
"""Why a file could not be read, by its index."""


def cache_folder() -> Path | None:
    """The folder of this package in the user's cache, ``XDG_CACHE_HOME`` or ``~/.cache``; None if there is no home."""
    base = os.environ.get("XDG_CACHE_HOME")
    try:
        return (Path(base) if base else Path.home() / ".cache") / "attn-nas"
    except RuntimeError:
        return None


@dataclass(frozen=True)
class ImageCache:
    """The decoded images in ``folder``, of at most ``most`` bytes; those used longest ago are removed first."""

    folder: Path
    most: int

    @classmethod
    def of_user(cls) -> ImageCache | None:
        """The cache of the user, below ``XDG_CACHE_HOME`` or ``~/.cache``; None if it is switched off or there is no home.

        Raises:
            DataError: the environment variable ``ATTN_NAS_IMAGE_CACHE`` is not a number of at least 0.

        """
        given = os.environ.get(VARIABLE, "").strip()
        try:
            gigabytes = float(given) if given else _MOST
        except ValueError:
            gigabytes = -1.0
        if not 0 <= gigabytes < float("inf"):
            raise DataError(f"{VARIABLE} = {given!r}: give the most gigabytes that the cache may take, or 0 for no cache")
        folder = cache_folder()
        return cls(folder / "images", int(gigabytes * 1e9)) if folder and gigabytes else None

    def key(self, paths: Sequence[str], *settings: object) -> str | None:
        """The name under which the images of ``paths``, decoded with ``settings``, are kept; None if a file is missing.

        It changes with the path and the size of every file, with the time at which its contents were written, and with the time
        at which anything of it changed, which no program can set: files that change places or keep their dates are noticed.
        """
        real: dict[str, str] = {}
        parts = [repr(settings)]
        try:
            for path in paths:
                folder, _, name = path.rpartition("/")
                if folder not in real:
                    real[folder] = os.path.realpath(folder or ("/" if path[0] == "/" else "."))
                status = os.stat(path)  # noqa: PTH116  faster than a Path, and there are many
                parts.append(f"{real[folder]}/{name}\0{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}")
        except OSError:
            return None
        return hashlib.blake2b(os.fsencode("\0".join(parts)), digest_size=20).hexdigest()

    def read(self, key: str, images: Tensor) -> Faults | None:
        """Read the images kept under ``key`` into ``images`` ``(N, C, H, W)``.

        Returns:
            The files that could not be read when the images were decoded; None if nothing valid is kept.

        """
        path = self._path(key)
        with suppress(OSError, ValueError, KeyError, TypeError), path.open("rb") as file:
            described = _end_of(file, images.numel())
            if described.get("without_gaps") and described["faults"]:
                return None
            if _fill(file, images) and described["checksum"] in (None, _checksum(images)):
                with suppress(OSError):
                    os.utime(path)
                return _faults(described)
        return None

    def mapped(self, key: str, shape: tuple[int, ...]) -> tuple[Tensor, Faults] | None:
        """The images of ``shape`` kept under ``key``, mapped from their file, without those of the faults; None without them.

        Changes of them stay in this process.
        """
        path = self._path(key)
        with suppress(OSError, ValueError, KeyError, TypeError), path.open("rb") as file:
            described = _end_of(file, prod(shape))
            faults = _faults(described)
            if faults and not described.get("without_gaps"):
                return None
            with suppress(OSError):
                os.utime(path)
            images = torch.from_numpy(np.memmap(file, np.uint8, "c", shape=shape))
            return images[: shape[0] - len(faults)], faults
        return None

    @contextmanager
    def unfinished(self, key: str, size: int) -> Iterator[BinaryIO]:
        """A file with room for ``size`` bytes of images; it is kept under ``key`` once `finish` has written its end.

        Raises:
            OSError: the disk has no room.

        """
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._make_room(size)
        with whole(self._path(key), f".{token_hex(8)}.unfinished") as path, path.open("x+b") as file:
            os.posix_fallocate(file.fileno(), 0, size)
            yield file

    @staticmethod
    def finish(file: BinaryIO, images: Tensor, faults: Faults) -> None:
        """Move the mapped ``images`` of an `unfinished` file together over the gaps of ``faults``, and write its end."""
        if faults:
            kept = [index for index in range(len(images)) if index not in faults]
            for target, source in enumerate(kept):
                if target != source:
                    images[target] = images[source]
        file.seek(images.numel())
        file.write(_described(None, faults, without_gaps=True))

    def write(self, key: str, images: Tensor, faults: Faults) -> None:
        """Keep ``images`` and ``faults`` under ``key``, and remove what was used longest ago; without effect if that fails."""
        if images.numel() > self.most:
            return
        described = _described(_checksum(images), faults, without_gaps=False)
        with suppress(OSError):
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._make_room(len(described) + images.numel())
            with whole(self._path(key), f".{token_hex(8)}.unfinished") as unfinished, unfinished.open("xb") as file:
                file.write(images.numpy().data.cast("B"))
                file.write(described)

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}{_SUFFIX}"

    def _make_room(self, added: int) -> None:
        """Remove files until ``added`` more bytes fit, and what killed processes have left behind."""
        kept = []
        for path in self.folder.iterdir():
            with suppress(FileNotFoundError):  # another process removes files too
                status = path.stat()
                if path.suffix == ".unfinished" and time.time() - status.st_mtime > _LEFT_BEHIND:
                    path.unlink()
                elif path.suffix == _SUFFIX:
                    kept.append((status.st_mtime, status.st_size, path))
        total = sum(size for _, size, _ in kept) + added
        for _, size, path in sorted(kept):
            if total <= self.most:
                return
            path.unlink(missing_ok=True)
            total -= size


def _described(checksum: int | None, faults: Faults, *, without_gaps: bool) -> bytes:
    """The end of a file of images; ``without_gaps`` if the images of the faults are not among them."""
    described = {"checksum": checksum, "faults": faults} | ({"without_gaps": True} if without_gaps else {})
    return json.dumps(described).encode() + b"\n"


def _end_of(file: BinaryIO, size: int) -> dict[str, Any]:
    """What follows ``size`` bytes of images in a file, which is then at its beginning again; raises ValueError."""
    file.seek(size)
    end = file.read(_LONGEST_END)
    if not end.endswith(b"\n"):
        raise ValueError("the file is cut")
    file.seek(0)
    found: dict[str, Any] = json.loads(end)
    return found


def _faults(described: dict[str, Any]) -> Faults:
    return {int(index): str(reason) for index, reason in described["faults"].items()}


def _fill(file: BinaryIO, images: Tensor) -> bool:
    """Read ``images`` from the beginning of ``file``; False if it has fewer bytes."""
    target = images.numpy().data.cast("B")
    read = 0
    while read < len(target) and (count := file.readinto(target[read:])):  # type: ignore[attr-defined]
        read += count
    return read == len(target)


def _checksum(images: Tensor) -> int:
    return zlib.crc32(images.numpy().data.cast("B"))
