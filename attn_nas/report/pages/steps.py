"""The four steps of a search and how far it is: prepare, search, confirm, export."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from attn_nas.events.progress import STEPS
from attn_nas.report.pages.reading import RunReading

Progress = Literal["done", "now", "stopped", "later", "left out"]


@dataclass(frozen=True)
class SearchStep:
    """A step of a search: its ``name``, its ``progress``, and how many trainings of it are done, as ``12 of 50``, if known."""

    name: str
    progress: Progress
    count: str = ""


def steps_of(reading: RunReading) -> list[SearchStep]:
    """The four steps of the search in ``reading``."""
    here, confirmed = _position(reading), _is_confirmed(reading)
    found = []
    for index, name in enumerate(STEPS):
        if (name == "confirm" and not confirmed) or (name == "export" and _exports_nothing(reading)):
            found.append(SearchStep(name, "left out"))
        elif index < here:
            found.append(SearchStep(name, "done"))
        elif index > here:
            found.append(SearchStep(name, "later"))
        else:
            found.append(SearchStep(name, "now" if reading.state == "running" else "stopped", _count(reading, name)))
    return found


def _position(reading: RunReading) -> int:
    """Index of the step that the search is in; the number of steps when all are done."""
    progress = reading.progress
    if progress.step is not None:
        return STEPS.index(progress.step)
    if progress.ended and progress.ended.why == "interrupted":
        return STEPS.index("confirm" if progress.round.begun else "search")
    return len(STEPS)


def _is_confirmed(reading: RunReading) -> bool:
    started = reading.progress.started
    return bool(started.confirm if started else reading.run.manifest.confirm)


def _exports_nothing(reading: RunReading) -> bool:
    """True if the export was left out, or had no network to export because no training has a score."""
    exported, ended = reading.progress.exported, reading.progress.ended
    return (exported is not None and exported.models == 0) or (ended is not None and not reading.run.candidates)


def _count(reading: RunReading, name: str) -> str:
    progress = reading.progress
    done, total = progress.done
    if name == "export" and progress.exported:
        done, total = progress.exported.done, progress.exported.models
    return f"{done} of {total}" if name != "prepare" and total and done <= total else ""
