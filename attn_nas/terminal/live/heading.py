"""Rows of the live view: the steps of a search, its times, and a progress bar."""

from __future__ import annotations

from rich.text import Text

from attn_nas.events.progress import STEPS, SearchProgress, Step
from attn_nas.events.types import SearchStarted
from attn_nas.format import duration
from attn_nas.terminal.lines import ENDED
from attn_nas.terminal.live.frame import Frame

_MARKS, _ASCII_MARKS = ("✓", "▸", "·"), ("x", ">", "-")
"""Marks of steps that are done, of the present one, and of those to come."""
_STYLES = ("green", "bold", "dim")


def heading(progress: SearchProgress, start: SearchStarted, frame: Frame, now: float) -> list[Text]:
    """Rows with the steps and how far they are, elapsed and remaining time, and a progress bar; ``now`` is a Unix time."""
    return [steps(progress, start, frame), frame.row(_times(progress, start, now)), frame.bar(_share(progress, start, now))]


def steps(progress: SearchProgress, start: SearchStarted | None, frame: Frame) -> Text:
    """Row with the steps prepare, search, confirm and export; a narrow terminal shows the present step alone."""
    found = [step for step in STEPS if step != "confirm" or start is None or start.confirm]
    now = progress.step
    present = len(found) if now is None else found.index(now) if now in found else 0
    if frame.is_narrow and now:
        return frame.row(f"step {present + 1} of {len(found)}: {_named(now, progress)}", "bold")
    marks = _ASCII_MARKS if frame.ascii_only else _MARKS
    row = Text("   ", no_wrap=True).join(
        Text(f"{marks[kind]} {_named(step, progress) if kind == 1 else _coming(step, start)}", _STYLES[kind])
        for number, step in enumerate(found)
        for kind in ((number >= present) + (number > present),)
    )
    row.truncate(frame.width, overflow=frame.overflow)
    return row


def _coming(step: Step, start: SearchStarted | None) -> str:
    """A step that is done, or to come."""
    rounds = start.confirm if start and step == "confirm" else 0
    return f"{step}, {rounds} rounds" if rounds > 1 else step


def _named(step: Step, progress: SearchProgress) -> str:
    """The present step, and how far it is."""
    if step == "export":
        exported = progress.exported
        return step if exported is None or exported.models is None else f"{step} {exported.done}/{exported.models}"
    if step == "prepare":
        return step
    (done, total), begun = progress.done, progress.round.begun
    if step == "confirm" and begun is None:
        return step
    counted = f"{step} {done}" if total is None else f"{step} {done}/{total}"
    return f"{counted} (round {begun.round} of {begun.rounds})" if begun and begun.rounds > 1 else counted


def _times(progress: SearchProgress, start: SearchStarted, now: float) -> str:
    if progress.ended and progress.step is None:
        return f"took {duration(progress.ended.seconds)}, {ENDED[progress.ended.why]}"
    seconds = progress.seconds_left(now)
    left = "" if seconds is None else f", about {duration(max(1.0, seconds))} left in this step"
    limit = "" if start.time_budget is None or progress.ended else f", {duration(start.time_budget)} at most"
    return f"elapsed {duration(max(0.0, now - start.time))}{left}{limit}"


def _share(progress: SearchProgress, start: SearchStarted, now: float) -> float:
    if progress.ended:
        exported = progress.exported
        return 1.0 if progress.step is None else exported.done / max(1, exported.models or 1) if exported else 0.0
    done, total = progress.done
    if total is not None:
        return done / max(1, total)
    return (now - start.time) / start.time_budget if start.time_budget else 0.0


def doing(progress: SearchProgress) -> str:
    """What goes on while no training runs, as a sentence part; empty while one runs, and after the end."""
    if progress.step == "export":
        exported = progress.exported
        if exported is None or exported.models is None:
            return "estimating from all trainings ..."
        return f"writing and verifying {exported.models} model{'s' * (exported.models != 1)} ..."
    if progress.running or progress.ended:
        return ""
    if progress.step != "confirm":
        return "choosing the next network ..."
    if progress.round.begun is None:
        return "choosing the networks to train again ..."
    done, total = progress.done
    return "keeping the weights of the likely front ..." if done == total else "the next training begins ..."
