"""Keeps decoded images in the user's cache folder, so that the next command does not decode the same files again.

A cache that is missing, damaged, read-only or on a full disk is never an error: the files are decoded.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
import zlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from typing import BinaryIO

from torch import Tensor

from attn_nas.errors import DataError
from attn_nas.files import whole

VARIABLE = "ATTN_NAS_IMAGE_CACHE"
"""Environment variable: most gigabytes that the cache takes; 0 switches it off."""

_MOST = 10.0
_SUFFIX = ".images"
_LEFT_BEHIND = 3600.0
"""Age in seconds at which a file that a killed process was writing is removed."""

Faults = dict[int, str]
"""Why a file could not be read, by its index."""


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
        base = os.environ.get("XDG_CACHE_HOME")
        try:
            home = Path(base) if base else Path.home() / ".cache"
        except RuntimeError:
            return None
        return cls(home / "attn-nas" / "images", int(gigabytes * 1e9)) if gigabytes else None

    def key(self, paths: Sequence[Path], *settings: object) -> str | None:
        """The name under which the images of ``paths``, decoded with ``settings``, are kept; None if a file is missing.

        It changes with the path and the size of every file, with the time at which its contents were written, and with the time
        at which anything of it changed, which no program can set: files that change places or keep their dates are noticed.
        """
        digest = hashlib.blake2b(repr(settings).encode(), digest_size=20)
        try:
            for path in paths:
                status = path.stat()
                digest.update(os.fsencode(os.path.realpath(path)))
                digest.update(f"\0{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}\0".encode())
        except OSError:
            return None
        return digest.hexdigest()

    def read(self, key: str, images: Tensor) -> Faults | None:
        """Read the images kept under ``key`` into ``images`` ``(N, C, H, W)``.

        Returns:
            The files that could not be read when the images were decoded; None if nothing valid is kept.

        """
        path = self._path(key)
        with suppress(OSError, ValueError, KeyError, TypeError), path.open("rb") as file:
            described = json.loads(file.readline(1 << 24))
            if _fill(file, images) and described["checksum"] == _checksum(images):
                with suppress(OSError):
                    os.utime(path)
                return {int(index): str(reason) for index, reason in described["faults"].items()}
        return None

    def write(self, key: str, images: Tensor, faults: Faults) -> None:
        """Keep ``images`` and ``faults`` under ``key``, and remove what was used longest ago; without effect if that fails."""
        if images.numel() > self.most:
            return
        described = json.dumps({"checksum": _checksum(images), "faults": faults}).encode() + b"\n"
        with suppress(OSError):
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._make_room(len(described) + images.numel())
            with whole(self._path(key), f".{token_hex(8)}.unfinished") as unfinished, unfinished.open("xb") as file:
                file.write(described)
                file.write(images.numpy().data.cast("B"))

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


def _fill(file: BinaryIO, images: Tensor) -> bool:
    """Read ``images`` from the rest of ``file``; False if it has another length."""
    target = images.numpy().data.cast("B")
    read = 0
    while read < len(target) and (count := file.readinto(target[read:])):  # type: ignore[attr-defined]
        read += count
    return read == len(target) and not file.read(1)


def _checksum(images: Tensor) -> int:
    return zlib.crc32(images.numpy().data.cast("B"))
