"""The state of a search as rows that fit the terminal."""

from __future__ import annotations

import time
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.text import Text

from attn_nas.events.progress import SearchProgress
from attn_nas.events.types import SearchStarted
from attn_nas.format import duration
from attn_nas.space.metric import Metric
from attn_nas.terminal.lines import about_data, opening
from attn_nas.terminal.live.frame import Frame
from attn_nas.terminal.live.heading import doing, heading, steps
from attn_nas.terminal.live.panes import failure_rows, front_rows, worker_rows

_MAX_FAILURES = 3
_ROWS_PER_FAILURE = 6
"""One failure is shown for each six rows of the terminal."""


@dataclass(frozen=True)
class Hints:
    """Sentences about Ctrl-C: ``before`` a stop is requested, and ``after``."""

    before: str
    after: str


STOP = Hints("Ctrl-C stops after the running trials", "stopping after the running trials; Ctrl-C again stops now")
LEAVE = Hints("Ctrl-C ends this view; the search continues", "stopping after the running trials; Ctrl-C ends this view")


@dataclass
class Preparing:
    """The time before a search has started: it was ``begun`` at this Unix time, and decodes images.

    ``done`` of ``total`` images were decoded since the first report, which came at ``since``.
    """

    begun: float
    done: int = 0
    total: int = 0
    since: float | None = None

    def note(self, done: int, total: int, now: float) -> None:
        """Note that ``done`` of ``total`` images are decoded at the Unix time ``now``."""
        if self.since is None or done < self.done:
            self.since = now
        self.done, self.total = done, total

    def text(self, now: float) -> str:
        """Elapsed time, images, and the time that is left for them."""
        shown = f" {duration(max(0.0, now - self.begun))}"
        if self.since is None or self.done >= self.total:
            return shown
        pace = (now - self.since) / self.done if self.done else 0.0
        left = f", about {duration(pace * (self.total - self.done))} left" if pace else ""
        return f"{shown}, {self.done:,} of {self.total:,} images decoded{left}"


def picture(
    progress: SearchProgress, hints: Hints = STOP, now: float | None = None, preparing: Preparing | None = None
) -> RenderableType:
    """Draw steps, workers, front and failures, as far as the terminal has rows for them.

    ``now`` is a Unix time in seconds; by default the time of each drawing. ``preparing`` describes the time before the search
    has started.
    """
    return _Picture(progress, hints, now, preparing)


@dataclass(frozen=True)
class _Picture:
    progress: SearchProgress
    hints: Hints
    now: float | None
    preparing: Preparing | None

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the rows for the present size of the terminal."""
        start, frame = self.progress.started, Frame(options.max_width, options.ascii_only)
        if start is None:
            said = self.preparing.text(self._now) if self.preparing else ""
            yield Group(steps(self.progress, None, frame), *frame.wrapped(f"preparing the data and the cost table ...{said}"))
        else:
            yield Group(*self._rows(start, frame, options.size.height - 1))

    @property
    def _now(self) -> float:
        return time.time() if self.now is None else self.now

    def _rows(self, start: SearchStarted, frame: Frame, height: int) -> list[Text]:
        """Return at most ``height`` rows; the front is cut first, then the workers."""
        progress = self.progress
        above = [
            *frame.wrapped(opening(start), "dim"),
            *(row for line in about_data(start) for row in frame.wrapped(line, "dim")),
            *heading(progress, start, frame, self._now),
        ]
        notes = self._notes(frame)
        room = height - len(above) - len(notes)
        failures = failure_rows(progress, frame, min(_MAX_FAILURES, room // _ROWS_PER_FAILURE))
        room -= len(failures)
        workers = [frame.row(now, "dim")] if (now := doing(progress)) and room > 0 else []
        if progress.running:
            workers = worker_rows(progress, frame, room - bool(progress.front))
        front = front_rows(progress.front, frame, room - len(workers), Metric.of_event(start.metric), start.epochs)
        return [*above, *workers, *front, *failures, *notes][: max(1, height)]

    def _notes(self, frame: Frame) -> list[Text]:
        progress = self.progress
        numbers = {"failed": progress.failed, "paused": progress.paused}
        counts = [f"{outcome} {number}" for outcome, number in numbers.items() if number]
        found = [frame.row("  ".join(counts), "yellow")] if counts else []
        if progress.waiting:
            found.append(frame.row(f"waiting for the storage: {progress.waiting}", "yellow"))
        if progress.ended is None:
            found.append(frame.row(self.hints.after if progress.stopping else self.hints.before, "dim"))
        return found
