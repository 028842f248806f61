"""The events of a run read back from its log, while it is written."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from attn_nas.study import events
from attn_nas.study.events import Event, FrontPoint

_KINDS: dict[str, type[Event]] = {
    kind.__name__: kind for kind in vars(events).values() if isinstance(kind, type) and issubclass(kind, Event)
}


def event_of(document: Mapping[str, Any]) -> Event | None:
    """The event that `Event.to_dict` wrote; None for one that this version does not know."""
    kind = _KINDS.get(str(document.get("event")))
    if kind is None:
        return None
    known = {field.name for field in fields(kind)}
    values = {name: value for name, value in document.items() if name in known}
    try:
        if "front" in values:
            values["front"] = tuple(FrontPoint(**{**point, "costs": tuple(point["costs"])}) for point in values["front"])
        return kind(**values)
    except (TypeError, KeyError):
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
