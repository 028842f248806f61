"""The sampler that knows costs: its model, its gain, its candidates, and Optuna's own contract for samplers."""

import threading
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import optuna
import pytest
import torch
from optuna.samplers import BaseSampler
from optuna.testing.pytest_samplers import BasicSamplerTestCase, MultiObjectiveSamplerTestCase, RelativeSamplerTestCase
from optuna.trial import TrialState

from attn_nas.cost import CostTable
from attn_nas.sampling import Beliefs, Training, placement_process
from attn_nas.sampling.accuracy import AccuracyModel, Observations, chances
from attn_nas.sampling.candidates import best_candidate
from attn_nas.sampling.improvement import Staircase
from attn_nas.sampling.known_cost import KnownCostSampler
from attn_nas.sampling.learner import Learner
from attn_nas.sampling.observations import PriorTraining, observations_from
from attn_nas.sampling.placement_kernel import Kernel, KernelParameters, Pairs, PlacedNetworks
from attn_nas.sampling.placement_process import PlacementProcess
from attn_nas.sampling.rows import CostedRows
from attn_nas.space.schema import SearchSpace
from attn_nas.space.task import Task

WHATEVER_IS_ESTIMATED = {
    "test_a_new_sampler_goes_on_where_another_stopped",
    "test_hyperparameters_are_chosen_now_and_then",
    "test_limits_are_kept_exactly",
    "test_the_references_come_first_and_nothing_twice",
    "test_trials_in_training_are_not_proposed_again",
    "test_workers_that_ask_at_once_get_different_networks",
}
"""Tests of what holds with any estimates, for which few steps of a fit are enough."""


@pytest.fixture(autouse=True)
def _fits(request):
    """All other tests judge estimates, but those of Optuna's contract."""
    if request.cls is None and request.function.__name__ not in WHATEVER_IS_ESTIMATED:
        request.getfixturevalue("full_fits")


TASK = Task(3, 32, 32, 10)
DIRECTIONS = ["maximize", "minimize"]


def _space(**changes):
    described = {
        "trunk": {"name": "cifar_resnet", "depth": 20, "width": 16},
        "data": {"name": "cued_digits"},
        "mechanisms": [
            {"name": "se", "reductions": [4, 8], "positions": ["standard", "pre"]},
            {"name": "eca"},
            {"name": "sam", "kernel_sizes": [3, 7]},
        ],
        "proxy": {"epochs": 1, "batch_size": 16, "lr": 0.1},
        **changes,
    }
    return SearchSpace.model_validate(described)


SMALL = {"trunk": {"name": "cifar_resnet", "depth": 8, "width": 16}, "mechanisms": [{"name": "se", "reductions": [4]}]}


@pytest.fixture(scope="module")
def costs():
    return {depth: CostTable(_space(trunk={"name": "cifar_resnet", "depth": depth}).trunk.trunk(), TASK) for depth in (8, 20)}


@pytest.fixture(scope="module")
def rows(costs):
    return CostedRows(_space(), costs[20])


class _Contract:
    @pytest.fixture
    def sampler(self, costs) -> Callable[[], BaseSampler]:
        return lambda: KnownCostSampler(_space(), costs[20], seed=0)


class TestBasicContract(_Contract, BasicSamplerTestCase):
    """Optuna's suite for every sampler, whole."""


class TestRelativeContract(_Contract, RelativeSamplerTestCase):
    """Optuna's suite for samplers that propose parameters together, whole."""


class TestMultiObjectiveContract(_Contract, MultiObjectiveSamplerTestCase):
    """Optuna's suite for several objectives, whole."""


def _accuracy(genotype, rng, noise=0.002):
    """Attention helps most in the last stage and saturates; spatial gates harm."""
    gains = {"se": 0.5, "eca": 0.3, "sam": -0.3}
    total = sum((1 + site.block.stage) * gains[placement.mechanism] for site, placement in genotype.sites if placement)
    return 0.9 + 0.03 * np.tanh(total / 5) + noise * rng.standard_normal()


