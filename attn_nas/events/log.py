"""Reads the events of a run from its log, also while the log grows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from attn_nas.events import types as events
from attn_nas.events.types import Event

_KINDS: dict[str, type[Event]] = {
    kind.__name__: kind for kind in vars(events).values() if isinstance(kind, type) and issubclass(kind, Event)
}


@cache
def _reader(name: str) -> TypeAdapter[Event]:
    return TypeAdapter(_KINDS[name])


def event_of(document: Mapping[str, Any]) -> Event | None:
    """The event of a document that `Event.to_dict` wrote; None if this version does not know it, or if it is damaged."""
    name = str(document.get("event"))
    try:
        return _reader(name).validate_python(document) if name in _KINDS else None
    except ValidationError:
        return None


class EventLog:
    """The event log of a run, ``events.jsonl``; each event is read once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read = 0

    def new_lines(self) -> list[str]:
        """Complete lines since the last call; a log that became shorter is read from its start."""
        try:
            with self._path.open("rb") as file:
                size = file.seek(0, 2)
                if size < self._read:
                    self._read = 0
                file.seek(self._read)
                content = file.read()
        except OSError:
            return []
        whole = content[: content.rfind(b"\n") + 1]
        self._read += len(whole)
        return whole.decode(errors="replace").splitlines()

    def new(self) -> list[Event]:
        """Events since the last call; lines that are not events are left out."""
        found = (event_in(line) for line in self.new_lines())
        return [event for event in found if event is not None]


def event_in(line: str) -> Event | None:
    """The event in a line of a log; None if there is none."""
    try:
        document = json.loads(line)
    except json.JSONDecodeError:
        return None
    return event_of(document) if isinstance(document, dict) else None
