"""One-line summaries of the runs of a folder, read without their trials: space, progress, best value of the metric."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from attn_nas.errors import RunError
from attn_nas.events.log import EventLog, event_in
from attn_nas.events.progress import SearchProgress
from attn_nas.runs.choices import RunChoices
from attn_nas.runs.folder import RunFolder
from attn_nas.space.metric import ACCURACY, Metric

State = Literal["running", "finished", "stopped", "broken"]
_MAX_THREADS = 16
_STEPS, _ENDS = ("TrialStarted", "EpochFinished"), ("TrialFinished", "TrialPaused", "TrialFailed")


@dataclass(frozen=True)
class RunSummary:
    """Summary of one run; unknown values are None.

    ``finished`` of ``budget`` candidates are done; ``round`` of ``rounds`` is the current or last round of confirmation.
    ``best`` is the highest accuracy on the Pareto front, from 0 to 1, or the best value of the ``metric`` (its fields, see
    `attn_nas.space.metric`; None for accuracy). ``believed`` is true if ``best``, ``front`` and
    ``hypervolume`` are estimates from all trainings, which a search writes when it ends; false if they are measured values.
    ``pick`` is the name of the run's pick, once the search has ended.
    ``begun`` and ``last_active`` are Unix times in seconds. A ``broken`` run has a ``reason`` and few other values.
    """

    name: str
    path: str
    state: State
    space: str | None = None
    trunk: str | None = None
    finished: int = 0
    budget: int | None = None
    round: int | None = None
    rounds: int | None = None
    best: float | None = None
    believed: bool = False
    front: int = 0
    hypervolume: float | None = None
    pick: str | None = None
    failed: int = 0
    paused: int = 0
    ended: str | None = None
    begun: float | None = None
    last_active: float | None = None
    reason: str | None = None
    metric: Mapping[str, Any] | None = None

    @property
    def shown_best(self) -> str | None:
        """The best value with its unit, and with the name of another metric than accuracy."""
        if self.best is None:
            return None
        metric = Metric.of_event(self.metric)
        shown = metric.text(metric.score(self.best))
        return shown if metric == ACCURACY else f"{shown} {metric.name}"

    @classmethod
    def of(cls, path: str | Path) -> RunSummary:
        """Summarize a run folder; a run that cannot be read becomes a summary in state ``broken``, not an error."""
        folder = RunFolder(path)
        try:
            return cls._read(folder, RunChoices.from_stored(folder.study.stored_manifest(), folder.path))
        except (RunError, KeyError, TypeError, AttributeError, OSError) as error:
            reason = str(error) if isinstance(error, RunError) else f"its log cannot be read ({error!r})"
            return cls(_name(folder), str(folder.path), "broken", last_active=_changed(folder.path), reason=reason)

    @classmethod
    def _read(cls, folder: RunFolder, choices: RunChoices) -> RunSummary:
        progress = brief_progress(EventLog(folder.events).new_lines())
        round_, ended = progress.round.begun, progress.ended
        metric = choices.space.metric
        best, believed = _Best.of(folder, progress, metric)
        return cls(
            name=_name(folder),
            path=str(folder.path),
            state=_state(folder, progress),
            space=choices.space_name,
            trunk=progress.started.trunk if progress.started else choices.space.trunk_name,
            finished=progress.finished,
            budget=choices.budget,
            round=round_.round if round_ else None,
            rounds=round_.rounds if round_ else None,
            best=best.value,
            metric=None if metric == ACCURACY else metric.to_dict(),
            believed=believed,
            front=best.front,
            hypervolume=best.hypervolume,
            pick=best.pick,
            failed=progress.failed,
            paused=progress.paused,
            ended=ended.why if ended else None,
            begun=progress.started.time if progress.started else _changed(folder.space),
            last_active=progress.last or _changed(folder.events) or _changed(folder.space),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the summary as JSON-ready data."""
        return asdict(self)


