"""Atomic writes: a file is replaced completely or stays as it was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from attn_nas.errors import WriteError, first_line


def write_whole(path: Path, content: str | bytes | memoryview) -> None:
    """Write ``content`` to ``path`` atomically.

    Raises:
        OSError: the file cannot be written; ``path`` is unchanged.

    """
    with whole(path, ".unfinished") as unfinished:
        unfinished.write_bytes(content.encode() if isinstance(content, str) else content)


@contextmanager
def whole(path: Path, suffix: str) -> Iterator[Path]:
    """Yield a temporary path beside ``path``, with this ``suffix``.

    The file written there replaces ``path`` at the end of the block; if the block fails, it is removed.
    """
    unfinished = path.with_suffix(suffix)
    try:
        yield unfinished
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


@contextmanager
def raising_write_error(path: Path) -> Iterator[None]:
    """Turn errors of a block that writes ``path`` into a WriteError that names the file and the reason."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else first_line(error)
        raise WriteError(f"{path} cannot be written: {reason}") from None


def discard_unfinished(folder: Path) -> None:
    """Remove temporary files that killed processes left in ``folder``; no other process may be writing there."""
    for leftover in folder.glob("*.unfinished*"):
        leftover.unlink(missing_ok=True)
