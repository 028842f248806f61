"""What the plain trunk's curve says to a person: its plan, and what attention is worth beside it."""

from __future__ import annotations

from collections.abc import Iterator

from rich.table import Table

from attn_nas.execution.resources import Resources
from attn_nas.followups.trunk_baseline import TrunkBaseline
from attn_nas.followups.trunk_points import TrunkPoint, trunk_name
from attn_nas.followups.trunk_verdict import TrunkBaselineResult, TrunkComparison, TrunkLead
from attn_nas.format import count, duration, percent


def plain_plan(plan: TrunkBaseline, resources: Resources) -> str:
    """What will be trained, and how long that takes, before it begins."""
    workers, every, seeds = resources.at_first, len(plan.plan.replicates), plan.plan.seeds
    cost = f"about {duration(plan.seconds(workers))} on {workers} worker{'s' * (workers > 1)}" if plan.remaining else "nothing"
    bare = plan.costs[plan.bare].flops
    others = [f"{trunk_name(trunk)} ({cost.flops / bare - 1:+.1%})" for trunk, cost in plan.costs.items() if trunk != plan.bare]
    return (
        f"{plan.bare} without attention, and {', '.join(others)}, each with "
        f"{f'the seeds {seeds[0]} to {seeds[-1]}' if len(seeds) > 1 else f'seed {seeds[0]}'} for "
        f"{plan.plan.settings.epochs} epochs: {every} trainings, {every - plan.remaining} done before, by the search or "
        f"here; left to do: {cost}"
    )


def plain_table(verdict: TrunkBaselineResult) -> Table:
    """One row per trunk, by rising FLOPs."""
    title = "Plain trunks, validation accuracy over seeds"
    table = Table(box=None, title=title, title_justify="left", title_style="bold", padding=(0, 1, 0, 0))
    table.add_column("trunk", no_wrap=True)
    for heading in ("accuracy", "FLOPs", "added", "params", "each seed"):
        table.add_column(heading, justify="right", no_wrap=True)
    bare = verdict.points[0].flops - verdict.points[0].added_flops
    for point in verdict.points:
        table.add_row(
            f"{point.name}{'' if point.added_flops else ' (the run)'}",
            f"{point.accuracy.hundredths()} %",
            count(point.flops),
            f"{point.added_flops / bare:+.1%}" if point.added_flops else "-",
            count(point.params),
            ", ".join(f"{100 * accuracy:.2f}" for accuracy in point.by_seed.values()),
        )
    return table


def plain_words(verdict: TrunkBaselineResult) -> list[str]:
    """The verdict in words: for the front's knee and its most accurate member what a plain trunk would have reached."""
    words = [" ".join(_compared(each, verdict.points)) for each in verdict.comparisons]
    if not words:
        words = ["Nothing with attention is on the front: there is nothing to set beside the plain trunks."]
    words.append(_uncertainty(len(verdict.points[0].seeds)))
    words.append("All this is of short trainings on the validation split: attn-nas retrain compares in full.")
    seeds = len(verdict.plan["seeds"])
    words += [f"left out, for want of trainings: {name} has {done} of {seeds}" for name, done in verdict.incomplete.items()]
    words += [f"failed: {name}: {reason}" for name, reason in verdict.failures.items()]
    return words


def _compared(each: TrunkComparison, points: tuple[TrunkPoint, ...]) -> Iterator[str]:
    record, flops = each.candidate.record, each.candidate.record.cost.flops
    yield (
        f"The front's {each.role}, {record.genotype} ({record.key}): {each.candidate.expected.hundredths()} % with "
        f"{count(flops)} FLOPs."
    )
    if each.same and each.lead:
        reach = f"{each.same.hundredths()} %, by linear interpolation"
        yield f"A plain trunk of as many FLOPs would reach {reach}: {_said(each.lead)}."
    if each.larger and each.larger_lead:
        even = "Even the" if each.larger_lead.beyond_chance and each.larger_lead.difference.value > 0 else "The"
        yield (
            f"{even} next larger plain trunk, {each.larger.name} with {each.larger.flops / flops - 1:+.1%} FLOPs, reaches "
            f"{each.larger.accuracy.hundredths()} %: {_said(each.larger_lead)}."
        )
    yield _equal(each, points[-1])


def _equal(each: TrunkComparison, dearest: TrunkPoint) -> str:
    """From where on plain trunks are as accurate."""
    flops = each.candidate.record.cost.flops
    if each.equal:
        found = f"{each.equal.name} ({each.equal.flops / flops - 1:+.1%} FLOPs, {percent(each.equal.accuracy.value)})"
        return f"The cheapest plain trunk here that is as accurate on average is {found}."
    if dearest.flops < flops:
        return f"No plain trunk was trained with as many FLOPs: the dearest has {dearest.flops / flops - 1:+.1%}."
    return f"No plain trunk here is as accurate, up to {dearest.flops / flops - 1:+.1%} FLOPs."


def _said(lead: TrunkLead) -> str:
    points = f"{lead.difference.hundredths(signed=True)} points for attention"
    if lead.beyond_chance is None:
        return f"{points}, and how much of that is chance is unknown"
    return f"{points}, {'more than chance explains' if lead.beyond_chance else 'which chance explains'}"


def _uncertainty(seeds: int) -> str:
    if seeds == 1:
        return "With one seed each, how far chance moves the plain trunks is not known: add --seeds 3."
    return (
        f"± is one standard error: of plain trunks from {seeds} seeds each, with the deviation that they all share, of the "
        "front's members from what all trainings of the run let one expect."
    )
