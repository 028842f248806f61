"""Files that are written whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from attn_nas.errors import WriteError, first_line


def write_whole(path: Path, content: str | bytes | memoryview) -> None:
    """Write ``content`` to ``path``, whole or not at all; raises OSError."""
    with whole(path, ".unfinished") as unfinished:
        unfinished.write_bytes(content.encode() if isinstance(content, str) else content)


@contextmanager
def whole(path: Path, suffix: str) -> Iterator[Path]:
    """The file beside ``path`` that becomes it when the block has written it, and is removed when it fails."""
    unfinished = path.with_suffix(suffix)
    try:
        yield unfinished
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


@contextmanager
def told_unwritable(path: Path) -> Iterator[None]:
    """What fails in the block, which writes ``path``, is a WriteError that says so."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else first_line(error)
        raise WriteError(f"{path} cannot be written: {reason}") from None


def discard_unfinished(folder: Path) -> None:
    """Remove what killed processes have left in ``folder``, where no other one writes now."""
    for leftover in folder.glob("*.unfinished*"):
        leftover.unlink(missing_ok=True)