def _studied(sampler, trials, seed=0):
    """A study of so many trials on a made-up problem."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(directions=DIRECTIONS, sampler=sampler)
    rng = np.random.default_rng(seed)

    def objective(trial):
        genotype = sampler.suggest(trial)
        return _accuracy(genotype, rng), sampler.costs.cost(genotype).flops

    study.optimize(objective, n_trials=trials)
    return study


def _keys(sampler, study):
    return [sampler.encoding.decode(trial.params).key for trial in study.trials]


def test_the_references_come_first_and_nothing_twice(costs):
    """As a search has them; every ask is another network."""
    sampler = KnownCostSampler(_space(), costs[20], seed=1)
    study = _studied(sampler, 25)
    first = [str(sampler.encoding.decode(trial.params)) for trial in study.trials[:3]]
    assert first == ["- x3 | - x3 | - x3", "se r4 x3 | se r8 x3 | se r8 x3", "eca k3 x3 | eca k3 x3 | eca k3 x3"]
    assert len(set(_keys(sampler, study))) == 25


def test_a_new_sampler_goes_on_where_another_stopped(costs):
    """All that it knows is in the study: proposals do not depend on how long the sampler has lived."""
    whole = _studied(KnownCostSampler(_space(), costs[20], seed=3), 14)
    sampler = KnownCostSampler(_space(), costs[20], seed=3)
    study = optuna.create_study(directions=DIRECTIONS, sampler=sampler)
    study.add_trials(whole.trials[:13])
    assert study.ask(dict(sampler.infer_relative_search_space(study, None))).params == whole.trials[13].params


def test_it_finds_better_fronts_than_chance(costs):
    """On a made-up problem with noise: true hypervolume after 30 trials beats that of random search after 60."""

    def hypervolume(study, sampler, count):
        genotypes = [sampler.encoding.decode(trial.params) for trial in study.trials[:count]]
        points = CostedRows(_space(), costs[20])
        taken = np.array([sampler.encoding.to_row(genotype) for genotype in genotypes])
        true = np.array([_accuracy(genotype, np.random.default_rng(0), noise=0.0) for genotype in genotypes])
        stairs = Staircase.of(true, points.costs(taken), 0.9, np.ones(1))
        return float(((stairs.high - stairs.low)[:, 0] * (stairs.levels - 0.9)).sum())

    for seed in range(3):
        ours = KnownCostSampler(_space(), costs[20], seed=seed)
        found = hypervolume(_studied(ours, 30, seed), ours, 30)
        chance = optuna.create_study(directions=DIRECTIONS, sampler=optuna.samplers.RandomSampler(seed))
        chance.optimize(lambda trial, ours=ours: (len(ours.suggest(trial).key), 0.0), n_trials=60)
        assert found > hypervolume(chance, ours, 60)


def test_workers_that_ask_at_once_get_different_networks(costs):
    """Threads that begin their trials together, before any of them has said what it takes."""
    sampler = KnownCostSampler(_space(), costs[20], seed=0)
    study = optuna.create_study(directions=DIRECTIONS, sampler=sampler)
    barrier = threading.Barrier(4)

    def objective(trial):
        barrier.wait(60)
        genotype = sampler.suggest(trial)
        return _accuracy(genotype, np.random.default_rng(trial.number)), sampler.costs.cost(genotype).flops

    study.optimize(objective, n_trials=16, n_jobs=4)
    assert len(set(_keys(sampler, study))) == 16


@pytest.mark.parametrize("bad", [float("inf"), float("-inf")])
def test_values_that_are_not_finite_say_nothing(costs, bad):
    """They are taken, and are not learned from."""
    sampler = KnownCostSampler(_space(), costs[20], seed=0)
    study = _studied(sampler, 8)
    trial = study.ask()
    sampler.suggest(trial)
    study.tell(trial, [bad, 0.0])
    trial = study.ask()
    sampler.suggest(trial)
    assert len(set(_keys(sampler, study))) == 10


def test_what_is_expected_of_pending_networks_moves_nothing_else(rows):
    """Also when trainings of several seeds lie apart."""
    rng = np.random.default_rng(0)
    some = np.unique(rows.random(80, rng), axis=0)
    seeds = np.arange(len(some)) % 2
    true = np.array([_accuracy(rows.encoding.from_row(row.tolist()), rng, noise=0.001) for row in some])
    model = _fitted(rows, some[:50], true[:50] + 0.03 * seeds[:50], seeds[:50])
    believing = model.with_pending(rows.placed(some[50:58]))
    rest = rows.placed(some[58:])
    assert np.abs(believing.predict(rest)[0] - model.predict(rest)[0]).max() < 0.001


@pytest.mark.parametrize("seeded", [False, True])
def test_a_process_extends_the_one_before_it(rows, monkeypatch, seeded):
    """With more networks at the end it says what it says when it is made of all anew; with others before them it is."""
    rng = np.random.default_rng(0)
    networks, asked = rows.placed(rows.random(40, rng)), rows.placed(rows.random(20, rng))
    values, noise, seeds = rng.normal(size=(40, 1)), rng.uniform(0.5, 2.0, 40), rng.integers(3, size=40) if seeded else None
    made = []

    def process(numbers, like=None):
        chosen = seeds if seeds is None else seeds[numbers]
        return PlacementProcess(networks[numbers], values[numbers], noise[numbers], chosen, like=like)

    exact = PlacementProcess._exact
    first = process(np.arange(30))
    monkeypatch.setattr(PlacementProcess, "_exact", lambda self: made.append(len(self.networks)) or exact(self))
    extended = process(np.arange(40), first)
    assert made == []
    turned = process(np.arange(40)[::-1], first)
    assert made == [40]
    for seed in (None, 1):
        for one, other in zip(extended.predict(asked, seed), turned.predict(asked, seed), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-9)
        assert (extended.means(asked, seed) == extended.predict(asked, seed)[0]).all()


def test_prior_trainings_are_moved_network_by_network(rows):
    """However often a common network was trained since; the row of a network does not distinguish those of another space."""
    some = np.unique(rows.random(40, np.random.default_rng(0)), axis=0)[:20]
    genotypes = _genotypes(rows, some)
    accuracies = np.linspace(0.5, 0.9, 20)
    numbers = [*range(10), *[9] * 30]
    trials = [optuna.trial.create_trial(values=[accuracies[number], 0.0]) for number in numbers]
    earlier = [PriorTraining(genotype, float(accuracy)) for genotype, accuracy in zip(genotypes, accuracies, strict=True)]
    seen = observations_from(trials, rows.placed(some[numbers]), earlier)
    np.testing.assert_allclose(seen.accuracies[len(numbers) :], accuracies)
    assert observations_from(trials, rows.placed(some[numbers]), earlier[10:]).accuracies.tolist() == [
        accuracies[n] for n in numbers
    ]


def test_hyperparameters_are_chosen_now_and_then(rows, monkeypatch):
    """To the first trainings, in any order of calls; the cache between calls changes no result."""
    rng, chosen = np.random.default_rng(0), []
    likelihood = PlacementProcess._likelihood
    monkeypatch.setattr(
        PlacementProcess, "_likelihood", lambda self, most: chosen.append(len(self.networks)) or likelihood(self, most)
    )
    some = rows.random(120, rng)
    trials = [
        optuna.trial.create_trial(values=[_accuracy(genotype, rng), 0.0, 1.0 + genotype.num_attended / 10])
        for genotype in _genotypes(rows, some)
    ]
    learner, asked = Learner(rows, [2]), rows.placed(rows.random(20, rng))
    for number in range(100, 121):
        learned = learner.learn(trials[:number], some[:number], [])
        assert len(learned.accuracy.seen) == number
    fits = [number for number, before in zip(chosen, [0, *chosen], strict=False) if number != before]
    assert fits == [99, 101, 104, 107, 110, 113, 116, 119]
    fresh = Learner(rows, [2]).learn(trials, some, [])
    np.testing.assert_array_equal(fresh.accuracy.predict(asked), learned.accuracy.predict(asked))
    np.testing.assert_array_equal(fresh.times[0](asked), learned.times[0](asked))
    small = Learner(rows, [2]).learn(trials[:20], some[:20], []).accuracy
    assert small.parameters[0].weights.tolist() != learned.accuracy.parameters[0].weights.tolist()


def test_trials_in_training_are_not_proposed_again(costs):
    """Eight proposals before the first result: eight different networks, and none of the finished ones."""
    sampler = KnownCostSampler(_space(), costs[20], seed=0)
    study = _studied(sampler, 10)
    space = sampler.infer_relative_search_space(study, None)
    for _ in range(8):
        study.ask(dict(space))
    assert [trial.state for trial in study.trials[10:]] == [TrialState.RUNNING] * 8
    assert len(set(_keys(sampler, study))) == 18


@pytest.mark.parametrize(("axis", "most"), [("flops", 150_000), ("params", 300)])
def test_limits_are_kept_exactly(costs, axis, most):
    """Not one network beyond them, also where they leave few."""
    bare = costs[20].bare
    limits = {"max_flops": f"+{most}"} if axis == "flops" else {"max_params": bare.params + most}
    sampler = KnownCostSampler(_space(limits=limits), costs[20], seed=0)
    study = _studied(sampler, 25)
    genotypes = [sampler.encoding.decode(trial.params) for trial in study.trials]
    assert all(getattr(costs[20].cost(genotype), axis) - getattr(bare, axis) <= most for genotype in genotypes)
    assert len({genotype.key for genotype in genotypes}) == 25


def test_an_exhausted_space_is_asked_without_end(costs):
    """All eight networks, then any of them: that is for the study's owner to stop."""
    sampler = KnownCostSampler(_space(**SMALL), costs[8], seed=0)
    study = _studied(sampler, 10)
    assert len(set(_keys(sampler, study)[:8])) == 8


