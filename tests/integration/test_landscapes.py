"""Landscapes: instances that repeat themselves and differ from each other, known truths and fronts, noise of each kind."""

import json

import numpy as np
import pytest
from scipy.special import logit

from attn_nas.benchmark import EMBEDDED, LANDSCAPES, NamedStrategy, Table, Terms, compare, landscape, landscapes, recorded
from attn_nas.benchmark.noise import Recorded
from attn_nas.errors import TableError, UsageError
from attn_nas.space.genotype import Genotype

MADE_UP = [name for name in LANDSCAPES if not name.startswith("table")]


def some(instance, number=20, seed=0) -> list[Genotype]:
    rng = np.random.default_rng(seed)
    return [instance.encoding.decode(instance.encoding.random(rng)) for _ in range(number)]


def sample_deviation(instance) -> float:
    """Standard deviation of the logits of random networks."""
    rows = instance.ground.random(np.random.default_rng(1))
    return float(logit(instance.truth(rows)).std())


def test_the_nine_of_the_audit_and_more_are_there_at_nine_and_sixteen_blocks():
    names = set(LANDSCAPES)
    assert {
        "additive",
        "pairs",
        "positions",
        "harm",
        "undoing",
        "bimodal",
        "unstructured",
        "table",
        "table-pooled",
        "null",
    } < names
    assert {"saturating", "trends", "sparse"} < names
    assert {name for name in names if name.endswith("-16")} == {
        f"{kind}-16" for kind in ("additive", "pairs", "positions", "harm", "undoing", "null", "saturating", "trends", "sparse")
    }
    assert landscape("additive").instance(0).encoding.num_genes == 9
    assert landscape("additive-16").instance(0).encoding.num_genes == 16


@pytest.mark.parametrize("name", ["additive", "bimodal", "table", "null"])
def test_an_instance_repeats_itself_and_no_other(name):
    first, again, other = landscape(name).instance(1), landscape(name).instance(1), landscape(name).instance(2)
    for genotype in some(first, 5):
        assert first.accuracy(genotype) == again.accuracy(genotype)
        assert first.query(genotype, 3) == again.query(genotype, 3) or name != "table"
        assert first.query(genotype, 3).accuracy == again.query(genotype, 3).accuracy
        assert len({each.query(genotype, seed).accuracy for each in (first, other) for seed in (3, 4)}) == 4


@pytest.mark.parametrize("name", ["additive", "additive-16", "pairs", "positions", "undoing", "saturating", "trends", "sparse"])
def test_true_accuracies_of_random_networks_differ_by_the_stated_deviation(name):
    assert sample_deviation(landscape(name).instance(0)) == pytest.approx(landscapes.EFFECT, rel=0.15)


@pytest.mark.parametrize("name", MADE_UP)
def test_the_front_dominates_the_references_and_what_is_drawn_at_random(name):
    instance = landscape(name).instance(0)
    assert instance.best_hypervolume >= instance.reference_hypervolume >= 0
    assert instance.best_hypervolume == pytest.approx(instance.hypervolume(instance.front))
    assert instance.hypervolume([*instance.front, *some(instance, 30)]) == pytest.approx(instance.best_hypervolume)


@pytest.mark.parametrize("name", ["unstructured", "table"])
def test_the_local_search_finds_the_front_that_enumeration_finds(name, monkeypatch):
    exact = landscape(name).instance(3)
    assert len(exact.front) > 1
    monkeypatch.setattr(landscapes, "_EXHAUSTIVE", 0)
    assert {each.key for each in landscape(name).instance(3).front} == {each.key for each in exact.front}


def test_a_second_placement_in_a_stage_undoes_the_first():
    instance = landscape("undoing").instance(0)
    bare, full = (next(iter(instance.references.values())), instance.references["se everywhere"])
    assert instance.accuracy(full) == pytest.approx(instance.accuracy(bare)) == pytest.approx(0.9)
    rows = np.zeros((3, 9), dtype=np.int64)
    rows[0, 0], rows[1, 4], rows[2, [0, 4]] = 1, 2, (1, 2)
    alone, other, both = logit(instance.truth(rows)) - logit(0.9)
    assert both == pytest.approx(alone + other)
    assert abs(alone) > 1e-6 < abs(other)


def test_a_mechanism_harms_in_one_stage():
    instance = landscape("harm").instance(0)
    placements = [
        (gene, option, placement)
        for gene, options in enumerate(instance.ground.placements)
        for option, placement in enumerate(options)
        if placement
    ]
    rows = np.zeros((len(placements), 9), dtype=np.int64)
    for row, (gene, option, _) in zip(rows, placements, strict=True):
        row[gene] = option
    changes = logit(instance.truth(rows)) - logit(0.9)
    harmful = {
        (placement.mechanism, int(instance.ground.stages[gene]))
        for (gene, _, placement), change in zip(placements, changes, strict=True)
        if change < -2 * landscapes.EFFECT
    }
    assert len(harmful) == 1


