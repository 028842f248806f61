"""The tabular benchmark: tables, their truth, searches played on them, the surrogate, building."""

import concurrent.futures
import json
import os
import runpy
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import warm
from optuna.samplers import RandomSampler
from typer.testing import CliRunner

from attn_nas.benchmark import (
    EMBEDDED,
    STRATEGIES,
    Entry,
    Header,
    Instance,
    Landscape,
    NamedStrategy,
    SamplerStrategy,
    SearchStrategy,
    Shard,
    Strategy,
    Surrogate,
    Table,
    TableBuild,
    Terms,
    Truth,
    compare,
    recorded,
    simulate,
)
from attn_nas.benchmark.data_card import card, effects, summarise
from attn_nas.cli import app
from attn_nas.cost import CostTable
from attn_nas.engine.search import Search
from attn_nas.errors import TableError, UsageError
from attn_nas.execution.resources import Resources
from attn_nas.execution.settings import Local
from attn_nas.report.charts.bench_svg import bench_svg
from attn_nas.report.charts.line_svg import Series, line_svg
from attn_nas.space.encoding import Encoding
from attn_nas.space.genotype import Genotype, Placement
from attn_nas.space.loading import load_space
from attn_nas.space.schema import SearchSpace
from attn_nas.space.task import Task
from attn_nas.stats.uncertainty import Mean
from attn_nas.training import Numerics, ProxyResult, Scores, StepProfile
from attn_nas.training.protocol import Trained

TASK = Task(3, 28, 16, 10)
SPACE = SearchSpace.model_validate(
    {
        "trunk": {"name": "cifar_resnet", "depth": 8, "width": 4},
        "data": {"name": "cued_digits", "num_train": 64, "num_validation": 50},
        "mechanisms": [
            {"name": "se", "reductions": [4], "positions": ["standard", "pre"]},
            {"name": "gsop", "reductions": [2], "positions": ["standard"]},
        ],
        "proxy": {"epochs": 2, "batch_size": 16, "lr": 0.05},
    }
)
EFFECTS = {"se": (0.06, 0.02, -0.01), "gsop": (-0.03, 0.03, 0.05)}
TEST_SHIFT = (0.03, -0.02, -0.01)
"""What a seed adds to all test accuracies: nothing on average."""
ONE = Resources(workers=1, threads=1, gpus=0, cores=1, jobs=1)


def _true_accuracy(genotype: Genotype) -> float:
    placed = enumerate(placement for _, placement in genotype.sites)
    return 0.6 + sum(EFFECTS[p.mechanism][min(i, 2)] * (0.5 if p.position == "pre" else 1) for i, p in placed if p is not None)


def _trained(genotype: Genotype, seed: int, costs: CostTable, noise: float) -> Trained:
    rng = np.random.default_rng([int(genotype.key, 16), seed])
    accuracy = float(np.clip(_true_accuracy(genotype) + noise * rng.standard_normal(), 0.0, 1.0))
    curve = (max(0.0, accuracy - 0.1), accuracy)
    seconds = 1.0 + genotype.num_attended
    result = ProxyResult(accuracy, 1.0, 0.1, curve, curve, curve, curve, seconds, seconds, 9.0, 16, seed)
    profile = StepProfile(*np.linspace(0.1, 0.8, 8).tolist()) if seed == 1 else None
    return Trained(result, costs.cost(genotype), profile, Scores(_true_accuracy(genotype) + TEST_SHIFT[seed], 1.0, 0.1))


def _table(noise: float = 0.01, seeds: int = 3, space: SearchSpace = SPACE) -> Table:
    encoding = Encoding(space)
    costs = CostTable(encoding.trunk, TASK)
    header = Header("made_up", space, TASK, costs.bare, costs.highest_cost(encoding, "flops"))
    return Table(
        header,
        [
            Entry(genotype, seed, _trained(genotype, seed, costs, noise), "cpu", "a machine", "versions")
            for genotype in encoding.genotypes()
            for seed in range(seeds)
        ],
    )


@pytest.fixture(scope="module")
def table() -> Table:
    """64 networks, 3 seeds."""
    return _table()


@pytest.fixture(scope="module")
def small_table() -> Table:
    """27 networks, 3 seeds."""
    mechanisms = [settings.model_copy(update={"positions": ["standard"]}) for settings in SPACE.mechanisms]
    return _table(space=SPACE.model_copy(update={"mechanisms": mechanisms}))


@pytest.fixture(scope="module")
def played(table, tmp_path_factory) -> Landscape:
    """The landscape of that table."""
    path = tmp_path_factory.mktemp("tables") / "made_up.parquet"
    table.save(path)
    return recorded(path)