def test_a_study_of_other_directions_is_refused(costs):
    """Costs and accuracy could not be distinguished."""
    sampler = KnownCostSampler(_space(), costs[20], seed=0)
    study = optuna.create_study(directions=["minimize", "minimize"], sampler=sampler)
    with pytest.raises(ValueError, match=r"directions \['maximize', 'minimize'\]"):
        sampler.suggest(study.ask())


def test_rows_have_the_costs_of_their_networks(costs, rows):
    """On the scale from the bare trunk to the dearest network, and in the order of the exact counts."""
    some = rows.random(40, np.random.default_rng(0))
    genotypes = [rows.encoding.from_row(row.tolist()) for row in some]
    added = np.array([costs[20].cost(genotype).flops - costs[20].bare.flops for genotype in genotypes])
    dearest = costs[20].highest_cost(rows.encoding, "flops") - costs[20].bare.flops
    np.testing.assert_allclose(rows.costs(some)[:, 0], np.log1p(added / 1000) / np.log1p(dearest / 1000))
    assert [rows.encoding.to_row(genotype) for genotype in genotypes] == some.tolist()
    assert [rows.encoding.params_to_row(rows.encoding.encode(genotype)) for genotype in genotypes] == some.tolist()


def test_tied_stages_are_one_gene(costs):
    """A row has an entry for each stage, and its networks one placement in all blocks of it."""
    tied = CostedRows(_space(granularity="per_stage"), costs[20])
    some = tied.random(20, np.random.default_rng(0))
    assert some.shape == (20, 3)
    for row in some:
        genotype = tied.encoding.from_row(row.tolist())
        taken = [placement and (placement.mechanism, placement.position) for placement in genotype.placements]
        assert all(len(set(taken[first : first + 3])) == 1 for first in (0, 3, 6))
        assert tied.encoding.to_row(genotype) == row.tolist()


