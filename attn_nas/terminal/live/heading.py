"""Rows of the live view: progress, times, and growth of the hypervolume."""

from __future__ import annotations

from rich.text import Text

from attn_nas.events.progress import SearchProgress
from attn_nas.events.types import SearchStarted
from attn_nas.format import duration
from attn_nas.space.metric import Metric
from attn_nas.terminal.lines import ENDED
from attn_nas.terminal.live.frame import Frame

_TREND_TRAININGS = 10
"""Number of trainings over which the change of the hypervolume is shown."""
_STEEP_SHARE = 0.1
"""Share of the first trainings that do not set the scale: the steep rise in them would hide all later changes."""


def heading(progress: SearchProgress, start: SearchStarted, frame: Frame, now: float) -> list[Text]:
    """Rows with the number of trials done, elapsed and remaining time, and a progress bar; ``now`` is a Unix time."""
    counts, times = f"{start.space}  {_done(progress, frame)}", _times(progress, start, frame, now)
    bar = frame.bar(_share(progress, start, now))
    if len(counts) + len(times) + 2 > frame.width:
        return [frame.row(counts, "bold"), frame.row(times), bar]
    both = frame.row(f"{counts}  {times}")
    both.stylize("bold", 0, len(counts))
    return [both, bar]


def _done(progress: SearchProgress, frame: Frame) -> str:
    (done, total), begun = progress.done, progress.round.begun
    counted = f"{done}" if total is None else f"{done}/{total}"
    if not begun:
        return f"trial {counted}"
    if frame.is_narrow:
        return f"round {begun.round}/{begun.rounds}: {counted}"
    return f"confirming, seed {begun.seed} (round {begun.round}/{begun.rounds}): {counted}"


def _times(progress: SearchProgress, start: SearchStarted, frame: Frame, now: float) -> str:
    if progress.ended:
        return f"took {duration(progress.ended.seconds)}, {ENDED[progress.ended.why]}"
    seconds = progress.seconds_left(now)
    left = "--:--" if seconds is None else duration(max(0.0, seconds))
    limit = "" if start.time_budget is None else f", {duration(start.time_budget)} at most"
    return f"elapsed {duration(max(0.0, now - start.time))}  left {left}{_after(progress, frame)}{limit}"


def _after(progress: SearchProgress, frame: Frame) -> str:
    rounds = progress.rounds_after
    if not rounds:
        return ""
    kind = "" if progress.round.begun or frame.is_narrow else " of confirmation"
    return f" + {rounds} round{'s' * (rounds > 1)}{kind}"


def _share(progress: SearchProgress, start: SearchStarted, now: float) -> float:
    done, total = progress.done
    if total is not None:
        return done / max(1, total)
    return (now - start.time) / start.time_budget if start.time_budget else 0.0


def hypervolume(progress: SearchProgress, frame: Frame) -> list[Text]:
    """Row with the growth of the front's hypervolume; empty before the first score."""
    volumes = progress.hypervolumes
    if not volumes:
        return []
    name = Metric.of_event(progress.started.metric if progress.started else None).name
    label = f"hypervolume ({name} x cost)" if frame.is_wide else "hypervolume"
    low = min(volumes[int(_STEEP_SHARE * len(volumes)) :])
    bars = frame.bars(volumes, 8 if frame.is_narrow else 20, low)
    value = f"{volumes[-1]:,.0f}" if volumes[-1] >= 1e4 else f"{volumes[-1]:.4g}"
    return [frame.row(f"{label} {bars} {value}{_change(volumes, frame)}")]


def _change(volumes: list[float], frame: Frame) -> str:
    back = min(_TREND_TRAININGS, len(volumes) - 1)
    before = volumes[-1 - back]
    if not back or before <= 0:
        return ""
    of = f" in {back}" if frame.is_narrow else f" in the last {back} training{'s' * (back > 1)}"
    return f"  {100 * (volumes[-1] / before - 1):+.2f} %{of}"
