"""What a full training says to a person: its plan, and what it found."""

from __future__ import annotations

from math import isnan

from rich.table import Table

from attn_nas.execution.resources import Resources
from attn_nas.followups.retraining import NetworkResult, Retraining, RetrainingResult
from attn_nas.format import count, duration, percent
from attn_nas.stats.paired_gains import Gain

_LEVEL = 0.05
_OVER = {"bare": "the bare trunk", "reference": "the best reference", "plain": "a plain trunk of at least its FLOPs"}


def retraining_plan(plan: Retraining, resources: Resources) -> str:
    """What will be trained, and how long that takes, before it begins."""
    roles = [network.role for network in plan.networks]
    parts = [f"{number} {role}{'s' * (number > 1)}" for role in dict.fromkeys(roles) if (number := roles.count(role))]
    every, workers = len(plan.plan.replicates), resources.at_first
    cost = f"about {duration(plan.seconds(workers))} on {workers} worker{'s' * (workers > 1)}" if plan.remaining else "nothing"
    start = f" from {plan.plan.pretrained}" if plan.plan.pretrained else ""
    fresh = f"; fresh: {', '.join(plan.fresh)}" if plan.fresh else ""
    return (
        f"{', '.join(parts)}, each with {len(plan.plan.seeds)} seeds for {plan.recipe.epochs} epochs{start}{fresh}: "
        f"{every} trainings, {every - plan.remaining} done before; left to do: {cost}"
    )


def retraining_table(verdict: RetrainingResult) -> Table:
    """One row per network, by role and accuracy on the test split."""
    seeds = len(verdict.plan["seeds"])
    title = f"Test accuracy over {seeds} seed{'s' * (seeds > 1)}, 95 % intervals; gains are paired by seed"
    table = Table(box=None, title=title, title_justify="left", title_style="bold", padding=(0, 1, 0, 0))
    table.add_column("network", no_wrap=True)
    for heading in ("accuracy", "deviation", "interval", "added", "step", "latency", *map(_heading, _OVER)):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("placements")
    references = [each for each in verdict.networks if each.network.role == "reference"]
    bare = next((each for each in references if not each.network.genotype.num_attended), None)
    roles = list(dict.fromkeys(each.network.role for each in verdict.networks))
    for each in sorted(verdict.networks, key=lambda each: (roles.index(each.network.role), -each.accuracy)):
        low, high = each.interval
        table.add_row(
            each.network.name if each.network.role == "winner" else f"{each.network.name} ({each.network.role})",
            percent(each.accuracy),
            "-" if isnan(each.deviation) else f"{100 * each.deviation:.2f}",
            "-" if isnan(low) else f"{100 * low:.2f}..{100 * high:.2f}",
            f"+{count(each.added_flops)}",
            *_times(each, bare),
            *(_gain(each.gains.get(over)) for over in _OVER),
            str(each.network.genotype),
            style="bold" if each.network.role == "winner" else "",
        )
    return table


def _heading(over: str) -> str:
    return f"over {over}"


def _times(each: NetworkResult, bare: NetworkResult | None) -> tuple[str, str]:
    """Training step and inference of one image over the bare trunk's, beside which all but wider trunks were timed."""
    if each.profile is None:
        return "-", "-"
    ratios = each.profile.step_ratio, each.profile.latency_1_ratio
    if each.network.role == "plain trunk":
        if bare is None or bare.profile is None:
            return "-", "-"
        beside = bare.profile
        ratios = each.profile.step_seconds / beside.step_seconds, each.profile.latency_1 / beside.latency_1
    return f"{ratios[0]:.2f}x", f"{ratios[1]:.2f}x"


def _gain(gain: Gain | None) -> str:
    if gain is None:
        return ""
    return f"{100 * gain.mean:+.2f}" if isnan(gain.p) else f"{100 * gain.mean:+.2f} (p {_chance(gain.p)})"


def _chance(p: float) -> str:
    return f"= {p:.3f}" if p >= 0.001 else "< 0.001"


def retraining_words(verdict: RetrainingResult) -> list[str]:
    """The verdict in words: for each winner what it gains, and whether that is beyond the chance of seeds."""
    words = [_test_split(verdict.prior_trainings)]
    seeds = len(verdict.plan["seeds"])
    words += [f"left out, for want of trainings: {name} has {done} of {seeds}" for name, done in verdict.incomplete.items()]
    for each in verdict.networks:
        for over, gain in each.gains.items():
            words.append(f"{each.network.name}: {_said(gain)} {_OVER[over]}{_which(verdict, each, over)}.")
    words += [f"failed: {name}: {reason}" for name, reason in verdict.failures.items()]
    return words


def _which(verdict: RetrainingResult, winner: NetworkResult, over: str) -> str:
    """The name of what a winner is compared with, and by how much a plain trunk is dearer."""
    if over == "reference":
        return f" ({next(each.network.name for each in verdict.networks if each.key == verdict.best_reference)})"
    dearer = [each for each in verdict.networks if each.network.role == "plain trunk" and each.cost.flops >= winner.cost.flops]
    if over == "bare" or not dearer:
        return ""
    plain = min(dearer, key=lambda each: each.cost.flops)
    return f" ({plain.network.name}, {plain.cost.flops / winner.cost.flops - 1:+.1%} FLOPs)"


def _test_split(earlier: int) -> str:
    if not earlier:
        return "The test split was read here for the first time, once for each training, after its last epoch."
    return (
        f"The test split was read before, by {earlier} other full training{'s' * (earlier > 1)} of this run: what was chosen "
        "by its accuracies is flattered."
    )


def _said(gain: Gain) -> str:
    points = f"{100 * gain.mean:+.2f}"
    if isnan(gain.p):
        return f"{points} points, with too few seeds to prove anything, against"
    interval = f"{points} points [{100 * gain.low:+.2f}, {100 * gain.high:+.2f}], p {_chance(gain.p)},"
    if gain.p >= _LEVEL:
        return f"{interval} cannot be told apart from"
    return f"{interval} {'better' if gain.mean > 0 else 'worse'} than"
