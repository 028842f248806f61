"""A summary of a table, as numbers and as a data card in Markdown."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from attn_nas.benchmark.surrogate import HeldOut, Surrogate
from attn_nas.benchmark.table import LICENCE, Table
from attn_nas.benchmark.truth import Truth
from attn_nas.space.genotype import Genotype
from attn_nas.stats.rank_correlation import reliability, spearman
from attn_nas.stats.uncertainty import Estimate, Mean


@dataclass(frozen=True)
class SiteEffect:
    """Main effect of a placement at one site on accuracy, averaged over the placements at the other sites.

    ``gain`` is the difference in accuracy (fraction of 1) from an empty site, with its standard error over networks.
    """

    option: str
    site: str
    gain: Mean

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {"option": self.option, "site": self.site, "gain": self.gain.to_dict()}


@dataclass(frozen=True)
class FrontNetwork:
    """A network of the true front: its mean accuracy over seeds, and its FLOPs above those of the bare trunk."""

    genotype: Genotype
    accuracy: Mean
    added_flops: int

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "key": self.genotype.key,
            "placements": str(self.genotype),
            "accuracy": self.accuracy.to_dict(),
            "added_flops": self.added_flops,
        }


@dataclass(frozen=True)
class TableSummary:
    """Statistics of a table over the ``seeds`` that all networks have; accuracies are fractions of 1 on the test split.

    ``trainings`` and ``hours`` include all entries; ``between`` is the reliability of one training, by split; ``retest`` is
    the rank correlation between two seeds.
    """

    networks: int
    trainings: int
    seeds: list[int]
    hours: float
    machines: dict[str, int]
    between: dict[str, Estimate]
    retest: Estimate
    validation_test: Estimate
    front: list[FrontNetwork]
    best_reference: tuple[str, Mean]
    lead: Mean
    held_out: HeldOut
    effects: list[SiteEffect]

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "networks": self.networks,
            "trainings": self.trainings,
            "seeds": self.seeds,
            "hours": self.hours,
            "machines": self.machines,
            "share_of_variance_between_networks": {name: value.to_dict() for name, value in self.between.items()},
            "test_retest_spearman": self.retest.to_dict(),
            "validation_test_spearman": self.validation_test.to_dict(),
            "true_front": [network.to_dict() for network in self.front],
            "best_reference": {"name": self.best_reference[0], "accuracy": self.best_reference[1].to_dict()},
            "best_over_best_reference": self.lead.to_dict(),
            "surrogate_held_out": self.held_out.to_dict(),
            "effects": [effect.to_dict() for effect in self.effects],
        }


def summarise(table: Table) -> TableSummary:
    """Compute the summary of ``table``.

    Raises:
        TableError: the table lacks test accuracies, the bare trunk or a seed of all networks, or has fewer than 20 networks.

    """
    truth = Truth(table)
    references = {name: genotype for name, genotype in table.references.items() if genotype in table}
    name = max(references, key=lambda each: truth.accuracy(references[each]))
    best = max(truth.front, key=truth.accuracy)
    splits = {"validation": Truth(table, "validation"), "test": truth}
    tests = {split: np.array([each.accuracies(key) for key in table.genotypes]) for split, each in splits.items()}
    seeds = tests["test"].shape[1]
    pairs = [spearman(tests["test"][:, a], tests["test"][:, b]) for a, b in combinations(range(seeds), 2)]
    return TableSummary(
        networks=len(table.genotypes),
        trainings=len(table),
        seeds=table.seeds,
        hours=sum(entry.trained.result.seconds for entry in table.entries) / 3600,
        machines=dict(Counter(f"{entry.hardware}; {entry.numerics}; {entry.versions}" for entry in table.entries)),
        between={split: reliability(matrix) for split, matrix in tests.items()},
        retest=_mean_estimate(pairs),
        validation_test=spearman(tests["validation"].mean(1), tests["test"].mean(1)),
        front=[_on_front(table, truth, key) for key in truth.front],
        best_reference=(name, Mean.of(truth.accuracies(references[name]))),
        lead=Mean.of(np.subtract(truth.accuracies(best), truth.accuracies(references[name]))),
        held_out=Surrogate(table).held_out(),
        effects=effects(table, truth),
    )


def _mean_estimate(estimates: list[Estimate]) -> Estimate:
    """Mean of ``estimates``, and of the bounds of their intervals; NaN without estimates."""
    if not estimates:
        return Estimate(*[float("nan")] * 3)
    return Estimate(*(float(np.mean([getattr(each, name) for each in estimates])) for name in ("value", "low", "high")))


def _on_front(table: Table, truth: Truth, key: str) -> FrontNetwork:
    genotype = table.genotypes[key]
    return FrontNetwork(genotype, Mean.of(truth.accuracies(key)), table.cost(genotype).flops - table.header.bare.flops)


def effects(table: Table, truth: Truth) -> list[SiteEffect]:
    """Main effects by least squares over networks (an intercept, and one term per option and site), the largest first.

    Standard errors are NaN if there are too few networks.
    """
    sites = table.encoding.trunk.sites
    named = [
        (site, str(placement))
        for index, site in enumerate(sites)
        for placement in sorted({[*each.sites][index][1] for each in table.genotypes.values()} - {None}, key=str)
    ]
    columns = {each: number for number, each in enumerate(named, start=1)}
    design = np.zeros((len(table.genotypes), len(columns) + 1))
    design[:, 0] = 1.0
    for row, genotype in enumerate(table.genotypes.values()):
        for site, placement in genotype.sites:
            if placement:
                design[row, columns[site, str(placement)]] = 1.0
    values = np.array([truth.accuracy(key) for key in table.genotypes])
    inverse = np.linalg.pinv(design.T @ design)
    weights = inverse @ design.T @ values
    rest = values - design @ weights
    freedom = len(values) - design.shape[1]
    known = freedom > 0 and np.linalg.matrix_rank(design) == design.shape[1]
    errors = np.sqrt(np.diag(inverse) * (rest @ rest / freedom)) if known else np.full(len(weights), np.nan)
    found = [
        SiteEffect(option, str(site), Mean(float(weights[column]), float(errors[column])))
        for (site, option), column in columns.items()
    ]
    return sorted(found, key=lambda effect: (-effect.gain.value, effect.site, effect.option))


def card(table: Table, summary: TableSummary) -> str:
    """The data card in Markdown (after Datasheets for Datasets, arXiv 1803.09010): origin, content and statistics."""
    header = table.header
    proxy, data = header.space.proxy, header.space.data
    assert data is not None, "a table is trained on the data of its space"
    machines = [f"- {number:,} trainings: {machine}" for machine, number in summary.machines.items()]
    name, reference = summary.best_reference
    best = max((network.accuracy for network in summary.front), key=lambda accuracy: accuracy.value)
    lines = [
        f"# {header.name}: a tabular benchmark of attention placements",
        "",
        f"{summary.networks:,} of the {table.encoding.num_genotypes:,} networks of a search space, "
        f"{summary.trainings:,} trainings, {summary.hours:.1f} hours in total; licence: {LICENCE}. Statistics are over the "
        f"seeds that all of these networks have: {', '.join(map(str, summary.seeds))}.",
        "",
        "## How it was made",
        "",
        f"- trunk: {table.encoding.trunk}; every block is bare or has one of "
        f"{', '.join(sorted({effect.option for effect in summary.effects}))}",
        f"- task: {data.name}, {data.num_train or 'all'} training and {data.num_validation or 'all'} validation images of "
        f"{header.task.channels} x {header.task.height} x {header.task.width}, {header.task.num_classes} classes; the test "
        "split was read once, after the last epoch",
        f"- training: {proxy.epochs} epochs, batches of {proxy.batch_size}, one-cycle to {proxy.lr:g}, first epoch at "
        f"{proxy.initial_resolution:g} of the resolution, averaged weights: {proxy.averaging}",
        "- seeds are paired: with the same seed, all networks have the same trunk weights, order of images and augmentation"
        + _mixed(table),
        *machines,
        "",
        "One row per network and seed: key, placements, the genotype as JSON, accuracy, loss and margin on the validation "
        "split after every epoch, training loss per epoch, accuracy, loss and margin on the test split, FLOPs (complete, "
        "multiply-adds), MACs, parameters, seconds of the training, and the time and memory of a training step and of an "
        "inference, with their ratios to the bare trunk's. The header (space, task, cost of the bare trunk) is in the file's "
        "metadata.",
        "",
        "## Results",
        "",
        *_repeatability(summary),
        f"- Validation and test agree: Spearman {summary.validation_test} between the means of networks.",
        f"- The best network has {best.hundredths()} % on the test split, the best reference ({name}) "
        f"{reference.hundredths()} %; the mean difference over seeds is {summary.lead.hundredths(signed=True)} points. The "
        "best of many networks is overestimated, because it is selected by noisy accuracies.",
        f"- A Gaussian process over placements predicts held-out networks with a mean error of "
        f"{100 * summary.held_out.mean_error:.2f} points; it explains {100 * summary.held_out.explained:.0f} % of the variance "
        f"between networks, Kendall {summary.held_out.kendall}.{_noise(summary.held_out)}",
        "",
        "The true front (test split, mean of all seeds):",
        "",
        "| placements | added FLOPs | accuracy, % |",
        "| --- | --- | --- |",
        *(f"| {_in_cell(each.genotype)} | {each.added_flops:+,} | {each.accuracy.hundredths()} |" for each in summary.front),
        "",
        "Main effects on the test accuracy, in points above an empty site, averaged over the placements at the other sites "
        "(least squares over networks):",
        "",
        "| placement | site | points |",
        "| --- | --- | --- |",
        *(f"| {each.option} | {each.site} | {each.gain.hundredths(signed=True)} |" for each in summary.effects),
    ]
    return "\n".join(lines) + "\n"


def _mixed(table: Table) -> str:
    """A warning if the networks of one seed were trained on different devices or in different precisions."""
    by_seed: dict[int, set[str]] = {}
    for entry in table.entries:
        by_seed.setdefault(entry.seed, set()).add(entry.numerics)
    mixed = [str(seed) for seed, numerics in by_seed.items() if len(numerics) > 1]
    return f"; but with seeds {', '.join(mixed)} some were trained in another precision or on another device" if mixed else ""


def _repeatability(summary: TableSummary) -> list[str]:
    """The reliability of one training; it requires two seeds."""
    if np.isnan(summary.retest.value):
        return ["- With one seed the repeatability of a training is unknown."]
    return [
        f"- Fraction of the variance of one training that lies between networks: {summary.between['validation']} on the "
        f"validation split, {summary.between['test']} on the test split (95 % intervals over networks).",
        f"- Test-retest: Spearman {summary.retest} between two seeds.",
    ]


def _noise(held_out: HeldOut) -> str:
    if np.isnan(held_out.noise):
        return " With one seed the noise in this error is unknown."
    return f" Noise alone causes {100 * held_out.noise:.2f} points; its 90 % intervals cover {100 * held_out.covered:.0f} %."


def _in_cell(genotype: Genotype) -> str:
    """The placements of a genotype, with another character for the bars that would end a cell."""
    return str(genotype).replace("|", "·")
