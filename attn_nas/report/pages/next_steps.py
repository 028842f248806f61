"""What to do after a search: commands, with the time that each takes by the times measured in the search."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from statistics import fmean

from attn_nas.errors import AttnNasError
from attn_nas.followups.audit import Audit
from attn_nas.followups.retraining import Retraining
from attn_nas.runs.run import Run

_MOST_CONFIRMED = 8
"""Maximum number of candidates of a round of confirmation."""


@dataclass(frozen=True)
class NextStep:
    """A ``command`` and what it is good for; ``seconds`` is its predicted time, one training at a time, or None."""

    words: str
    command: str
    seconds: float | None


def next_steps(run: Run) -> list[NextStep]:
    """Three commands that follow from the state of ``run``: those that make its result surer, and then those that use it."""
    if run.pick is None:
        return []
    where, key = shlex.quote(str(run.folder.path)), run.pick.record.key
    is_bare = not run.pick.record.genotype.num_attended
    seed = NextStep(
        "Train the best candidates and the references with one more seed",
        f"attn-nas search --resume --run {where} --confirm {run.manifest.confirm + 1}",
        _seconds_of_a_round(run),
    )
    audit = NextStep(
        "Ask whether the short training ranks networks as a longer one does",
        f"attn-nas audit {where}",
        _predicted(lambda: Audit(run).seconds(1)),
    )
    full = full_training(run)
    code = NextStep("Write the network as code with its weights, verified", f"attn-nas export {where} {key}", None)
    if not run.verdict.allows_claims:
        return [seed, audit, full]
    return [audit, full, seed] if is_bare else [full, seed, code]


def full_training(run: Run) -> NextStep:
    """The full training of the pick, its references and wider trunks."""
    picked = [run.pick] if run.pick else []
    return NextStep(
        "Train the pick, the references and wider trunks in full, and score them on the test split",
        f"attn-nas retrain {shlex.quote(str(run.folder.path))}",
        _predicted(lambda: Retraining(run, picked).seconds(1)),
    )


def _predicted(seconds: Callable[[], float]) -> float | None:
    """The prediction of ``seconds``; None where it cannot be made, as for a network whose code may not run here."""
    try:
        return seconds()
    except AttnNasError:
        return None


def _seconds_of_a_round(run: Run) -> float:
    chosen = {each.record.key: each for each in (*run.front[:_MOST_CONFIRMED], *run.references)}
    return sum(fmean(result.seconds for result in each.results) for each in chosen.values())
