"""Whose code is run: a user's own word for a plug-in is remembered, by what the file says.

A run and a table of trainings carry the plug-ins of their search space, and may come from anybody: to look at them must not
run code that this user never named. What was named once (in a search space, on the command line, in a test) is known again
wherever a copy of it is met.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path

from attn_nas.errors import SpaceError

VARIABLE = "ATTN_NAS_TRUST_PLUGINS"
"""Set to 1, every plug-in that is met counts as named by the user."""


def check_trusted(path: Path, source: str) -> None:
    """Raise SpaceError unless the user has named a plug-in that says ``source``, or trusts all; then it is remembered."""
    if os.environ.get(VARIABLE, "") not in ("", "0"):
        remember(source)
    elif _digest(source) not in _remembered():
        raise SpaceError(
            f"the plug-in {path} came with what is opened, you have not used it before, and so it was not run: read it, and "
            f"if you trust it, say so once with attn-nas --trust-plugins (before the command) or {VARIABLE}=1"
        )


def remember(source: str) -> None:
    """Know a plug-in that says ``source`` from now on, if the user's state can be written."""
    if _digest(source) in _remembered():
        return
    with suppress(OSError, RuntimeError):
        path = _state()
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with path.open("a", encoding="ascii") as file:
            file.write(f"{_digest(source)}\n")


def _remembered() -> set[str]:
    try:
        return set(_state().read_text(encoding="ascii").split())
    except (OSError, RuntimeError, UnicodeDecodeError):
        return set()


def _state() -> Path:
    """The file with a line for each plug-in; raises RuntimeError where there is no home."""
    base = os.environ.get("XDG_STATE_HOME")
    return (Path(base) if base else Path.home() / ".local" / "state") / "attn-nas" / "trusted-plugins"


def _digest(source: str) -> str:
    return hashlib.sha256(source.encode()).hexdigest()