def test_where_nothing_matters_all_networks_are_equal():
    instance = landscape("null").instance(0)
    assert {round(instance.accuracy(genotype), 12) for genotype in some(instance)} == {0.9}
    assert instance.best_hypervolume == instance.reference_hypervolume == 0
    result = compare(landscape("null"), {"random": NamedStrategy("random")}, 2, Terms(budget=5)).results[0]
    assert np.isnan(result.recovered).all()


def test_trainings_scatter_as_much_as_the_landscape_says():
    instance = landscape("null").instance(0)
    accuracies = np.array([[instance.query(genotype, seed).accuracy for seed in range(60)] for genotype in some(instance, 20)])
    residuals = logit(accuracies) - logit(accuracies).mean(0)
    assert residuals.std() == pytest.approx(0.5 * landscapes.EFFECT, rel=0.1)
    assert logit(accuracies).mean(0).std() == pytest.approx(0.3 * 0.5 * landscapes.EFFECT, rel=0.5), (
        "a seed shifts all networks alike"
    )


def test_bad_networks_scatter_more_where_there_are_two_modes():
    instance = landscape("bimodal").instance(0)
    bare, best = instance.references["none"], instance.front[-1]
    low, high = (np.std([logit(instance.query(each, seed).accuracy) for seed in range(80)]) for each in (bare, best))
    assert low > 1.4 * high


def test_deviations_of_the_table_are_those_of_networks_of_similar_accuracy():
    spread = {}
    for name in ("table", "table-pooled"):
        instance = landscape(name).instance(0)
        ordered = sorted(Table.load().genotypes.values(), key=instance.accuracy)
        for end, genotypes in (("low", ordered[:64]), ("high", ordered[-64:])):
            draws = [
                logit(instance.query(each, seed).accuracy) - logit(instance.accuracy(each))
                for each in genotypes
                for seed in range(4)
            ]
            spread[name, end] = float(np.std(draws))
    recorded_spread = spread["table", "low"] / spread["table", "high"]
    pooled = spread["table-pooled", "low"] / spread["table-pooled", "high"]
    assert pooled == pytest.approx(1.0, abs=0.35)
    assert recorded_spread > 1.5 * pooled


def test_a_recorded_training_deviates_in_accuracy_and_margin_together():
    instance = landscape("table").instance(0)
    genotype = instance.front[-1]
    results = [instance.query(genotype, seed) for seed in range(60)]
    assert np.corrcoef([each.accuracy for each in results], [each.margin for each in results])[0, 1] > 0.5
    assert all(each.accuracy == each.curve[-1] and len(each.curve) == 3 for each in results)


def test_no_search_sees_the_trainings_of_another():
    found = compare(recorded(EMBEDDED), {"ours": NamedStrategy("random-distinct")}, 4, Terms(budget=25)).results[0]
    assert len({tuple(each) for each in found.hypervolumes.tolist()}) == 4


def test_a_table_without_a_second_seed_has_no_noise_to_draw_from(tmp_path):
    table = Table.load()
    short = Table(table.header, [entry for entry in table.entries if entry.seed == table.seeds[0]])
    short.save(tmp_path / "short.parquet")
    with pytest.raises(TableError, match="fewer than two seeds"):
        recorded(tmp_path / "short.parquet")
    with pytest.raises(TableError, match="fewer than two seeds"):
        Recorded(short)


def test_an_unknown_landscape_is_refused_with_the_nearest(command):
    with pytest.raises(UsageError, match="did you mean additive"):
        landscape("aditive")
    code, out, said = command("bench", "--landscape", "nul", "--seeds", 1, "--budget", 2)
    assert (code, out) == (2, "")
    assert "landscape 'nul'" in said


def test_the_command_lists_landscapes_and_plays_one(command):
    code, out, _ = command("bench", "--landscape", "list")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()] == list(LANDSCAPES)
    code, out, _ = command("bench", "--landscape", "list", "--json")
    assert code == 0
    assert json.loads(out) == {each.name: each.about for each in LANDSCAPES.values()}
    code, out, _ = command(
        "bench", "--landscape", "null", "--seeds", 2, "--budget", 3, "--processes", 1, "--strategy", "random"
    )
    assert code == 0
    assert "nine blocks; nothing matters" in out.replace("\n", " ")
