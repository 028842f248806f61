"""The events of a run read back from its log, while it is written."""

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
    """The event that `Event.to_dict` wrote; None for one that this version does not know, or that is damaged."""
    name = str(document.get("event"))
    try:
        return _reader(name).validate_python(document) if name in _KINDS else None
    except ValidationError:
        return None


class EventLog:
    """The log of a search's events, ``events.jsonl`` in its run, from which each event is read once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read = 0

    def new_lines(self) -> list[str]:
        """The lines that were completed since the last call; a log that has become shorter is read from its beginning."""
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
        """The events that were written since the last call; lines that are none are left out."""
        found = (event_in(line) for line in self.new_lines())
        return [event for event in found if event is not None]


def event_in(line: str) -> Event | None:
    """The event that a line of a log says; None if it says none."""
    try:
        document = json.loads(line)
    except json.JSONDecodeError:
        return None
    return event_of(document) if isinstance(document, dict) else None
