"""Parse durations of command-line options."""

from __future__ import annotations

import re

from attn_nas.errors import UsageError

_SECONDS = {"d": 86400, "h": 3600, "m": 60, "s": 1}
_WRITTEN = re.compile("".join(rf"(?:(\d+(?:\.\d+)?){unit})?" for unit in _SECONDS))


def parse_seconds(option: str, text: str) -> float:
    """Convert ``1h30m``, ``45m``, ``90s`` or ``90`` to seconds.

    Raises:
        UsageError: ``text``, the value of ``option``, is not a positive duration.

    """
    try:
        found = float(text)
    except ValueError:
        written = _WRITTEN.fullmatch(text.replace(" ", ""))
        parts = written.groups() if written else ()
        found = sum(float(part) * unit for part, unit in zip(parts, _SECONDS.values(), strict=False) if part)
    if not 0 < found < float("inf"):
        raise UsageError(f"{option} {text}: write a duration like 1h30m, 45m or 90s")
    return found