def test_a_network_of_another_space_has_no_row(rows):
    """It cannot be proposed, and is not taken for another."""
    other = CostedRows(_space(mechanisms=[{"name": "se", "reductions": [16]}]), CostTable(_space().trunk.trunk(), TASK))
    foreign = other.encoding.from_row([1] * 9)
    assert rows.encoding.to_row(foreign) is None


def test_the_expected_gain_is_that_of_many_draws():
    """In closed form with one and with two costs, against 200,000 draws of the accuracy."""
    rng = np.random.default_rng(0)
    for k in (1, 2):
        accuracies, costs = rng.random(6), rng.random((6, k))
        stairs = Staircase.of(accuracies, costs, 0.1, np.ones(k))

        def volume(accuracies, costs, k=k):
            found = Staircase.of(accuracies, costs, 0.1, np.ones(k))
            return ((found.high - found.low).prod(1) * (found.levels - 0.1)).sum()

        cost = rng.random((1, k))
        drawn = rng.normal(0.6, 0.2, 2000)
        gains = [volume(np.append(accuracies, y), np.concatenate([costs, cost])) - volume(accuracies, costs) for y in drawn]
        expected = stairs.expected_gain(np.array([0.6]), np.array([0.2]), cost)[0]
        assert expected == pytest.approx(np.mean(gains), abs=4 * np.std(gains) / len(gains) ** 0.5)