class Oracle(Strategy):
    """Cheats: proposes the true front, dearest last."""

    def __init__(self, problem: Instance, seed: int) -> None:
        super().__init__(problem)
        self._queue = problem.front

    def propose(self):
        return (self._queue.pop(0), None) if self._queue else None

    def learn(self, token, accuracy, flops):
        assert token is None

    def front(self):
        return list(self.observed)


class Worst(Strategy):
    """Proposes the worst networks that there are, and reports them."""

    def __init__(self, problem: Instance, seed: int) -> None:
        super().__init__(problem)
        self._queue = sorted(problem.encoding.genotypes(), key=problem.accuracy)

    def propose(self):
        return self._queue.pop(0), None

    def learn(self, token, accuracy, flops):
        assert token is None


def test_a_space_lists_every_network_once(table):
    """As many as its size says, the bare trunk first, all of them expressible."""
    encoding = Encoding(SPACE)
    genotypes = [*encoding.genotypes()]
    assert len(genotypes) == len({genotype.key for genotype in genotypes}) == encoding.num_genotypes == 4**3
    assert genotypes[0] == Genotype.bare(encoding.trunk)
    assert all(encoding.decode(encoding.encode(genotype)) == genotype for genotype in genotypes)
    tied = SPACE.model_copy(update={"granularity": "per_stage"})
    assert Encoding(tied).num_genotypes == len({genotype.key for genotype in Encoding(tied).genotypes()})


def test_a_table_survives_its_file(table, tmp_path):
    """Every field of every entry, and the header; equal tables give equal files."""
    table.save(tmp_path / "one.parquet")
    again = Table.load(tmp_path / "one.parquet")
    assert again.entries == table.entries
    assert again.header == table.header
    Table(table.header, reversed(table.entries)).save(tmp_path / "two.parquet")
    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "two.parquet").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.parquet", "two.parquet"]


def test_merging_shards_is_exact(table):
    """Any cut, in any order, overlapping or not, gives the same table."""
    cuts = [Table(table.header, table.entries[start::3]) for start in (2, 0, 1)]
    assert Table.merge([*cuts, cuts[0]]).entries == table.entries


def test_what_cannot_be_merged_says_why(table):
    """Another space, or another training of the same network and seed."""
    other = Table(replace(table.header, task=Task(3, 32, 32, 10)), table.entries)
    with pytest.raises(TableError, match="different task"):
        Table.merge([table, other])
    first = table.entries[0]
    changed = replace(first, hardware="another machine")
    with pytest.raises(TableError, match=f"two different trainings of {first.genotype.key} with seed 0"):
        Table.merge([table, Table(table.header, [changed])])
    with pytest.raises(TableError, match="nothing to merge"):
        Table.merge([])


@pytest.mark.parametrize("content", [b"", b"not parquet at all", None])
def test_what_is_not_a_table_is_an_error(content, tmp_path):
    """Missing, empty or something else."""
    path = tmp_path / "bad.parquet"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(TableError, match=r"bad\.parquet is not a table"):
        Table.load(path)


def test_a_parquet_file_of_something_else_is_an_error(tmp_path):
    """One without our header."""
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.table({"a": [1]}), tmp_path / "other.parquet")
    with pytest.raises(TableError, match="is not a table of trainings"):
        Table.load(tmp_path / "other.parquet")


def test_a_folder_that_cannot_be_written_is_an_error(table, tmp_path):
    """The message names the file."""
    with pytest.raises(TableError, match=r"missing.*cannot be written"):
        table.save(tmp_path / "missing" / "table.parquet")


def test_queries_answer_like_the_trainings(table):
    """A seed's own result, any number standing for one of them; without a seed the mean of all, field by field."""
    genotype = next(iter(table.genotypes.values()))
    results = [entry.trained.result for entry in table.of(genotype)]
    assert [table.query(genotype, seed) for seed in (0, 1, 2, 3)] == [*results, results[0]]
    mean = table.query(genotype)
    assert mean.accuracy == pytest.approx(np.mean([result.accuracy for result in results]))
    assert mean.curve == pytest.approx(np.mean([result.curve for result in results], axis=0))
    with pytest.raises(TableError, match="has no network"):
        table.query(Genotype.bare(load_space("cued_digits").trunk.trunk()))


def test_a_search_runs_on_the_table(table, tmp_path):
    """With the table's trainer the whole product searches the table's space, and finds what the table says."""
    run = Search(SPACE, run=tmp_path / "run", training=table.trainer(noise_free=True)).optimize(
        n_trials=12, confirm=0, execution=Local(workers=1)
    )
    assert len(run.candidates) == 12
    for candidate in run.candidates:
        assert candidate.measured.value == table.query(candidate.record.genotype).accuracy


