"""Trunks without attention in a terminal: plan, table of accuracies, comparison with the front."""

from __future__ import annotations

from collections.abc import Iterator

from rich.table import Table

from attn_nas.execution.resources import Resources
from attn_nas.followups.trunk_baseline import TrunkBaseline
from attn_nas.followups.trunk_points import TrunkPoint, trunk_name
from attn_nas.followups.trunk_verdict import TrunkBaselineResult, TrunkComparison, TrunkLead
from attn_nas.format import count, duration
from attn_nas.space.metric import ACCURACY, Metric


def baseline_plan(baseline: TrunkBaseline, resources: Resources) -> str:
    """Describe the trainings of a baseline and their predicted time, before it starts."""
    workers, every, seeds = resources.at_first, len(baseline.plan.replicates), baseline.plan.seeds
    left = "nothing"
    if baseline.remaining:
        left = f"about {duration(baseline.seconds(workers))} on {workers} worker{'s' * (workers > 1)}"
    bare = baseline.costs[baseline.bare].flops
    others = [
        f"{trunk_name(trunk)} ({cost.flops / bare - 1:+.1%})"
        for trunk, cost in baseline.costs.items()
        if trunk != baseline.bare
    ]
    return (
        f"{baseline.bare} without attention, and {', '.join(others)}, each with "
        f"{f'the seeds {seeds[0]} to {seeds[-1]}' if len(seeds) > 1 else f'seed {seeds[0]}'} for "
        f"{baseline.plan.settings.epochs} epochs: {every} trainings, {every - baseline.remaining} done before, by the search "
        f"or here; left to do: {left}"
    )


def baseline_table(result: TrunkBaselineResult) -> Table:
    """Table with a row for each trunk, by rising FLOPs."""
    metric = result.metric
    title = f"Trunks without attention, {'validation ' * (metric == ACCURACY)}{metric.name} over seeds"
    table = Table(box=None, title=title, title_justify="left", title_style="bold", padding=(0, 1, 0, 0))
    table.add_column("trunk", no_wrap=True)
    for heading in (metric.name, "FLOPs", "added", "params", "each seed"):
        table.add_column(heading, justify="right", no_wrap=True)
    bare = result.points[0].flops - result.points[0].added_flops
    for point in result.points:
        table.add_row(
            f"{point.name}{'' if point.added_flops else ' (the run)'}",
            metric.mean_text(point.accuracy),
            count(point.flops),
            f"{point.added_flops / bare:+.1%}" if point.added_flops else "-",
            count(point.params),
            ", ".join(metric.number(score) for score in point.by_seed.values()),
        )
    return table


def baseline_notes(result: TrunkBaselineResult) -> list[str]:
    """Sentences below the table: the pick and the most accurate network compared with trunks without attention."""
    notes = [" ".join(_compared(each, result.points)) for each in result.comparisons]
    if not notes:
        notes = ["Neither the pick nor the most accurate network has attention: there is nothing to compare."]
    notes.append(_uncertainty(len(result.points[0].seeds)))
    where = " on the validation split" if result.metric == ACCURACY else ""
    notes.append(f"These are short trainings{where}: attn-nas retrain compares full trainings.")
    seeds = len(result.plan["seeds"])
    notes += [f"left out, trainings are missing: {name} has {done} of {seeds}" for name, done in result.incomplete.items()]
    notes += [f"failed: {name}: {reason}" for name, reason in result.failures.items()]
    return notes


def _compared(each: TrunkComparison, points: tuple[TrunkPoint, ...]) -> Iterator[str]:
    record, flops, metric = each.candidate.record, each.candidate.record.cost.flops, each.candidate.run.metric
    yield (
        f"The {each.role}, {each.candidate.name} ({record.key}): {metric.mean_text(each.candidate.expected)} with "
        f"{count(flops)} FLOPs."
    )
    if each.same and each.lead:
        reached = f"{metric.mean_text(each.same)}, by linear interpolation"
        yield f"Without attention, a trunk of equal FLOPs would reach {reached}: {_lead(each.lead, metric)}."
    if each.larger and each.larger_lead:
        even = "Even the" if each.larger_lead.beyond_chance and each.larger_lead.difference.value > 0 else "The"
        yield (
            f"{even} next larger trunk, {each.larger.name} with {each.larger.flops / flops - 1:+.1%} FLOPs, reaches "
            f"{metric.mean_text(each.larger.accuracy)}: {_lead(each.larger_lead, metric)}."
        )
    yield _equal(each, points[-1])


def _equal(each: TrunkComparison, largest: TrunkPoint) -> str:
    """Name the cheapest trunk without attention that is as good."""
    flops, metric = each.candidate.record.cost.flops, each.candidate.run.metric
    if each.equal:
        found = f"{each.equal.name} ({each.equal.flops / flops - 1:+.1%} FLOPs, {metric.text(each.equal.accuracy.value)})"
        return f"The cheapest trained trunk without attention that is {metric.as_good} on average is {found}."
    if largest.flops < flops:
        return f"No trunk of as many FLOPs was trained without attention: the largest has {largest.flops / flops - 1:+.1%}."
    return f"No trained trunk without attention is {metric.as_good}, up to {largest.flops / flops - 1:+.1%} FLOPs."


def _lead(lead: TrunkLead, metric: Metric) -> str:
    points = f"{metric.lead_text(lead.difference)} for attention"
    if lead.beyond_chance is None:
        return f"{points}; the share of chance is unknown"
    return f"{points}, {'more than chance explains' if lead.beyond_chance else 'which chance explains'}"


def _uncertainty(seeds: int) -> str:
    if seeds == 1:
        return "With one seed each, the noise of the trunks is unknown: add --seeds 3."
    return (
        f"± is one standard error: for trunks from {seeds} seeds each, with one variance pooled over all trunks; "
        "for members of the front from all trainings of the run."
    )
