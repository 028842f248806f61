"""What to do with a run next: commands of the shell, which terminal and pages share."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import Literal

from attn_nas.events.log import EventLog, event_in
from attn_nas.events.types import SearchStarted
from attn_nas.format import written_duration
from attn_nas.runs.run import Run
from attn_nas.stats.agreement import MIN_AGREEMENT

NextKind = Literal["go on", "more networks", "one more seed", "audit", "full training", "code"]
_USUAL_SECONDS = 3600.0
"""Time budget that is proposed where the log does not tell the earlier one."""
_MORE_NETWORKS = 8
"""Networks, at least, that a search which has too few for a test is proposed to train."""


@dataclass(frozen=True)
class NextCommand:
    """A ``command`` of the shell of one ``kind``, and in ``words`` what it does, as ``trains the pick in full``."""

    kind: NextKind
    command: str
    words: str


def next_commands(run: Run, *, stopped: bool = False) -> tuple[NextCommand, ...]:
    """Up to three commands that can be used now, the most useful first; empty without a scored candidate.

    ``stopped`` says that the search has not come to its end: then it goes on first.
    """
    if run.pick is None:
        return ()
    verdict, has_enough = run.verdict, len(run.candidates) >= MIN_AGREEMENT
    if stopped:
        others = (_audit(run), full_training(run)) if has_enough else (full_training(run),)
        return (NextCommand("go on", resume_command(run), "goes on where it stopped"), *others)
    if not has_enough:
        return more_networks(run), full_training(run)
    if not verdict.allows_claims:
        return _one_more_seed(run), _audit(run), full_training(run)
    if verdict.pick == verdict.bare:
        return _audit(run), full_training(run), _one_more_seed(run)
    code = f"attn-nas export {place_of(run)} {run.pick.record.key}"
    return (
        full_training(run),
        _one_more_seed(run),
        NextCommand("code", code, "writes the pick as code with its weights, verified"),
    )


def place_of(run: Run) -> str:
    """The folder of ``run``, quoted for a shell."""
    return shlex.quote(str(run.folder.path))


def resume_command(run: Run) -> str:
    """The command with which the search of ``run`` goes on, with the time budget of before where nothing else ends it."""
    return f"attn-nas search --resume --run {place_of(run)}{resume_limit(run)}"


def resume_limit(run: Run) -> str:
    """The option that ends a resumed search, with a space before it; empty where the run has a budget of candidates."""
    if run.manifest.budget is not None:
        return ""
    return f" --time-budget {written_duration(_earlier_time_budget(run) or _USUAL_SECONDS)}"


def more_networks(run: Run) -> NextCommand:
    """The command that trains more networks, so many that a test may follow."""
    budget = max(4 * MIN_AGREEMENT, _num_used(run) + _MORE_NETWORKS)
    words = f"trains more networks: {MIN_AGREEMENT} are needed for a test"
    return NextCommand("more networks", f"attn-nas search --resume --run {place_of(run)} --budget {budget}", words)


def full_training(run: Run) -> NextCommand:
    """The command of the full training of the pick."""
    is_bare = run.verdict.pick == run.verdict.bare
    words = "trains no attention and the references in full" if is_bare else "trains the pick in full, beside no attention"
    return NextCommand("full training", f"attn-nas retrain {place_of(run)}", words)


def _one_more_seed(run: Run) -> NextCommand:
    """One more round of confirmation; those that the run already asks for come first."""
    manifest = run.manifest
    begun = len({record.seed for record in run.records if record.counts and record.seed > manifest.seed})
    rounds = manifest.confirm + (begun >= manifest.confirm)
    limit = f" --budget {max(1, _num_used(run))}" if manifest.budget is None else ""
    tests = ", which tests it" if run.verdict.kind == "not tested" else ""
    command = f"attn-nas search --resume --run {place_of(run)}{limit} --confirm {rounds}"
    return NextCommand("one more seed", command, f"trains the likely front and the references with a new seed{tests}")


def _audit(run: Run) -> NextCommand:
    words = "asks whether the short training ranks networks as a longer one does"
    return NextCommand("audit", f"attn-nas audit {place_of(run)}", words)


def _num_used(run: Run) -> int:
    """The number of candidates of the budget that are used up."""
    return len({record.key for record in run.records if record.counts and record.seed == run.manifest.seed})


def _earlier_time_budget(run: Run) -> float | None:
    """The last time budget of the run in seconds; None if its log has none."""
    for line in reversed(EventLog(run.folder.events).new_lines()):
        started = event_in(line) if '"SearchStarted"' in line else None
        if isinstance(started, SearchStarted) and started.time_budget is not None:
            return started.time_budget
    return None