def test_truth_agrees_with_brute_force(table):
    """The front is what nothing dominates; its hypervolume is what counting a fine grid of budgets gives."""
    truth = Truth(table)
    dominated = {
        key
        for key, (accuracy, cost) in truth.points.items()
        if any(a >= accuracy and c <= cost and (a, c) != (accuracy, cost) for a, c in truth.points.values())
    }
    assert set(truth.front) == truth.points.keys() - dominated
    budgets = (np.arange(20000) + 0.5) / 20000
    bare = truth.accuracy(Genotype.bare(table.encoding.trunk))
    best = [max(a for a, c in truth.points.values() if c <= budget) - bare for budget in budgets]
    assert truth.best_hypervolume == pytest.approx(np.mean(best), abs=1e-4)
    assert min(cost for _, cost in truth.points.values()) == 0.0


def test_truth_is_the_mean_over_seeds_of_the_split(table):
    """Of the test split by default; of the validation split when asked; of the seeds that all networks have."""
    genotype = table.references["se everywhere"]
    entries = table.of(genotype)
    assert Truth(table).accuracy(genotype) == pytest.approx(_true_accuracy(genotype))
    assert Truth(table).accuracy(genotype) != entries[0].trained.test.accuracy
    validation = np.mean([entry.trained.result.accuracy for entry in entries])
    assert Truth(table, "validation").accuracy(genotype) == pytest.approx(validation)
    uneven = Table(table.header, [entry for entry in table.entries if entry.seed < 2 or entry.genotype == genotype])
    assert uneven.seeds == [0, 1]
    assert len(Truth(uneven).accuracies(genotype)) == 2
    assert uneven.query(genotype, 2) == uneven.query(genotype, 0)
    none = Table(table.header, [entry for entry in table.entries if entry.seed == int(entry.genotype == genotype)])
    with pytest.raises(TableError, match="no seed was trained with every network"):
        Truth(none)


def test_hypervolumes_have_their_ends(table):
    """Nothing is more than the true front, and the references lie between that and the bare trunk, which has none."""
    truth = Truth(table)
    assert truth.hypervolume(table.genotypes) == truth.best_hypervolume > truth.reference_hypervolume > 0.0
    assert truth.hypervolume([Genotype.bare(table.encoding.trunk)]) == 0.0
    with pytest.raises(TableError, match="no network nonsense"):
        truth.hypervolume(["nonsense"])


def test_time_passes_as_trainings_take_it(table):
    """One worker takes the sum, two take less and no less than half; results come in the order in which they end."""
    alone = simulate(table, SearchStrategy(table, 0), 12)
    taken = [1.0 + table.genotypes[step.key].num_attended for step in alone]
    assert [step.seconds for step in alone] == pytest.approx(np.cumsum(taken))
    together = simulate(table, SearchStrategy(table, 0), 12, workers=2)
    assert len(together) == 12
    times = [step.seconds for step in together]
    assert times == sorted(times)
    total = sum(1.0 + table.genotypes[step.key].num_attended for step in together)
    assert total / 2 <= times[-1] < total
    for name, arguments in (("budget = 0", (0,)), ("workers = 0", (5,))):
        with pytest.raises(UsageError, match=name):
            simulate(table, SearchStrategy(table, 0), *arguments, workers=0)


class Halving(SearchStrategy):
    """Stops everything but the references after the first epoch, and lets the first that it stopped go on at the end."""

    def __init__(self, table, seed):
        super().__init__(table, seed)
        self.stopped = []

    def propose(self):
        if len(self.observed) + len(self.stopped) == 12:
            return self.stopped[0], None
        return super().propose()

    def next_rung(self, epochs, last):
        return epochs + 1

    def goes_on(self, genotype, partial):
        return genotype in self.problem.references.values() or genotype in self.stopped

    def pause(self, genotype, partial):
        self._ended(genotype)
        self.paused.add(genotype.key)
        self.stopped.append(genotype)

    def learn(self, token, accuracy, flops):
        if token is not None:
            super().learn(token, accuracy, flops)


def test_a_paused_training_takes_the_time_of_its_epochs(table, played):
    """Half the epochs half the time; what goes on takes the other half, and is no repetition."""
    strategy = Halving(table, 0)
    steps = simulate(table, strategy, 13)
    assert len(steps) == 13
    assert steps[-1].key == strategy.stopped[0].key
    assert (steps[-1].epochs, {step.epochs for step in steps[len(table.references) : -1]}) == (2, {1})
    whole = [1.0 + table.genotypes[step.key].num_attended for step in steps]
    shares = [1.0] * len(table.references) + [0.5] * (13 - len(table.references))
    assert [step.seconds for step in steps] == pytest.approx(np.cumsum(np.multiply(whole, shares)))
    assert compare(played, {"halving": Halving}, 1, Terms(budget=13)).results[0].repeated == 0.0


