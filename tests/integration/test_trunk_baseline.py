"""Trunks without attention: which trunks, the search's seeds, what is kept and resumed, and attention beside it."""

import json
import shutil
from dataclasses import replace
from math import isnan

import numpy as np
import pytest
from typer.testing import CliRunner

from attn_nas.cli import app
from attn_nas.cost import Cost
from attn_nas.engine.search import Search
from attn_nas.errors import RunError, SpaceError, UsageError
from attn_nas.execution.replicates import ReplicateFolder
from attn_nas.execution.resources import Resources
from attn_nas.execution.settings import Local
from attn_nas.followups.training_plan import run_plan
from attn_nas.followups.trunk_baseline import TrunkBaseline
from attn_nas.followups.trunk_choice import default_trunks, requested_trunks, trunk_cost
from attn_nas.followups.trunk_points import TrunkPoint, read_trunk_points
from attn_nas.followups.trunk_verdict import TrunkComparison, TrunkLead, accuracy_at, standard_error
from attn_nas.runs.run import Run
from attn_nas.space.genotype import Genotype
from attn_nas.space.schema import ProxySettings
from attn_nas.space.task import Task
from attn_nas.space.trunks import Trunk, get_family, register_trunk
from attn_nas.stats.uncertainty import Mean
from attn_nas.terminal.baseline_table import baseline_notes
from attn_nas.testing import TableTrainer
from attn_nas.training import ProxyResult
from attn_nas.training.protocol import Trained

ONE = Resources(workers=1, threads=1, gpus=0, cores=1, jobs=8)
PROXY = ProxySettings(epochs=2, batch_size=32, lr=0.1)
BARE = Trunk("cifar_resnet", 8, 8)


@pytest.fixture(scope="module")
def searched(search_in, tmp_path_factory):
    """Twelve scored candidates, confirmed with one new seed."""
    return search_in(tmp_path_factory.mktemp("searched"), n_trials=12, confirm=1).folder.path


@pytest.fixture
def run(searched, tmp_path):
    """A copy of it."""
    return Run(shutil.copytree(searched, tmp_path / "run"))


def _fill(baseline, accuracy):
    """Keep results as if trained: ``accuracy`` of width and seed, or the reason why there is none."""
    for replicate in baseline.plan.missing:
        found = accuracy(replicate.genotype.trunk.width, replicate.seed)
        if not isinstance(found, str):
            curve = (found,) * baseline.plan.settings.epochs
            result = ProxyResult(found, 0.0, 0.0, curve, curve, curve, curve, 1.0, 1.0, 1.0, 32, replicate.seed)
            found = Trained(result, Cost(4, 3, 2, 1))
        baseline.plan.folder.keep(replicate, found)


def _point(width, mean, flops, error=0.01):
    return TrunkPoint(replace(BARE, width=width), {0: mean}, Mean(mean, error), Cost(flops, flops, flops, 1), flops - 100)


def test_widths_and_depths_around_the_trunk_are_chosen(tiny_task):
    """The next width and the next depth, two smaller ones, at most six, from 0.7 to 1.5 times the FLOPs; the limit can rise."""
    trunk = Trunk("cifar_resnet", 56, 16)
    chosen = default_trunks(trunk, tiny_task, PROXY, 0)
    assert [(each.depth, each.width) for each in chosen] == [(56, 14), (56, 15), (62, 16), (56, 17), (56, 19), (80, 16)]
    bare = trunk_cost(trunk, tiny_task, PROXY).flops
    shares = [cost.flops / bare for cost in chosen.values()]
    assert shares == sorted(shares)
    assert shares[0] >= 0.7
    assert shares[-1] <= 1.5
    assert [(each.depth, each.width) for each in default_trunks(BARE, tiny_task, PROXY, 0)] == [(8, 7), (8, 9)]
    further = default_trunks(BARE, tiny_task, PROXY, 2.5 * trunk_cost(BARE, tiny_task, PROXY).flops)
    assert (14, 8) in [(each.depth, each.width) for each in further]
    with pytest.raises(UsageError, match=r"no other width or depth of .* width 2 that takes these images has 0.7 to 1.5 times"):
        default_trunks(replace(BARE, width=2), tiny_task, PROXY, 0)


