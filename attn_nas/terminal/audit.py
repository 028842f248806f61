"""What an audit says to a person: its plan, its progress and what it found."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from math import isnan

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from attn_nas.proxy import ProxyResult
from attn_nas.study.audit import Audit, AuditPlan
from attn_nas.study.replicates import OnReplicate, Replicate
from attn_nas.study.resources import Resources
from attn_nas.terminal.numbers import duration, percent


def audit_plan(plan: AuditPlan, resources: Resources) -> str:
    """What an audit will train, and how long that takes, before it begins."""
    workers = resources.at_first
    number, every = len(plan.candidates), 2 * len(plan.candidates) * plan.seeds
    cost = f"about {duration(plan.seconds(workers))} on {workers} worker{'s' * (workers > 1)}" if plan.remaining else "nothing"
    return (
        f"{number} candidates x {plan.seeds} seeds, for {plan.proxy.epochs} and for {plan.long.epochs} epochs: "
        f"{every} trainings, {every - plan.remaining} done before; left to do: {cost}"
    )


@contextmanager
def replicate_lines(console: Console, number: int) -> Iterator[OnReplicate]:
    """A listener to ``number`` trainings: a bar on a terminal, a line each elsewhere, and a line for each that fails."""
    if not console.is_terminal:
        ended = 0

        def tell(replicate: Replicate, outcome: ProxyResult | str) -> None:
            nonlocal ended
            ended += 1
            text = outcome if isinstance(outcome, str) else f"{percent(outcome.accuracy)} {outcome.seconds:.1f} s"
            console.print(f"[{ended}/{number}] {replicate} {text}", markup=False, highlight=False, soft_wrap=True)

        yield tell
        return
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("training", total=number)

        def advance(replicate: Replicate, outcome: ProxyResult | str) -> None:
            progress.advance(task)
            if isinstance(outcome, str):
                progress.console.print(f"failed: {replicate}: {outcome}", markup=False, highlight=False)

        yield advance


def audit_table(audit: Audit) -> Table:
    """How each score ranks beside the long training."""
    title = f"{len(audit.rows)} candidates, against {audit.plan['long_epochs']} epochs; 95 % intervals over candidates"
    table = Table(box=None, title=title, title_justify="left", title_style="bold", padding=(0, 1, 0, 0))
    table.add_column("score of one run", no_wrap=True)
    for heading in ("Spearman", "Kendall", "reliability"):
        table.add_column(heading, justify="right", no_wrap=True)
    for line in audit.lines:
        table.add_row(line.score, str(line.spearman), str(line.kendall), str(line.reliability or ""))
    return table


def audit_words(audit: Audit) -> list[str]:
    """The audit in words: reliability of the truth, and the ceiling of any score this noisy."""
    words = [f"Reliability of one long training over seeds: {audit.long_reliability}."]
    if not isnan(audit.ceiling):
        words.append(f"Noise alone would keep the proxy's Spearman correlation below {audit.ceiling:.2f}.")
    words += [f"failed: {name}: {reason}" for name, reason in audit.failures.items()]
    return words