def test_early_stopping_plays_on_a_table(played):
    """It ends with as many trials, in no more time, and repeats nothing."""
    plain, stopping = compare(
        played, {"plain": NamedStrategy("attn-nas"), "stopping": NamedStrategy("attn-nas-stopping")}, 1, Terms(budget=16)
    ).results
    assert stopping.repeated == 0.0
    assert stopping.seconds[0, -1] <= plain.seconds[0, -1] + 1e-9


def test_ours_repeats_nothing_and_ends_with_the_space(small_table):
    """All 27 networks, the references first; Optuna's samplers do repeat themselves."""
    steps = simulate(small_table, SearchStrategy(small_table, 3), 40, workers=4)
    assert len(steps) == len({step.key for step in steps}) == 27
    sampled = simulate(small_table, SamplerStrategy(small_table, RandomSampler(seed=0)), 40)
    assert len({step.key for step in sampled}) < len(sampled) == 40


@pytest.mark.usefixtures("full_fits")
def test_an_oracle_wins_and_a_bad_sampler_loses(played):
    """So that the harness is known to tell them apart: the oracle has no regret, the worst has more than random."""
    made = {"oracle": Oracle, "worst": Worst, "random": NamedStrategy("random"), "ours": NamedStrategy("attn-nas")}
    found = {each.strategy: each for each in compare(played, made, 2, Terms(budget=16)).results}
    regret = {name: each.after(16).regret.value for name, each in found.items()}
    assert regret["oracle"] == 0.0
    assert found["oracle"].after(16).recovered == Mean(1.0, 0.0)
    assert 0 < regret["ours"] < regret["worst"]
    assert 0 < regret["random"] < regret["worst"]
    assert found["random"].repeated > 0 == found["ours"].repeated


def test_fronts_are_judged_by_the_truth_and_not_by_luck(tmp_path):
    """With much noise a front of lucky trainings has regret; without noise a search of everything has none."""
    _table(noise=0.2).save(tmp_path / "noisy.parquet")
    _table(noise=0.0).save(tmp_path / "clean.parquet")
    noisy, clean = (recorded(tmp_path / f"{name}.parquet") for name in ("noisy", "clean"))
    everything = {"all": NamedStrategy("random-distinct")}
    lucky = compare(noisy, everything, 3, Terms(budget=64)).results[0].after(64)
    assert lucky.regret.value > 0.01
    assert lucky.regret.standard_error > 1e-3
    for landscape, terms in ((noisy, Terms(budget=64, noise_free=True)), (clean, Terms(budget=64))):
        free = compare(landscape, everything, 3, terms).results[0].after(64).regret
        assert free.value == pytest.approx(0)
        assert free.standard_error == pytest.approx(0)


def test_time_and_trials_tell_the_same_story(played):
    """Before the first trial ends nothing is known; at the end the summaries are one."""
    comparison = compare(played, {"ours": NamedStrategy("attn-nas")}, 2, Terms(budget=12, workers=2))
    ours = comparison.results[0]
    assert ours.at(0.5).hypervolume == Mean(0.0, 0.0)
    assert ours.at(1e9) == ours.after(12)
    assert comparison.checkpoints == [10, 12]
    assert comparison.times[-1] == pytest.approx(ours.seconds[:, -1].mean())
    document = json.loads(json.dumps(comparison.to_dict(), allow_nan=False))
    assert len(document["strategies"][0]["curve"]) == 12


OWN = """
import numpy as np
from optuna.samplers import RandomSampler
from attn_nas.benchmark import Strategy

class MySampler(RandomSampler):
    pass

class MyPeer:
    def __init__(self, choices, seed):
        self.choices, self.rng, self.told = choices, np.random.default_rng(seed), []
    def ask(self):
        return {name: self.rng.choice(values) for name, values in self.choices.items()}
    def tell(self, params, accuracy, flops):
        assert params.keys() == self.choices.keys() and 0 <= accuracy <= 1 and flops > 0

class MyStrategy(Strategy):
    def __init__(self, problem, seed):
        super().__init__(problem)
        self.left = [*problem.encoding.genotypes()]
    def propose(self):
        return self.left.pop(), None
    def learn(self, token, accuracy, flops):
        pass

class Nothing:
    pass

class Unseeded(RandomSampler):
    def __init__(self, size):
        super().__init__()

class Abstract(Strategy):
    pass

value = 3
"""


@pytest.fixture
def own(tmp_path):
    """A file with strategies of a user's."""
    path = tmp_path / "own.py"
    path.write_text(OWN)
    return path


