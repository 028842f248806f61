"""Full training in a terminal: plan, table of test accuracies, gains of the winners."""

from __future__ import annotations

from math import isnan

from rich.table import Table
from rich.text import Text

from attn_nas.execution.resources import Resources
from attn_nas.followups.retraining import NetworkResult, Retraining, RetrainingResult, Role
from attn_nas.format import chance_of_error, count, duration, reference_label
from attn_nas.space.metric import ACCURACY, Metric
from attn_nas.stats.paired_gains import Gain
from attn_nas.terminal.placement_text import glyph

_LEVEL = 0.05
_OVER = {
    "bare": ("no attention", "the bare trunk"),
    "reference": ("reference", "the best reference"),
    "plain": ("wider trunk", "a wider trunk, without attention, of at least its FLOPs"),
}
"""Heading and sentence part for each network that gains are measured over."""
_ROLES: dict[Role, str] = {"winner": "winner", "reference": "reference", "plain trunk": "wider trunk"}


def retraining_plan(retraining: Retraining, resources: Resources) -> str:
    """Describe the trainings of a retraining and their predicted time, before it starts."""
    roles = [_ROLES[network.role] for network in retraining.networks]
    parts = [f"{number} {role}{'s' * (number > 1)}" for role in dict.fromkeys(roles) if (number := roles.count(role))]
    plan, workers = retraining.plan, resources.at_first
    every, left = len(plan.replicates), "nothing"
    if retraining.remaining:
        left = f"about {duration(retraining.seconds(workers))} on {workers} worker{'s' * (workers > 1)}"
    start = f" from {plan.pretrained}" if plan.pretrained else ""
    fresh = f"; not in the file, so initialised: {', '.join(retraining.fresh)}" if retraining.fresh else ""
    return (
        f"{', '.join(parts)}, each with {len(plan.seeds)} seeds for {retraining.recipe.epochs} epochs{start}{fresh}: "
        f"{every} trainings, {every - retraining.remaining} done before; left to do: {left}"
    )


def retraining_table(result: RetrainingResult) -> Table:
    """Table with a row for each network, by role and accuracy on the test split, or by the metric of an objective."""
    seeds = len(result.plan["seeds"])
    metric = result.metric
    name = "Test accuracy" if metric == ACCURACY else f"{metric.name} of the objective"
    title = f"{name} over {seeds} seed{'s' * (seeds > 1)}, 95 % intervals; gains are paired by seed"
    table = Table(box=None, title=title, title_justify="left", title_style="bold", padding=(0, 1, 0, 0))
    table.add_column("network", overflow="fold")
    for heading in (
        metric.name,
        "deviation",
        "interval",
        "added",
        "step",
        "latency",
        *(f"over {label}" for label, _ in _OVER.values()),
    ):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("key", no_wrap=True, style="dim")
    references = [each for each in result.networks if each.network.role == "reference"]
    bare = next((each for each in references if not each.network.genotype.num_attended), None)
    roles = list(dict.fromkeys(each.network.role for each in result.networks))
    for each in sorted(result.networks, key=lambda each: (roles.index(each.network.role), -each.accuracy)):
        low, high = each.interval
        table.add_row(
            _network(each),
            metric.text(each.accuracy),
            "-" if isnan(each.deviation) else metric.spread(each.deviation),
            "-" if isnan(low) else "..".join(map(metric.number, sorted((low, high), key=metric.value))),
            f"+{count(each.added_flops)}",
            *_times(each, bare),
            *(_gain(each.gains.get(over), metric) for over in _OVER),
            each.key,
            style="bold" if each.network.role == "winner" else "",
        )
    return table


def _network(each: NetworkResult) -> Text:
    """Glyph and name of a network, and its role unless it is a winner."""
    network = each.network
    name = network.name if network.role == "winner" else f"{reference_label(network.name)} ({_ROLES[network.role]})"
    return glyph(str(network.genotype)).append(f"  {name}", "")


def _times(each: NetworkResult, bare: NetworkResult | None) -> tuple[str, str]:
    """Times of a training step and of the inference of one image, relative to the bare trunk.

    Wider trunks were timed relative to themselves, so their ratios are computed here from seconds.
    """
    if each.profile is None:
        return "-", "-"
    ratios = each.profile.step_ratio, each.profile.latency_1_ratio
    if each.network.role == "plain trunk":
        if bare is None or bare.profile is None:
            return "-", "-"
        reference = bare.profile
        ratios = each.profile.step_seconds / reference.step_seconds, each.profile.latency_1 / reference.latency_1
    return f"{ratios[0]:.2f}x", f"{ratios[1]:.2f}x"


def _gain(gain: Gain | None, metric: Metric) -> str:
    if gain is None:
        return ""
    return metric.signed(gain.mean) if isnan(gain.p) else f"{metric.signed(gain.mean)} (p {chance_of_error(gain.p)})"


def retraining_notes(result: RetrainingResult) -> list[str]:
    """Sentences below the table: use of the test split, gains of each winner with their significance, failures."""
    notes = [_test_split(result.prior_trainings)] if result.metric == ACCURACY else []
    seeds = len(result.plan["seeds"])
    notes += [f"left out, trainings are missing: {name} has {done} of {seeds}" for name, done in result.incomplete.items()]
    for each in result.networks:
        for over, gain in each.gains.items():
            notes.append(
                f"{each.network.name}: {_gain_text(gain, result.metric)} {_OVER[over][1]}{_other_network(result, each, over)}."
            )
    notes += [f"failed: {name}: {reason}" for name, reason in result.failures.items()]
    return notes


def _other_network(result: RetrainingResult, winner: NetworkResult, over: str) -> str:
    """Name the network that a winner is compared with; for a wider trunk also its additional FLOPs."""
    if over == "reference":
        return f" ({next(each.network.name for each in result.networks if each.key == result.best_reference)})"
    larger = [each for each in result.networks if each.network.role == "plain trunk" and each.cost.flops >= winner.cost.flops]
    if over == "bare" or not larger:
        return ""
    wider = min(larger, key=lambda each: each.cost.flops)
    return f" ({wider.network.name}, {wider.cost.flops / winner.cost.flops - 1:+.1%} FLOPs)"


def _test_split(prior_trainings: int) -> str:
    if not prior_trainings:
        return "The test split was read here for the first time, once for each training, after its last epoch."
    return (
        f"The test split was read before, by {prior_trainings} other full training{'s' * (prior_trainings > 1)} of this run: "
        "a network that was chosen by its test accuracy is overestimated."
    )


def _gain_text(gain: Gain, metric: Metric) -> str:
    points, unit = metric.signed(gain.mean), f" {metric.change_unit}" * bool(metric.change_unit)
    if isnan(gain.p):
        return f"{points}{unit}, with too few seeds to prove anything, against"
    interval = f"{points}{unit} [{', '.join(metric.signed_interval(gain.low, gain.high))}], p {chance_of_error(gain.p)},"
    if gain.p >= _LEVEL:
        return f"{interval} no significant difference to"
    return f"{interval} {'better' if gain.mean > 0 else 'worse'} than"
