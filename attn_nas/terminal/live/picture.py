"""The state of a search as rows that fit the terminal."""

from __future__ import annotations

import time
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.text import Text

from attn_nas.events.progress import SearchProgress
from attn_nas.events.types import SearchStarted
from attn_nas.space.metric import Metric
from attn_nas.terminal.lines import about_data, opening
from attn_nas.terminal.live.frame import Frame
from attn_nas.terminal.live.heading import heading, hypervolume
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


def picture(
    progress: SearchProgress, hints: Hints = STOP, now: float | None = None, decoded: tuple[int, int] | None = None
) -> RenderableType:
    """Draw budget, workers, front, hypervolume and failures, as far as the terminal has rows for them.

    ``now`` is a Unix time in seconds; by default the time of each drawing. ``decoded`` are, before the search has started, the
    number of decoded images and the number of all images.
    """
    return _Picture(progress, hints, now, decoded)


@dataclass(frozen=True)
class _Picture:
    progress: SearchProgress
    hints: Hints
    now: float | None
    decoded: tuple[int, int] | None

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the rows for the present size of the terminal."""
        start = self.progress.started
        if start is None:
            yield Text("preparing the data and the cost table ..." + self._images)
        else:
            frame = Frame(options.max_width, options.ascii_only)
            yield Group(*self._rows(start, frame, options.size.height - 1))

    @property
    def _images(self) -> str:
        done, total = self.decoded or (0, 0)
        return f" {done:,} of {total:,} images decoded" if done < total else ""

    def _rows(self, start: SearchStarted, frame: Frame, height: int) -> list[Text]:
        """Return at most ``height`` rows; the front is cut first, then the workers."""
        progress = self.progress
        above = [
            *frame.wrapped(opening(start), "dim"),
            *(row for line in about_data(start) for row in frame.wrapped(line, "dim")),
            *heading(progress, start, frame, time.time() if self.now is None else self.now),
        ]
        trend, notes = hypervolume(progress, frame), self._notes(frame)
        room = height - len(above) - len(trend) - len(notes)
        failures = failure_rows(progress, frame, min(_MAX_FAILURES, room // _ROWS_PER_FAILURE))
        room -= len(failures)
        workers = [] if progress.ended else worker_rows(progress, frame, room - bool(progress.front))
        front = front_rows(progress.front, frame, room - len(workers), Metric.of_event(start.metric))
        return [*above, *workers, *front, *trend, *failures, *notes][: max(1, height)]

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
