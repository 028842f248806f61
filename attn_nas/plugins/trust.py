"""Which plug-in files may run: those that the user has named before, recognised by a digest of their source.

Run folders contain the plug-ins of their search space and may come from strangers. Opening one must not run code that this
user never named. A plug-in that was named once (in a search space, on the command line, in Python) is trusted in every copy.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path

from attn_nas.errors import SpaceError

_FOLDERS = "plugin-folders"
VARIABLE = "ATTN_NAS_TRUST_PLUGINS"
"""Environment variable; with the value 1 every plug-in is trusted."""


def check_trusted(path: Path, source: str) -> None:
    """Check that the user has named a plug-in with this ``source`` before, or trusts all plug-ins.

    Raises:
        SpaceError: the plug-in is not trusted.

    """
    if os.environ.get(VARIABLE, "") not in ("", "0"):
        remember(source)
    elif _digest(source) not in _remembered():
        raise SpaceError(
            f"the plug-in {path} was not run: it belongs to the folder that you open, and you never used it before. Read it; "
            f"if you trust it, say so once with attn-nas --trust-plugins (before the command) or {VARIABLE}=1"
        )


def remember(source: str, folder: Path | None = None) -> None:
    """Trust plug-ins with this ``source`` from now on; without effect if the user's state folder is not writable.

    ``folder`` is where the user keeps the file, for the modules and data beside it.
    """
    with suppress(OSError, RuntimeError):
        if _digest(source) not in _remembered():
            _append(_state(), _digest(source))
        if folder is not None and remembered_folder(source) != folder:
            _append(_state().with_name(_FOLDERS), f"{_digest(source)} {folder}")


def remembered_folder(source: str) -> Path | None:
    """The folder where the user has named a file with this ``source`` last; None if that is not known."""
    try:
        lines = _state().with_name(_FOLDERS).read_text(encoding="utf-8").splitlines()
    except (OSError, RuntimeError, UnicodeDecodeError):
        return None
    found = [folder for digest, _, folder in (line.partition(" ") for line in lines) if digest == _digest(source)]
    return Path(found[-1]) if found else None


def _append(path: Path, line: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with path.open("a", encoding="utf-8") as file:
        file.write(f"{line}\n")


def _remembered() -> set[str]:
    try:
        return set(_state().read_text(encoding="ascii").split())
    except (OSError, RuntimeError, UnicodeDecodeError):
        return set()


def _state() -> Path:
    """The file of trusted digests, one per line.

    Raises:
        RuntimeError: the user has no home folder.

    """
    base = os.environ.get("XDG_STATE_HOME")
    return (Path(base) if base else Path.home() / ".local" / "state") / "attn-nas" / "trusted-plugins"


def _digest(source: str) -> str:
    return hashlib.sha256(source.encode()).hexdigest()
