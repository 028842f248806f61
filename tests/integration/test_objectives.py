"""Two costs at a time, known or measured: the study, the front, its volume, its pictures and tables."""

import dataclasses
from xml.etree import ElementTree

import numpy as np
import pytest

from attn_nas.cost import CostTable
from attn_nas.report import write_front
from attn_nas.sampling.placement_kernel import PlacedNetworks
from attn_nas.sampling.rows import CostedRows
from attn_nas.sampling.times import SLOWEST, PredictedTimes
from attn_nas.space.schema import ObjectiveSettings
from attn_nas.testing import TableTrainer
from attn_nas.training import StepProfile


def _ratio(genotype):
    """Every attended site costs a tenth of the trunk's time, the first one a half."""
    sites = [placement is not None for _, placement in genotype.sites]
    return 1.0 + 0.1 * sum(sites) + 0.4 * sites[0]


class TimedTrainer(TableTrainer):
    """Attended sites help; times are as `_ratio` says, a hundredth more with each seed."""

    def __call__(self, genotype, seed, on_epoch):
        self.table = {genotype.key: 0.5 + 0.05 * genotype.num_attended}
        trained = super().__call__(genotype, seed, on_epoch)
        ratio = _ratio(genotype) + 0.01 * seed
        profile = StepProfile(0.1, 0.01, 0.1, 10.0, ratio, ratio**2, 1.0, 1.0)
        return dataclasses.replace(trained, profile=profile)


def _space(space, *costs):
    return space.model_copy(update={"objectives": ObjectiveSettings.model_validate({"costs": [*costs]})})


@pytest.fixture
def timed_search(table_search, tiny_space, tiny_task):
    """Twelve candidates, whose accuracy is traded for these costs."""

    def searched(*costs, **arguments):
        return table_search(_space(tiny_space, *costs), **{"training": TimedTrainer(tiny_task), "n_trials": 12, **arguments})

    return searched


@pytest.mark.parametrize("costs", [("flops", "params"), ("flops", "step_time"), ("step_time",), ("latency", "params")])
def test_a_search_trades_accuracy_for_what_it_is_told(timed_search, costs):
    """Values of the study, points and front; nothing on the front is beaten in all."""
    run = timed_search(*costs)
    assert len(run.study.directions) == 1 + len(costs)
    assert len(run.candidates) == 12
    trials = run.study.trials
    for candidate in run.candidates:
        cost, ratio = candidate.record.cost, _ratio(candidate.record.genotype)
        known = {"flops": cost.flops, "params": cost.params, "step_time": ratio, "latency": ratio**2}
        assert candidate.costs == pytest.approx({name: known[name] for name in costs})
        assert trials[candidate.record.number].values == pytest.approx([candidate.measured.value, *candidate.costs.values()])
    for one in run.front:
        for other in run.candidates:
            better = other.accuracy >= one.accuracy and all(other.costs[name] <= one.costs[name] for name in costs)
            assert not better or other.accuracy == one.accuracy
    document = run.to_dict()
    assert document["objectives"] == {"maximize": "accuracy", "minimize": [*costs]}
    assert set(document["reference_point"]) == {"accuracy", *costs}
    assert run.hypervolume > 0
    assert run.pick in run.candidates


def test_pictures_have_a_plot_for_each_cost(timed_search, tmp_path):
    """Well-formed, with an axis for each and all candidates in both."""
    run = timed_search("flops", "step_time")
    picture = write_front(run, tmp_path / "front")[2].read_text()
    ElementTree.fromstring(picture)
    assert picture.count("<g transform") == 2
    assert picture.count("<circle") >= 2 * len(run.front)
    assert "FLOPs (multiply-adds)" in picture
    assert "time of a training step" in picture


def test_times_are_averaged_over_seeds(timed_search):
    """A confirmed candidate is timed again."""
    run = timed_search("flops", "step_time", confirm=2)
    bare = next(each for each in run.references if each.record.reference == "none")
    assert bare.costs["step_time"] == pytest.approx(1.01)


def test_what_cannot_be_timed_has_failed(timed_search, tiny_task):
    """When times are to be minimised; otherwise nobody minds."""
    run = timed_search("step_time", training=TableTrainer(tiny_task), n_trials=2)
    assert [record.reason for record in run.failures] == ["it was not timed, and step_time are to be minimised"] * 2


@pytest.mark.parametrize(
    ("costs", "words"),
    [
        (["flops", "flops"], "appears twice"),
        ([], "at least 1"),
        (["flops", "macs", "params"], "at most 2"),
        (["joules"], "choose from"),
    ],
)
def test_other_objectives_are_refused(costs, words):
    """One or two different ones that exist."""
    with pytest.raises(ValueError, match=words):
        ObjectiveSettings.model_validate({"costs": costs})


def test_times_of_unseen_networks_are_predicted(tiny_space, tiny_task):
    """From forty measured with an error of two hundredths: within five hundredths, as a cost from 0 to 1."""
    rows = CostedRows(tiny_space, CostTable(tiny_space.trunk.trunk(), tiny_task))
    rng = np.random.default_rng(0)
    some = np.unique(rows.random(200, rng), axis=0)
    genotypes = [rows.encoding.from_row(row.tolist()) for row in some]
    true = np.array([_ratio(genotype) for genotype in genotypes])
    order = rng.permutation(len(some))
    seen, rest = order[:40], order[40:]
    measured = true[seen] + 0.02 * rng.normal(size=40)
    predicted = PredictedTimes(PlacedNetworks.of([genotypes[index] for index in seen]), measured)
    costs = predicted(PlacedNetworks.of([genotypes[index] for index in rest]))
    scale = np.log1p(np.maximum(true[rest] - 1, 0) / 0.1) / np.log1p((SLOWEST - 1) / 0.1)
    assert np.abs(costs - scale).mean() < 0.05
    assert ((costs >= 0) & (costs <= 1)).all()
