"""The four steps of a search and how far it is: prepare, search, confirm, export."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from attn_nas.report.pages.reading import RunReading

Progress = Literal["done", "now", "stopped", "later", "left out"]
STEPS = ("prepare", "search", "confirm", "export")


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
        if name == "confirm" and not confirmed:
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
    if progress.ended and progress.ended.why != "interrupted":
        return len(STEPS)
    if progress.started is None:
        return 0
    done, total = progress.done
    is_over = total is not None and done >= total
    if progress.round.begun:
        return 3 if is_over and progress.round.begun.round >= progress.round.begun.rounds else 2
    return 1 if not is_over else 2 if _is_confirmed(reading) else 3


def _is_confirmed(reading: RunReading) -> bool:
    started = reading.progress.started
    return bool(started.confirm if started else reading.run.manifest.confirm)


def _count(reading: RunReading, name: str) -> str:
    done, total = reading.progress.done
    return f"{done} of {total}" if name in ("search", "confirm") and total and done <= total else ""
