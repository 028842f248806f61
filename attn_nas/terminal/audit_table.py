"""An audit in a terminal: plan, table of rank correlations, notes."""

from __future__ import annotations

from math import isnan

from rich.table import Table

from attn_nas.execution.resources import Resources
from attn_nas.followups.audit import Audit, AuditResult
from attn_nas.format import duration


def audit_plan(audit: Audit, resources: Resources) -> str:
    """Describe the trainings of an audit and their predicted time, before it starts."""
    workers = resources.at_first
    number, every = len(audit.candidates), 2 * len(audit.candidates) * audit.seeds
    cost = "nothing"
    if audit.remaining:
        cost = f"about {duration(audit.seconds(workers))} on {workers} worker{'s' * (workers > 1)}"
    return (
        f"{number} candidates x {audit.seeds} seeds, for {audit.proxy.epochs} and for {audit.long.epochs} epochs: "
        f"{every} trainings, {every - audit.remaining} done before; left to do: {cost}"
    )


def audit_table(result: AuditResult) -> Table:
    """Table of the rank correlations of each score with the long training."""
    title = (
        f"{len(result.candidates)} candidates: rank correlation with {result.plan['long_epochs']} epochs; "
        "95 % intervals over candidates"
    )
    table = Table(box=None, title=title, title_justify="left", title_style="bold", padding=(0, 1, 0, 0))
    table.add_column("score of one training", no_wrap=True)
    for heading in ("Spearman", "Kendall", "reliability"):
        table.add_column(heading, justify="right")
    for ranking in result.rankings:
        table.add_row(ranking.score, str(ranking.spearman), str(ranking.kendall), str(ranking.reliability or ""))
    return table


def audit_notes(result: AuditResult) -> list[str]:
    """Sentences below the table: reliability of the long training, highest possible correlation, failures."""
    notes = [f"Reliability of one long training over seeds: {result.long_reliability}."]
    if not isnan(result.ceiling):
        notes.append(f"Noise alone would keep the proxy's Spearman correlation below {result.ceiling:.2f}.")
    notes += [f"failed: {name}: {reason}" for name, reason in result.failures.items()]
    return notes
