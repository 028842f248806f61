"""What an audit says to a person: its plan, and what it found."""

from __future__ import annotations

from math import isnan

from rich.table import Table

from attn_nas.execution.resources import Resources
from attn_nas.followups.audit import Audit, AuditResult
from attn_nas.format import duration


def audit_plan(plan: Audit, resources: Resources) -> str:
    """What an audit will train, and how long that takes, before it begins."""
    workers = resources.at_first
    number, every = len(plan.candidates), 2 * len(plan.candidates) * plan.seeds
    cost = f"about {duration(plan.seconds(workers))} on {workers} worker{'s' * (workers > 1)}" if plan.remaining else "nothing"
    return (
        f"{number} candidates x {plan.seeds} seeds, for {plan.proxy.epochs} and for {plan.long.epochs} epochs: "
        f"{every} trainings, {every - plan.remaining} done before; left to do: {cost}"
    )


def audit_table(audit: AuditResult) -> Table:
    """How each score ranks beside the long training."""
    title = f"{len(audit.candidates)} candidates, against {audit.plan['long_epochs']} epochs; 95 % intervals over candidates"
    table = Table(box=None, title=title, title_justify="left", title_style="bold", padding=(0, 1, 0, 0))
    table.add_column("score of one run", no_wrap=True)
    for heading in ("Spearman", "Kendall", "reliability"):
        table.add_column(heading, justify="right")
    for line in audit.rankings:
        table.add_row(line.score, str(line.spearman), str(line.kendall), str(line.reliability or ""))
    return table


def audit_words(audit: AuditResult) -> list[str]:
    """The audit in words: reliability of the truth, and the ceiling of any score this noisy."""
    words = [f"Reliability of one long training over seeds: {audit.long_reliability}."]
    if not isnan(audit.ceiling):
        words.append(f"Noise alone would keep the proxy's Spearman correlation below {audit.ceiling:.2f}.")
    words += [f"failed: {name}: {reason}" for name, reason in audit.failures.items()]
    return words