def runs_in(folder: str | Path) -> list[RunSummary]:
    """Summarize the runs inside ``folder``, the last active first, or ``folder`` itself if it is a run.

    Folders without any file of a run are left out.

    Raises:
        RunError: ``folder`` is missing or cannot be read.

    """
    try:
        inside = [path for path in Path(folder).iterdir() if path.is_dir() and _may_be_run(path)]
    except OSError as error:
        raise RunError(f"{folder} cannot be read: {error.strerror}; a search puts its run under runs/") from None
    found = [Path(folder)] if _may_be_run(Path(folder)) else inside
    with ThreadPoolExecutor(_MAX_THREADS) as pool:  # several servers that do not answer are waited for at the same time
        return sorted(pool.map(RunSummary.of, found), key=lambda summary: -(summary.last_active or 0.0))


def brief_progress(lines: Sequence[str]) -> SearchProgress:
    """Return the state of a search after the ``lines`` of its event log, skipping events that do not change it.

    Skipped are the steps of trainings that have ended, and all scores except the last and those of the current round of
    confirmation. `SearchProgress.hypervolumes` is therefore incomplete.
    """
    kinds = [_kind(line) for line in lines]
    last = max((index for index, kind in enumerate(kinds) if kind == "TrialFinished"), default=-1)
    round_begun = max((index for index, kind in enumerate(kinds) if kind == "ConfirmationStarted"), default=len(lines))
    over = {_number(line) for line, kind in zip(lines, kinds, strict=True) if kind in _ENDS}
    progress = SearchProgress()
    for index, (line, kind) in enumerate(zip(lines, kinds, strict=True)):
        is_passed = (kind in _STEPS and _number(line) in over) or (kind == "TrialFinished" and index < min(last, round_begun))
        event = None if is_passed and index != len(lines) - 1 else event_in(line)
        if event:
            progress(event)
    return progress


def _kind(line: str) -> str:
    """Return the name of the event in a line of the log, without parsing the JSON."""
    return line.partition('"event": "')[2][:40].partition('"')[0]


def _number(line: str) -> str:
    """Return the trial number in a line of the log, without parsing the JSON."""
    return line.partition('"number": ')[2][:20].partition(",")[0]


@dataclass(frozen=True)
class _Best:
    """A Pareto front in three numbers: best value of the metric, number of members, hypervolume; and the name of the pick."""

    value: float | None
    front: int
    hypervolume: float | None
    pick: str | None = None

    @classmethod
    def of(cls, folder: RunFolder, progress: SearchProgress, metric: Metric) -> tuple[_Best, bool]:
        """Return the estimated front and True if the search has written it, else the measured front and False."""
        written = _written_front(folder, progress.ended.time, metric) if progress.ended else None
        if written:
            return written, True
        scores = [point.accuracy for point in progress.front]
        volume = progress.hypervolumes[-1] if progress.hypervolumes else None
        return cls(metric.value(max(scores)) if scores else None, len(scores), volume), False


def _written_front(folder: RunFolder, since: float, metric: Metric) -> _Best | None:
    """Read ``front.json``; None if it is missing, damaged, or older than ``since`` (Unix time in seconds)."""
    path = folder.path / "front.json"
    try:
        if path.stat().st_mtime < since:
            return None
        document = json.loads(path.read_text(encoding="utf-8"))
        values = [float(row[metric.name]) for row in document["front"]]
        best = min if metric.is_minimized else max
        pick = document.get("pick_name")
        return _Best(
            best(values, default=None), len(values), float(document["hypervolume"]), None if pick is None else str(pick)
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _state(folder: RunFolder, progress: SearchProgress) -> State:
    if folder.is_worked_in and progress.ended is None:
        return "running"
    return "finished" if progress.ended and progress.ended.why != "interrupted" else "stopped"


def _may_be_run(path: Path) -> bool:
    folder = RunFolder(path)
    return folder.study.exists() or folder.events.exists() or folder.space.exists()


def _name(folder: RunFolder) -> str:
    return folder.path.resolve().name


def _changed(path: Path) -> float | None:
    try:
        return path.stat().st_mtime
    except OSError:
        return None