def test_the_kernel_is_one_whatever_its_numbers(costs):
    """Symmetric, positive, and its diagonal what a network is said to vary by: also where likeness costs next to nothing."""
    mechanisms = [
        {"name": "se", "reductions": [2, 64]}, {"name": "eca", "kernel_sizes": ["adaptive", 3]}, {"name": "sam"},
        {"name": "cbam", "reductions": [2, 16], "kernel_sizes": [3, 7]}, {"name": "simam"}, {"name": "sge"},
    ]  # fmt: skip
    rows = CostedRows(_space(mechanisms=mechanisms), costs[20])
    rng = np.random.default_rng(1)
    networks = rows.placed(np.unique(rows.random(80, rng), axis=0))
    kernel, sites = Kernel(networks.placements), len(networks.sites)
    for _ in range(40):
        logarithms = torch.from_numpy(
            KernelParameters.start(sites) + rng.uniform(-2.5, 2.5, size=len(KernelParameters.start(sites)))
        )
        numbers = KernelParameters.of(logarithms, sites)
        torch.testing.assert_close(numbers.logarithms, logarithms)
        covariance = kernel.between(networks, networks, numbers)
        torch.testing.assert_close(covariance, kernel.of_pairs(Pairs(networks, networks), numbers))
        torch.testing.assert_close(covariance, covariance.T)
        torch.testing.assert_close(covariance.diagonal(), kernel.of_each(networks, numbers))
        assert torch.linalg.eigvalsh(covariance).min() > -1e-9 * covariance.max()


def _fitted(rows, networks, accuracies, seeds=None):
    seeds = np.zeros(len(networks), dtype=np.int64) if seeds is None else seeds
    return AccuracyModel(Observations(rows.placed(networks), accuracies, seeds, np.ones(len(networks))))