@pytest.mark.usefixtures("full_fits")
def test_several_processes_play_the_same(own, played):
    """Two processes give what one gives, also of the strategies in a file of a user: a sampler, a peer, a strategy."""
    theirs = {name: NamedStrategy(f"{own}:{name}") for name in ("MySampler", "MyPeer", "MyStrategy")}
    made = {"random": NamedStrategy("random"), "ours": NamedStrategy("attn-nas"), **theirs}
    terms = Terms(budget=8, workers=3)
    alone, together = (compare(played, made, 2, terms, processes=processes) for processes in (1, 2))
    assert [each.strategy for each in together.results] == list(made)
    for one, other in zip(alone.results, together.results, strict=True):
        assert one.hypervolumes.shape == (2, 8)
        assert np.array_equal(one.hypervolumes, other.hypervolumes)
        assert np.array_equal(one.seconds, other.seconds)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("rondom", "did you mean random"),
        ("own.py:Missing", "cannot be loaded"),
        ("nowhere.py:Class", "cannot be loaded"),
        ("no_such_module:Class", "cannot be loaded"),
        ("own.py:value", "is not a class"),
        ("own.py:Nothing", "neither a strategy, nor an Optuna sampler"),
        ("own.py:Unseeded", "cannot be made: .*seed"),
        ("own.py:Abstract", "cannot be made: .*abstract"),
    ],
)
def test_a_strategy_that_cannot_be_made_says_why(name, reason, own, table, monkeypatch):
    """By name, file or kind."""
    monkeypatch.chdir(own.parent)
    with pytest.raises(UsageError, match=reason):
        NamedStrategy(name)(table, 0)


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_named_strategy_plays(name, table):
    """A few trials of each."""
    assert len(simulate(table, NamedStrategy(name)(table, 0), 12)) == 12


def test_a_table_with_holes_is_not_compared_on(table, played, tmp_path):
    """Strategies need all networks of the space."""
    Table(table.header, table.entries[3:]).save(tmp_path / "holes.parquet")
    with pytest.raises(TableError, match="63 of the 64 networks"):
        recorded(tmp_path / "holes.parquet")
    with pytest.raises(UsageError, match="at least one"):
        compare(played, {}, 1)


def test_the_surrogate_predicts_what_it_has_not_seen(table):
    """Effects that add up are found; its intervals cover; what it says of its error is measured on other networks."""
    held_out = Surrogate(table).held_out()
    assert held_out.networks == 64
    assert held_out.explained > 0.9
    assert held_out.mean_error < 0.01
    assert held_out.kendall.value > 0.8
    assert 0.75 < held_out.covered <= 1.0
    half = Table(table.header, [entry for number, entry in enumerate(table.entries) if number % 6 < 3])
    unseen = [genotype for key, genotype in table.genotypes.items() if genotype not in half]
    predicted = Surrogate(half).predict(unseen)
    errors = [each.accuracy - _true_accuracy(genotype) for each, genotype in zip(predicted, unseen, strict=True)]
    assert np.abs(errors).mean() < 0.015
    assert all(len(each.curve) == 2 and each.standard_deviation > 0 and each.seconds > 0 for each in predicted)


def test_a_bare_trunk_is_predicted_below_what_adds_to_it(monkeypatch):
    """Where every mechanism helps at every site, what has none is not taken for average."""
    helpful = {"se": (0.06, 0.06, 0.06), "gsop": (0.05, 0.05, 0.05)}
    for name, values in helpful.items():
        monkeypatch.setitem(EFFECTS, name, values)
    table = _table()
    bare = Genotype.bare(table.encoding.trunk)
    without = Table(table.header, [entry for entry in table.entries if entry.genotype != bare])
    (predicted,) = Surrogate(without).predict([bare])
    assert predicted.accuracy == pytest.approx(0.6, abs=0.02)


def test_predictions_reach_beyond_the_space_with_less_certainty(table):
    """A reduction that the table does not have is predicted from its neighbour, and trusted less than an entry."""
    surrogate = Surrogate(table)
    trunk = table.encoding.trunk
    known = Genotype(trunk, (Placement("se", reduction=4), None, None))
    new = Genotype(trunk, (Placement("cbam", reduction=2, kernel_size=3), None, None))
    seen, unseen = surrogate.predict([known, new])
    assert seen.accuracy == pytest.approx(_true_accuracy(known), abs=0.015)
    assert unseen.standard_deviation > 2 * seen.standard_deviation
    assert surrogate.predict([known], seed=1) != surrogate.predict([known], seed=2)
    assert surrogate.predict([known], seed=1) == surrogate.predict([known], seed=1)
    once = Table(table.header, [entry for entry in table.entries if entry.seed == 0])
    held_out = Surrogate(once).held_out()
    assert np.isnan([held_out.noise, held_out.covered]).all()
    assert "With one seed the repeatability" in card(once, summarise(once))
    with pytest.raises(TableError, match="the surrogate predicts placements on"):
        surrogate.predict([Genotype.bare(load_space("cued_digits").trunk.trunk())])
    with pytest.raises(TableError, match="a surrogate needs 20"):
        Surrogate(Table(table.header, table.entries[:30]))