def test_equal_networks_are_one_and_what_cannot_be_built_is_left_out(tiny_task):
    """A family whose widths are rounded down to even ones, and that does not take multiples of five."""

    def arguments(depth, width):
        if width % 5 == 0:
            raise ValueError("no multiple of five")
        return {"depth": depth, "width": width // 2 * 2}

    family = get_family("cifar_resnet")
    register_trunk(replace(family, name="even_net", blocks=lambda d, w: family.blocks(d, w // 2 * 2), arguments=arguments))
    trunk = Trunk("even_net", 8, 16)
    assert [each.width for each in default_trunks(trunk, tiny_task, PROXY, 0)] == [14, 18]
    with pytest.raises(SpaceError, match="even_net depth 8 width 20 cannot be built: no multiple of five"):
        requested_trunks(trunk, tiny_task, PROXY, [18, 20], [])


def test_trunks_asked_for_are_all_pairs_or_refused(tiny_task):
    """Widths at every depth; the run's own is no choice; unknown depths and images that are too small are errors."""
    asked = requested_trunks(BARE, tiny_task, PROXY, [8, 9], [8, 14])
    assert [(each.depth, each.width) for each in asked] == [(8, 9), (14, 8), (14, 9)]
    with pytest.raises(UsageError, match="is the run's own trunk, which is in the curve anyway"):
        requested_trunks(BARE, tiny_task, PROXY, [8], [])
    with pytest.raises(SpaceError, match="cifar_resnet has no depth 9"):
        requested_trunks(BARE, tiny_task, PROXY, [], [9])
    small = PROXY.model_copy(update={"initial_resolution": 0.25})
    with pytest.raises(SpaceError, match="convnext depth 59 width 48 cannot take images of 3 x 8 x 8"):
        requested_trunks(Trunk("convnext", 59, 96), Task(3, 32, 32, 10), small, [48], [])


def test_the_seeds_are_the_searchs_and_its_trainings_count(run):
    """As many as the bare trunk has; more of them train the bare trunk too; nothing is written before."""
    baseline = TrunkBaseline(run)
    assert list(baseline.plan.seeds) == [0, 1]
    assert {each.trunk.width for each in baseline.plan.genotypes} == {7, 8, 9}
    assert {(each.genotype.trunk.width, each.seed) for each in baseline.plan.missing} == {(7, 0), (7, 1), (9, 0), (9, 1)}
    assert {(each.genotype.trunk.width, each.seed) for each in TrunkBaseline(run, widths=[10], seeds=3).plan.missing} == {
        (8, 2), (10, 0), (10, 1), (10, 2),
    }  # fmt: skip
    assert not (run.folder.path / "plain").exists()
    with pytest.raises(UsageError, match="--seeds 0: choose at least 1"):
        TrunkBaseline(run, seeds=0)


def test_an_empty_run_is_refused(tiny_space, tmp_path, tiny_task):
    """There is nothing yet that the trunks could be set beside."""
    failing = TableTrainer(tiny_task, failures={Genotype.bare(BARE).key: "no"})
    empty = Search(tiny_space, run=tmp_path / "empty", training=failing).optimize(
        n_trials=1, confirm=0, execution=Local(workers=1)
    )
    with pytest.raises(RunError, match="has no finished trial yet"):
        TrunkBaseline(empty)


def test_trunks_are_trained_as_the_search_trains(tmp_path, tiny_file):
    """The bare trunk, trained here with a seed of a search, gives what it gave there."""
    run = Search(tiny_file, run=tmp_path / "run").optimize(n_trials=1, confirm=0, execution=Local(workers=1, threads=1))
    bare = run.candidates[0].record.genotype
    again = replace(TrunkBaseline(run).plan, folder=ReplicateFolder(tmp_path / "again"), genotypes=(bare,))
    run_plan(run, [again], ONE, lambda replicate, outcome: None)
    assert again.trained[bare.key][0].result.curve == run.candidates[0].results[0].curve


def test_a_stopped_series_goes_on(run):
    """Real trainings, once each; what was damaged is trained anew, what is whole is not."""
    baseline, ended = TrunkBaseline(run), []

    def stop_after_three(replicate, outcome):
        ended.append(outcome)
        if len(ended) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        baseline.train(ONE, stop_after_three)
    assert TrunkBaseline(Run(run.folder.path)).remaining == 1
    files = sorted((run.folder.path / "plain").glob("*.json"))
    assert len(files) == 3
    files[0].write_text('{"accuracy": 0.')
    rest = TrunkBaseline(Run(run.folder.path))
    rest.train(ONE, lambda replicate, outcome: ended.append(outcome))
    assert len(ended) == 5
    assert all(len(trained.result.curve) == 2 for trained in ended)
    assert rest.remaining == 0
    assert rest.seconds(1) == 0
    assert [point.seeds for point in rest.result().points] == [(0, 1)] * 3


def test_the_verdict_has_the_searchs_bare_trunk_and_reads_back(run):
    """By rising FLOPs; means over seeds with the error that all trunks share; a damaged document is none."""
    assert read_trunk_points(run) == ()
    baseline = TrunkBaseline(run)
    with pytest.raises(RunError, match="no trunk of another size has all its trainings"):
        baseline.result()
    _fill(baseline, lambda width, seed: 0.5 + width / 100 + 0.02 * seed)
    result = baseline.result()
    bare = next(each for each in run.candidates if not each.record.genotype.num_attended)
    assert [point.name for point in result.points] == ["depth 8 width 7", "depth 8 width 8", "depth 8 width 9"]
    smaller, own, larger = result.points
    assert own.by_seed == {result.seed: result.accuracy for result in bare.results}
    assert (own.cost, own.added_flops) == (bare.record.cost, 0)
    assert smaller.added_flops < 0 < larger.added_flops
    assert larger.accuracy.value == pytest.approx(0.60)
    variances = [np.var(list(point.by_seed.values()), ddof=1) for point in result.points]
    assert [point.accuracy.standard_error for point in result.points] == pytest.approx([(np.mean(variances) / 2) ** 0.5] * 3)
    path = baseline.write(result)
    assert path == run.folder.path / "plain.json"
    assert read_trunk_points(run) == result.points
    whole = path.read_text()
    for damaged in (whole[:100], "[]", "null", '{"points": [1]}', whole.replace('"width": 7', '"width": "seven"')):
        path.write_text(damaged)
        assert read_trunk_points(run) == ()
    path.write_text(whole.replace('"standard_error": 0', '"standard_error": null, "was": 0'))
    assert isnan(read_trunk_points(run)[0].accuracy.standard_error)


def test_between_two_trunks_accuracy_is_linear():
    """Value and error; at a trunk its own; nothing beyond the ends."""
    points = [_point(7, 0.70, 100), _point(8, 0.80, 200, 0.03)]
    assert accuracy_at(points, 125).value == pytest.approx(0.725)
    assert accuracy_at(points, 125).standard_error == pytest.approx(np.hypot(0.75 * 0.01, 0.25 * 0.03))
    assert accuracy_at(points, 200) == points[1].accuracy
    assert accuracy_at(points, 99) is None
    assert accuracy_at(points, 201) is None


def test_errors_of_all_trunks_are_pooled():
    """Two of two seeds: the root of the mean variance over two; of one seed each nothing is known."""
    error, degrees = standard_error([[0.5, 0.7], [0.6, 0.6]])
    assert error == pytest.approx((np.var([0.5, 0.7], ddof=1) / 2 / 2) ** 0.5)
    assert degrees == 2
    assert isnan(standard_error([[0.5], [0.6]])[0])


def test_a_lead_is_no_lead_within_chance():
    """By Student's t: of two degrees of freedom it takes 4.3 standard errors."""
    own, other = Mean(0.9, 0.003), Mean(0.88, 0.004)
    assert TrunkLead.over(own, other, 2).difference.standard_error == pytest.approx(0.005)
    assert TrunkLead.over(own, other, 2).beyond_chance is False
    assert TrunkLead.over(own, other, 20).beyond_chance is True
    assert TrunkLead.over(own, Mean(0.9, float("nan")), 0).to_dict() == {
        "mean": 0,
        "standard_error": None,
        "beyond_chance": None,
    }


@pytest.mark.parametrize(
    ("accuracy", "larger", "sign", "equal"),
    [
        (0.1, "Even the next larger", "+", "No trained trunk without attention is as accurate, up to +"),
        (0.99, "The next larger", "-", "as accurate on average is depth 8 width 7"),
    ],
)
def test_the_words_say_which_is_ahead(run, accuracy, larger, sign, equal):
    """Attention above a poor larger trunk, below a good one; and the trunk that is as accurate."""
    baseline = TrunkBaseline(run)
    _fill(baseline, lambda width, seed: accuracy + 0.001 * seed)
    result = baseline.result()
    everywhere = next(each for each in run.references if each.record.reference == "se everywhere")
    compared = TrunkComparison.of("pick", everywhere, [point for point in result.points if point.added_flops], degrees=3)
    said, uncertainty, *_ = baseline_notes(replace(result, comparisons=(compared,)))
    assert f"{larger} trunk, depth 8 width 9 with +" in said
    assert f"%: {sign}{100 * abs(compared.larger_lead.difference.value):.2f} ± " in said
    assert equal in said
    assert "± is one standard error: for trunks from 2 seeds each" in uncertainty


@pytest.mark.parametrize(
    ("pick", "best", "expected"),
    [
        ("se everywhere", "eca everywhere", {"se everywhere": "pick", "eca everywhere": "most accurate"}),
        ("se everywhere", "se everywhere", {"se everywhere": "pick and most accurate"}),
        ("none", "se everywhere", {"se everywhere": "most accurate"}),
        ("none", "none", {}),
    ],
)
def test_the_pick_and_the_most_accurate_are_compared(run, pick, best, expected):
    """Once if they are one, and not without attention."""
    keys = {each.record.reference: each.record.key for each in run.references}
    vars(run)["verdict"] = replace(run.verdict, pick=keys[pick], best=keys[best])
    baseline = TrunkBaseline(run)
    _fill(baseline, lambda width, seed: 0.5)
    found = {each.candidate.record.reference: each.role for each in baseline.result().comparisons}
    assert found == expected


def test_one_seed_or_no_attention_on_the_front_proves_nothing(run):
    """How much is chance is unknown of one seed; without attention there is nothing to compare."""
    baseline = TrunkBaseline(run, seeds=1)
    _fill(baseline, lambda width, seed: 0.5)
    result = baseline.result()
    words = " ".join(baseline_notes(result))
    assert "the share of chance is unknown" in words
    assert "add --seeds 3" in words
    json.dumps(result.to_dict(), allow_nan=False)
    nothing = baseline_notes(replace(result, comparisons=()))[0]
    assert nothing == "Neither the pick nor the most accurate network has attention: there is nothing to compare."


def test_failures_are_listed_and_end_in_exit_code_1(run):
    """The others are told; with none left that is an error with the reasons."""
    baseline = TrunkBaseline(run, widths=[7, 9])
    _fill(baseline, lambda width, seed: "diverged" if (width, seed) == (9, 1) else 0.5)
    told = CliRunner().invoke(app, ["plain", str(run.folder.path), "--width", "7", "--width", "9", "--workers", "1"])
    assert told.exit_code == 1
    assert f"failed: {Genotype.bare(Trunk('cifar_resnet', 8, 9)).key}-1: diverged" in told.stdout
    assert "left out, trainings are missing: depth 8 width 9 has 1 of 2" in told.stdout
    assert [point["width"] for point in json.loads((run.folder.path / "plain.json").read_text())["points"]] == [7, 8]
    with pytest.raises(RunError, match="no trunk of another size has all its trainings: diverged"):
        TrunkBaseline(run, widths=[9]).result()


def test_the_command_tells_plan_table_and_words(run, monkeypatch):
    """The cost first; then the curve and the file; with --json one document, and the plan as one."""
    monkeypatch.setenv("COLUMNS", "100")
    path, runner = str(run.folder.path), CliRunner()
    planned = runner.invoke(app, ["plain", path, "--plan", "--json", "--workers", "1"])
    document = json.loads(planned.stdout)
    assert (document["bare"], document["seeds"], document["remaining"]) == ("depth 8 width 8", [0, 1], 4)
    assert "each with the seeds 0 to 1 for 2 epochs: 6 trainings, 2 done before" in planned.stderr
    assert not (run.folder.path / "plain.json").exists()
    told = runner.invoke(app, ["plain", path, "--workers", "1", "--threads", "1"])
    assert told.exit_code == 0, told.output
    assert "[4/4]" in told.stdout
    assert "depth 8 width 8 (the run)" in told.stdout
    assert "…" not in told.stdout
    again = runner.invoke(app, ["plain", path, "--json", "--workers", "1"])
    assert json.loads(again.stdout) == json.loads((run.folder.path / "plain.json").read_text())
    assert "left to do: nothing" in again.stderr
    for flags, words in (["--seeds", "0"], "--seeds"), (["--depth", "9"], "depth"), (["--width", "8"], "width"):
        refused = runner.invoke(app, ["plain", path, *flags])
        assert refused.exit_code == 2
        assert refused.stderr.startswith("attn-nas: ")
        assert words in refused.stderr