def test_the_model_learns_an_additive_problem(rows):
    """From 80 networks with noise: most of the variance of others, intervals that hold, and the size of the noise."""
    rng = np.random.default_rng(0)
    some = np.unique(rows.random(400, rng), axis=0)
    true = np.array([_accuracy(rows.encoding.from_row(row.tolist()), rng, noise=0.0) for row in some])
    seen = rng.permutation(len(some))[:80]
    rest = np.setdiff1d(np.arange(len(some)), seen)
    noise = 0.002
    model = _fitted(rows, some[seen], true[seen] + noise * rng.normal(size=80))
    means, deviations = model.predict(rows.placed(some[rest]))
    errors = means - true[rest]
    assert 1 - (errors**2).mean() / true[rest].var() > 0.9
    assert 0.8 < (np.abs(errors) < 1.645 * deviations).mean() <= 1.0
    assert model.noise == pytest.approx(noise, rel=0.5)


def test_replicates_make_a_network_surer(rows):
    """Sixteen trainings leave less doubt than one, of the same mean."""
    some = rows.random(30, np.random.default_rng(0))
    accuracies = 0.9 + 0.01 * np.random.default_rng(1).normal(size=30)
    once = _fitted(rows, some, accuracies)
    again = np.concatenate([some, np.repeat(some[4:5], 15, axis=0)])
    often = _fitted(rows, again, np.append(accuracies, np.repeat(accuracies[4], 15)))
    network = rows.placed(some[4:5])
    assert often.predict(network)[1][0] < 0.7 * once.predict(network)[1][0]


def test_what_a_seed_does_to_all_is_no_merit(rows):
    """Two networks of the same accuracy, one of them trained with a lucky seed that lifted all others too."""
    rng = np.random.default_rng(0)
    some = np.unique(rows.random(60, rng), axis=0)
    seeds = np.arange(len(some)) % 2
    true = np.array([_accuracy(rows.encoding.from_row(row.tolist()), rng, noise=0.001) for row in some])
    shifted = true + np.where(seeds == 1, 0.03, 0.0)
    named, nameless = _fitted(rows, some, shifted, seeds), _fitted(rows, some, shifted)
    networks = rows.placed(some)

    def errors(model):
        rest = model.predict(networks)[0] - true
        return np.abs(rest - rest.mean()).mean()

    assert errors(named) < 0.5 * errors(nameless)


def test_values_that_are_no_shares_are_modelled_as_they_are(rows):
    """A study may maximise anything."""
    some = rows.random(30, np.random.default_rng(0))
    values = -5.0 + (some > 0).sum(1)
    model = _fitted(rows, some, values)
    assert np.abs(model.predict(rows.placed(some))[0] - values).max() < 1.0


def test_placements_never_seen_are_predicted(rows):
    """A process fitted to some placements answers for others on the same trunk."""
    other = CostedRows(_space(mechanisms=[{"name": "cbam"}]), CostTable(_space().trunk.trunk(), TASK))
    known = [rows.encoding.from_row(row.tolist()) for row in rows.random(30, np.random.default_rng(0))]
    networks = PlacedNetworks.of(known)
    process = PlacementProcess(networks, np.linspace(0, 1, 30)[:, None], np.ones(30))
    foreign = [other.encoding.from_row(row.tolist()) for row in other.random(5, np.random.default_rng(1))]
    means, deviations = process.predict(PlacedNetworks.of(foreign))
    assert means.shape == (5, 1)
    assert (deviations > 0).all()


def test_what_is_expected_of_pending_networks_counts_as_reached(rows):
    """The best candidate, once it is pending, leaves its place to another."""
    rng = np.random.default_rng(0)
    some = rows.random(40, rng)
    accuracies = np.array([_accuracy(rows.encoding.from_row(row.tolist()), rng) for row in some])
    model = _fitted(rows, some, accuracies)
    first = best_candidate(rows, rows.costs, model, some, some, np.random.default_rng(1))
    taken = np.concatenate([some, first[None]])
    believing = model.with_pending(rows.placed(first[None]))
    assert believing.predict(rows.placed(first[None]))[1] < model.predict(rows.placed(first[None]))[1]
    second = best_candidate(rows, rows.costs, believing, taken, taken, np.random.default_rng(1))
    assert (first != second).any()