def test_the_card_says_what_is_in_the_table(table):
    """Effects as they were put in, the true front, the best reference, the numbers of networks and trainings."""
    says = summarise(table)
    assert (says.networks, says.trainings) == (64, 192)
    found = {(each.option, each.site): 100 * each.gain.value for each in says.effects}
    sites = [str(site) for site in table.encoding.trunk.sites]
    assert found["se r1", sites[0]] == pytest.approx(6, abs=0.1)
    assert found["se r1@pre", sites[0]] == pytest.approx(3, abs=0.1)
    assert found["gsop r2", sites[2]] == pytest.approx(5, abs=0.1)
    assert [each.genotype.key for each in says.front] == Truth(table).front
    text = card(table, says)
    assert "64 of the 64 networks" in text
    assert "192 trainings" in text
    assert "a machine" in text
    json.dumps(says.to_dict(), allow_nan=False)
    assert effects(table, Truth(table)) == says.effects
    assert says.lead.value == pytest.approx(says.front[-1].accuracy.value - says.best_reference[1].value)


def _built(folder: Path, **changes) -> TableBuild:
    return TableBuild("tiny", SPACE, (0, 1), folder, Numerics(), sample=4, hardware="here", **changes)


def test_shards_give_the_table_of_one_build(tmp_path):
    """Really trained: equal networks, seeds, curves and test accuracies, whoever trained them; resumed where it was stopped."""
    whole = _built(tmp_path / "whole")
    assert len(whole.replicates) == 8
    stopped = []

    def stop(replicate, outcome):
        stopped.append(replicate)
        if len(stopped) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        whole.train(ONE, stop)
    assert len(whole.missing) == 5
    again = []
    _built(tmp_path / "whole").train(ONE, lambda replicate, outcome: again.append(replicate))
    assert len(again) == 5
    shards = [_built(tmp_path / f"shard{index}", shard=Shard(index, 2)) for index in (1, 2)]
    for shard in shards:
        shard.train(ONE, lambda replicate, outcome: None)
    merged = Table.merge([shard.table() for shard in shards])
    assert [entry.name for entry in merged.entries] == [entry.name for entry in whole.table().entries]
    for one, other in zip(merged.entries, whole.table().entries, strict=True):
        assert one.trained.result.curve == other.trained.result.curve
        assert one.trained.test == other.trained.test
        assert one.trained.cost == other.trained.cost
        assert one.trained.profile is not None
    assert {genotype.key for genotype in merged.references.values()} <= merged.genotypes.keys()


SCRIPT = Path(__file__).parents[2] / "benchmarks" / "build_table.py"


def benchmark_script(name: str) -> dict[str, Any]:
    """The names of a script in the folder benchmarks, whose modules import each other by their bare names."""
    with pytest.MonkeyPatch.context() as patched:
        patched.syspath_prepend(str(SCRIPT.parent))
        return runpy.run_path(str(SCRIPT.with_name(f"{name}.py")))


TINY_TABLE = """\
trunk: {name: cifar_resnet, depth: 8, width: 4}
data: {name: cued_digits, num_train: 64, num_validation: 50}
mechanisms:
  - {name: se, reductions: [4], positions: [standard, pre]}
proxy: {epochs: 1, batch_size: 16, lr: 0.05}
"""


def _options(folder: Path) -> list[str]:
    """What the script is always told; the file of the space is written."""
    space = folder / "tiny.yaml"
    space.write_text(TINY_TABLE)
    return ["--workers", "1", "--seeds", "1", "--name", "tiny", "--space", str(space)]


