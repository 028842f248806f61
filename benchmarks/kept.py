"""Finished parts of a benchmark in a file, one JSON line each, so that a run that was ended goes on where it was."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def kept(path: Path | None) -> list[dict[str, Any]]:
    """The finished parts in ``path``; a line that was cut off is none."""
    found = []
    for line in path.read_text(encoding="utf-8").splitlines() if path and path.exists() else ():
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found


def keep(path: Path | None, document: Mapping[str, Any]) -> None:
    """Append a finished part, on a line of its own even after one that was cut off."""
    if path is None:
        return
    before = path.read_bytes() if path.exists() else b""
    cut = bool(before) and not before.endswith(b"\n")
    with path.open("a", encoding="utf-8") as file:
        file.write("\n" * cut + json.dumps(document) + "\n")