def test_chances_are_shares_of_draws():
    """Three draws of three networks, worked out by hand; the second and third cost the same."""
    draws = np.array([[0.5, 0.6, 0.7], [0.8, 0.6, 0.7], [0.5, 0.9, 0.7]])
    costs = np.array([[0.0], [1.0], [1.0]])
    np.testing.assert_allclose(chances(draws, costs), [1.0, 1 / 3, 1 / 3])
    two = np.array([[0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    np.testing.assert_allclose(chances(draws, two), [1.0, 1.0, 1 / 3])


@pytest.mark.parametrize("digits", [1, 9], ids=["many ties", "none"])
def test_chances_with_one_cost_are_those_with_the_same_cost_twice(digits):
    """The way by order says the same as comparing all with all."""
    rng = np.random.default_rng(0)
    for networks in (1, 2, 7, 60):
        draws, costs = np.round(rng.random((50, networks)), digits), np.round(rng.random((networks, 1)), 1)
        np.testing.assert_allclose(chances(draws, costs), chances(draws, np.hstack([costs, costs])))


def _genotypes(rows, networks):
    return [rows.encoding.from_row(row.tolist()) for row in networks]


def test_beliefs_follow_the_doubt(rows):
    """Of networks of equal cost one is on the front for sure when it is far better, and nobody knows when they are alike."""
    one, other = np.zeros((2, 9), dtype=np.int64)
    one[4], other[5] = 1, 1
    more = rows.random(60, np.random.default_rng(0))
    networks = _genotypes(rows, np.unique(np.concatenate([[one, other], more[(more > 0).sum(1) > 2]]), axis=0))
    pair = _genotypes(rows, [one, other])
    noise = dict(zip((each.key for each in networks), np.random.default_rng(2).normal(size=len(networks)), strict=True))
    costs = {each.key: (float(each.num_attended),) for each in networks}
    for lead, low, high in ((0.08, 0.95, 1.0), (0.0, 0.2, 0.8)):
        found = {each.key: 0.85 + 0.003 * noise[each.key] for each in networks}
        found |= {pair[0].key: 0.85 + lead, pair[1].key: 0.85}
        often = [Training(each, seed, found[each.key]) for each in pair for seed in range(1, 20)]
        beliefs = Beliefs.of([*(Training(each, 0, found[each.key]) for each in networks), *often], costs)
        first, second = (beliefs.networks[each.key] for each in pair)
        assert low <= first.chance <= high
        assert first.chance + second.chance == pytest.approx(1.0, abs=0.02)
        assert first.low < first.mean < first.high
        assert set(beliefs.front) & {each.key for each in pair}
        assert beliefs.networks[beliefs.front[0]].lead is None
        assert all(0 <= beliefs.networks[key].lead <= 1 for key in beliefs.front[1:])


def test_a_lead_is_over_what_costs_no_more_in_anything(rows):
    """With two costs the next cheaper by one may be dearer by the other, and is no rival."""
    networks = _genotypes(rows, np.unique(rows.random(60, np.random.default_rng(0)), axis=0))[:30]
    accuracies = np.linspace(0.5, 0.9, 30)
    trainings = [Training(each, 0, float(accuracy)) for each, accuracy in zip(networks, accuracies, strict=True)]
    costs = {each.key: (float(number), float(30 - number)) for number, each in enumerate(networks)}
    beliefs = Beliefs.of(trainings, costs)
    assert set(beliefs.front) == set(costs)
    assert all(belief.lead is None for belief in beliefs.networks.values())


def test_accuracies_near_one_are_told_apart(rows):
    """Of networks that fail in one image of ten thousand, or in nine."""
    networks = _genotypes(rows, np.unique(rows.random(60, np.random.default_rng(0)), axis=0))[:30]
    accuracies = [0.9991 if each.num_attended < 5 else 0.9999 for each in networks]
    trainings = [Training(each, seed, accuracy) for each, accuracy in zip(networks, accuracies, strict=True) for seed in (0, 1)]
    beliefs = Beliefs.of(trainings, {each.key: (1.0,) for each in networks})
    believed = np.array([beliefs.networks[each.key].mean for each in networks])
    assert np.corrcoef(believed, accuracies)[0, 1] > 0.9


def test_three_networks_are_too_few_to_believe_anything(rows):
    """The front is then as it was measured."""
    networks = _genotypes(rows, np.unique(rows.random(9, np.random.default_rng(0)), axis=0))
    costs = {each.key: (1.0,) for each in networks}
    assert Beliefs.of([Training(each, 0, 0.5) for each in networks[:3]], costs) is None
    assert Beliefs.of([Training(each, 0, 0.5) for each in networks[:4]], costs)


def test_draws_have_the_moments_that_are_predicted(rows):
    """Mean and standard deviation of 20,000 joint draws."""
    some = rows.random(40, np.random.default_rng(0))
    process = PlacementProcess(rows.placed(some[:30]), np.random.default_rng(1).normal(size=(30, 1)), np.ones(30))
    means, deviations = process.predict(rows.placed(some[30:]))
    drawn = process.draw(rows.placed(some[30:]), 20_000, np.random.default_rng(2))
    np.testing.assert_allclose(drawn.mean(0), means[:, 0], atol=5 * deviations.max() / 20_000**0.5)
    np.testing.assert_allclose(drawn.std(0), deviations, rtol=0.05)


@pytest.fixture
def many(rows):
    """1,500 networks and values drawn from the process itself, with the truth: by way of a part, and exactly."""

    def fitted(monkeypatch, exact):
        monkeypatch.setattr(placement_process, "_EXACT", exact)
        return PlacementProcess(placed, values[:, None], np.ones(len(networks)), seeds, like=start)

    rng = np.random.default_rng(0)
    networks = np.unique(rows.random(2500, rng), axis=0)
    networks = networks[rng.permutation(len(networks))[:1500]]
    placed, seeds = rows.placed(networks), np.arange(len(networks)) % 3
    effects = (networks[:40] > 0).sum(1, keepdims=True) + rng.normal(size=(40, 1))
    start = PlacementProcess(placed[np.arange(40)], effects, np.ones(40), seeds[:40])
    truth = start.draw(placed, 1, rng)[0]
    values = truth + start.noise**0.5 * rng.standard_normal(len(truth))
    return SimpleNamespace(placed=placed, truth=truth, values=values, fitted=fitted)


def test_many_values_are_taken_by_way_of_a_part(many, monkeypatch):
    """Nearly as close to the truth as the exact process where it matters, at the top, and honest about the rest."""
    exact, part = many.fitted(monkeypatch, 10**6), many.fitted(monkeypatch, 1024)
    top = np.argsort(-many.truth)[:100]

    def error(means):
        return np.sqrt(((means - many.truth)[top] ** 2).mean())

    means, deviations = part.predict(many.placed)
    found = [error(each) for each in (exact.predict(many.placed)[0][:, 0], means[:, 0], many.values)]
    assert found[1] < 1.1 * found[0]
    assert found[1] < found[2]
    assert 0.85 <= (np.abs(means[:, 0] - many.truth) < 1.645 * deviations).mean() <= 0.95


def test_draws_by_way_of_a_part_have_the_moments_that_are_predicted(many, monkeypatch):
    """Means and standard deviations."""
    part = many.fitted(monkeypatch, 1024)
    some = many.placed[np.arange(0, 1500, 25)]
    means, deviations = part.predict(some)
    drawn = part.draw(some, 20_000, np.random.default_rng(2))
    np.testing.assert_allclose(drawn.mean(0), means[:, 0], atol=5 * deviations.max() / 20_000**0.5)
    np.testing.assert_allclose(drawn.std(0), deviations, rtol=0.05)