@contextmanager
def _script(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """The build script on a tiny space; its own process group, and not deaf to Ctrl-C where tests run in the background."""
    inherited = signal.signal(signal.SIGINT, signal.default_int_handler)
    command = [sys.executable, str(SCRIPT), *_options(folder), *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = warm.Popen(command, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True)
    signal.signal(signal.SIGINT, inherited)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.fixture
def told(tmp_path, monkeypatch, capsys):
    """Runs the build script in this process: exit code, and what it says beside its result."""
    main = benchmark_script("build_table")["main"]

    def run(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["build_table.py", *_options(tmp_path), *arguments])
        try:
            main()
        except SystemExit as ended:
            return ended.code, capsys.readouterr().err
        return 0, capsys.readouterr().err

    return run


def test_the_script_stops_goes_on_and_merges(tmp_path, told):
    """Ctrl-C keeps what is trained and writes no table; the same command ends it; shards with or without a card merge."""
    to = tmp_path / "tiny.parquet"
    first = ["--shard", "1/2", "--folder", str(tmp_path / "first"), "--to", str(to)]
    with _script(tmp_path, *first) as stopped:
        deadline = time.monotonic() + 300
        while not list((tmp_path / "first").rglob("trainings/*.json")):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        os.killpg(stopped.pid, signal.SIGINT)
        said = stopped.communicate(timeout=120)[1]
    assert stopped.returncode == 130, said
    assert "the same command goes on" in said
    assert not to.exists()
    kept = {path: path.read_bytes() for path in (tmp_path / "first").rglob("trainings/*.json")}
    assert 0 < len(kept) < 13
    assert told(*first)[0] == 0
    assert all(path.read_bytes() == content for path, content in kept.items())
    half = Table.load(to)
    assert len(half) == 27 // 2
    other = tmp_path / "other.parquet"
    code, said = told("--shard", "8/8", "--folder", str(tmp_path / "other"), "--to", str(other))
    assert code == 0, said
    assert "no data card yet" in said
    code, said = told("--folder", str(tmp_path / "rest"), "--to", str(to), "--merge", str(other))
    assert code == 0, said
    assert f"{27 - 13 - 4} trainings" in said
    whole = Table.load(to)
    assert whole.complete
    assert whole.seeds == [0]
    assert set(half.entries) | set(Table.load(other).entries) <= set(whole.entries)
    assert "27 of the 27 networks" in to.with_suffix(".md").read_text()
    assert {path.suffix for path in tmp_path.iterdir() if path.is_file()} == {".parquet", ".md", ".yaml"}


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--shard", "5/4"], "shard '5/4': write 1/4 for the first of four"),
        (["--seeds", "0"], "there are no seeds: give at least one"),
        (["--sample", "0"], "a sample of 0 networks: choose at least 1"),
        (["--name", "other", "--merge", "tiny.parquet"], "tables of different name cannot be merged"),
        (["--merge", "missing.parquet"], "missing.parquet is not a table of trainings"),
    ],
)
def test_the_script_says_what_cannot_be(arguments, reason, table, tmp_path, told, monkeypatch):
    """In one line, before anything is trained."""
    monkeypatch.chdir(tmp_path)
    replace_name = Header("tiny", SPACE, TASK, table.header.bare, table.header.dearest_flops)
    Table(replace_name, table.entries).save("tiny.parquet")
    code, said = told("--folder", "kept", "--to", "to.parquet", *arguments)
    assert code in (1, 2)
    assert said.startswith(f"build_table: {reason}")
    assert said.count("\n") == 1
    assert not Path("kept/trainings").exists()


def test_a_folder_belongs_to_one_table_and_one_machine(tmp_path):
    """So that what an entry says of its machine is true."""
    _built(tmp_path)
    with pytest.raises(UsageError, match="begun with another hardware"):
        TableBuild("tiny", SPACE, (0, 1), tmp_path, Numerics(), sample=4, hardware="elsewhere")
    with pytest.raises(UsageError, match="begun with another name"):
        TableBuild("other", SPACE, (0, 1), tmp_path, Numerics(), sample=4, hardware="here")
    assert len(_built(tmp_path).table()) == 0
    (tmp_path / "table.json").write_text('{"header": ')
    with pytest.raises(TableError, match="is damaged"):
        _built(tmp_path)


def test_what_is_known_is_not_trained_again(table, tmp_path):
    """A table is extended from any folder by what it lacks; a table of another space is refused before any training."""
    known = Table(table.header, [entry for entry in table.entries if entry.seed == 0])
    build = TableBuild("made_up", SPACE, (0, 1), tmp_path, Numerics(), known=known)
    assert {each.seed for each in build.replicates} == {1}
    assert len(build.replicates) == 64
    with pytest.raises(TableError, match="different name"):
        TableBuild("other", SPACE, (0, 1), tmp_path / "other", Numerics(), known=known)
    for changes in ({"limits": {"max_params": 10**6}}, {"objectives": {"costs": ["params"]}}):
        limited = SearchSpace.model_validate({**SPACE.model_dump(), **changes})
        with pytest.raises(UsageError, match="remove limits and objectives"):
            TableBuild("made_up", limited, (0,), tmp_path / "limited", Numerics())


def test_tables_are_added_to_one_file_by_turns(table, tmp_path):
    """What one process adds is not lost by what another adds."""
    path = tmp_path / "table.parquet"
    for seed in range(3):
        Table(table.header, [entry for entry in table.entries if entry.seed == seed]).add_to(path)
    assert Table.load(path).entries == table.entries
    with pytest.raises(TableError, match="cannot be written"):
        table.add_to(tmp_path / "missing" / "table.parquet")


@pytest.mark.parametrize("text", ["", "0/2", "3/2", "1", "a/b", "-1/2"])
def test_a_shard_that_cannot_be_is_an_error(text):
    """Written otherwise than 1/4, or not among them."""
    with pytest.raises(UsageError, match="write 1/4"):
        Shard.parse(text)


def test_a_space_that_is_too_large_wants_a_sample(tmp_path):
    """The embedded default has too many networks to be listed."""
    with pytest.raises(UsageError, match="choose a sample of at most 20,000"):
        TableBuild("all", load_space("cued_digits"), (0,), tmp_path, Numerics())


def test_the_command_compares_and_draws(table, tmp_path):
    """A table on the terminal, one JSON document, a picture over trials or seconds."""
    table.save(tmp_path / "table.parquet")
    arguments = ["bench", "--table", str(tmp_path / "table.parquet"), "--seeds", "3", "--budget", "12", "--processes", "1"]
    told = CliRunner().invoke(app, [*arguments, "--svg", str(tmp_path / "regret.svg")])
    assert told.exit_code == 0, told.output
    assert "attn-nas" in told.output
    assert "random" in told.output
    assert "12 trials" in told.output
    ElementTree.parse(tmp_path / "regret.svg")
    document = CliRunner().invoke(app, [*arguments, "--strategy", "tpe", "--workers", "4", "--json"])
    strategies = json.loads(document.stdout)["strategies"]
    assert [each["strategy"] for each in strategies] == ["tpe"]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--strategy", "rondom"], "did you mean random"),
        (["--seeds", "0"], "at least one"),
        (["--budget", "0"], "budget = 0"),
        (["--workers", "0"], "workers = 0"),
        (["--processes", "0"], "processes = 0"),
        (["--landscape", "null"], "choose --landscape or --table"),
        (["--over", "epochs"], "choose from trials, seconds"),
        (["--table", "missing.parquet"], "is not a table"),
        (["--svg", "missing/plot.svg"], "cannot be written"),
    ],
)
def test_bad_arguments_are_told(arguments, reason, table, tmp_path, monkeypatch):
    """Each with what to choose instead; none with a traceback."""
    monkeypatch.chdir(tmp_path)
    table.save("table.parquet")
    given = ["bench", "--table", "table.parquet", "--seeds", "1", "--budget", "3", "--processes", "1", *arguments]
    failed = CliRunner().invoke(app, given)
    assert failed.exit_code in (1, 2)
    assert reason in failed.output
    assert "Traceback" not in failed.output


def test_pictures_are_well_formed(played):
    """XML, with every strategy named, over trials and over seconds; flat and single curves too."""
    comparison = compare(played, {"a & b": NamedStrategy("random"), "ours": NamedStrategy("attn-nas")}, 2, Terms(budget=5))
    for over in ("trials", "seconds"):
        drawn = ElementTree.fromstring(bench_svg(comparison, over))
        texts = [element.text for element in drawn.iter() if element.tag.endswith("text")]
        assert "a & b" in texts
        assert "ours" in texts
    for series in ([], [Series("flat", [(0.0, 0.0), (1.0, 0.0)])], [Series("one", [(5.0, 3.0)], [1.0])]):
        ElementTree.fromstring(line_svg("title", "x", "y", series))


def test_the_table_of_the_package_is_whole():
    """Every network of its shipped space, with costs as they are counted now; small, and with its card."""
    table = Table.load()
    assert table.complete
    assert table.seeds
    assert table.header.space == load_space("cued_digits_table")
    costs = CostTable(table.encoding.trunk, table.header.task)
    assert all(table.cost(genotype) == costs.cost(genotype) for genotype in table.genotypes.values())
    assert EMBEDDED.stat().st_size < 5e6
    assert "512 of the 512 networks" in EMBEDDED.with_suffix(".md").read_text()


def test_the_winners_curse_can_be_measured_on_a_table(tmp_path, monkeypatch, capsys):
    """Intervals, hypervolumes and optimism of searches whose luck is drawn from the table's own; one seed has none."""
    monkeypatch.setattr(concurrent.futures, "ProcessPoolExecutor", lambda workers, mp_context: ThreadPoolExecutor(1))
    main = benchmark_script("credible_front")["main"]
    _table(noise=0.02).save(tmp_path / "made.parquet")
    options = ["credible_front.py", "--seeds", "2", "--budget", "14", "--json", "--table"]
    monkeypatch.setattr(sys, "argv", [*options, str(tmp_path / "made.parquet")])
    main()
    found = json.loads(capsys.readouterr().out)["found"]
    assert 0.5 < found["confirmed: covered, all"]["mean"] <= 1.0
    assert found["confirmed: hypervolume, believed front"]["mean"] > 0
    assert found["trainings"]["mean"] > 14
    _table(seeds=1).save(tmp_path / "one.parquet")
    monkeypatch.setattr(sys, "argv", [*options, str(tmp_path / "one.parquet")])
    with pytest.raises(TableError, match="its noise is not known"):
        main()
