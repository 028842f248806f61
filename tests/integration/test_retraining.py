"""Full retraining: networks, recipe, gains and their significance, what is kept and resumed, and pretrained starts."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from scipy import stats
from typer.testing import CliRunner

from attn_nas.cli import app
from attn_nas.cost import Cost
from attn_nas.data.torchvision_import import torchvision_datasets
from attn_nas.engine.search import Search
from attn_nas.errors import RunError, UsageError
from attn_nas.execution.resources import Resources
from attn_nas.execution.settings import Local
from attn_nas.export import export_candidates
from attn_nas.followups.retraining import Retraining, full_recipe, wider_trunk
from attn_nas.followups.training_plan import SeedPurpose, cost_of, seeds_for
from attn_nas.models.build import build_trunk
from attn_nas.runs.run import Run
from attn_nas.runs.selection import Selection
from attn_nas.space.genotype import Genotype
from attn_nas.space.task import Task
from attn_nas.space.trunks import Trunk
from attn_nas.stats.paired_gains import Gain, corrected
from attn_nas.terminal.retraining_table import retraining_notes
from attn_nas.testing import TableTrainer
from attn_nas.training import ProxyResult, Scores
from attn_nas.training.pretrained import check_pretrained, trunk_weights
from attn_nas.training.protocol import Trained
from attn_nas.training.trainer import ProxyTrainer

ONE = Resources(workers=1, threads=1, gpus=0, cores=1, jobs=8)


@pytest.fixture(scope="module")
def searched(search_in, tmp_path_factory):
    """Eight scored candidates, the references among them."""
    return search_in(tmp_path_factory.mktemp("searched"), n_trials=8).folder.path


@pytest.fixture
def run(searched, tmp_path):
    """A copy of it."""
    return Run(shutil.copytree(searched, tmp_path / "run"))


def _winner(run):
    return next(each for each in run.candidates if not each.record.reference)


def _fill(retraining, test, validation=None):
    """Keep results as if trained: ``test`` gives the accuracy of network and seed by their numbers."""
    for number, network in enumerate(retraining.networks):
        for index, replicate in enumerate(each for each in retraining.plan.replicates if each.genotype == network.genotype):
            accuracy = float((validation or test)(number, index))
            curve = (accuracy,) * retraining.recipe.epochs
            result = ProxyResult(accuracy, 0.0, 0.0, curve, curve, curve, curve, 1.0, 1.0, 1.0, 32, replicate.seed)
            retraining.plan.weights.mkdir(parents=True, exist_ok=True)
            (retraining.plan.weights / f"{network.genotype.key}.safetensors").touch()
            retraining.plan.folder.keep(
                replicate, Trained(result, Cost(9, 8, 7, 6), None, Scores(float(test(number, index)), 0.0, 0.0))
            )


def test_paired_gains_are_those_of_the_t_test():
    """Against scipy's paired test; one seed proves nothing; equal networks are equal."""
    rng = np.random.default_rng(0)
    own, other = rng.normal(0.9, 0.01, 6), rng.normal(0.89, 0.01, 6)
    gain, wanted = Gain.paired(own, other), stats.ttest_rel(own, other)
    assert gain.p == pytest.approx(wanted.pvalue)
    assert (gain.low, gain.high) == pytest.approx(tuple(wanted.confidence_interval()))
    assert gain.mean == pytest.approx((own - other).mean())
    alone = Gain.paired([0.9], [0.8]).to_dict()
    assert alone == {"mean": pytest.approx(0.1), "low": None, "high": None, "p": None}
    assert Gain.paired([0.75, 0.5], [0.5, 0.25]).to_dict() == {"mean": 0.25, "low": None, "high": None, "p": None}


def test_of_many_gains_the_chance_is_corrected():
    """Holm's example: .01, .04, .03 of three become .03, .06, .06."""
    found = corrected([Gain(0.1, 0.0, 0.2, p) for p in (0.01, 0.04, 0.03)])
    assert [gain.p for gain in found] == pytest.approx([0.03, 0.06, 0.06])
    assert corrected([Gain(0.1, 0.0, 0.2, 0.9)] * 2)[0].p == 1.0
    unknown, known = corrected([Gain.paired([0.9], [0.8]), Gain(0.1, 0.0, 0.2, 0.04)])
    assert np.isnan(unknown.p)
    assert known.p == 0.04


def test_the_recipe_is_long_and_without_what_made_the_proxy_short(tiny_space):
    """Ten times the epochs; the proxy's batch size, rate and decay stay."""
    proxy = tiny_space.proxy.model_copy(update={"initial_resolution": 0.5, "warm_epochs": 1, "averaging": "none"})
    recipe = full_recipe(proxy)
    assert (recipe.epochs, recipe.initial_resolution, recipe.warm_epochs) == (10 * proxy.epochs, 1.0, 0)
    assert (recipe.averaging, recipe.label_smoothing) == ("ema", 0.1)
    assert (recipe.batch_size, recipe.lr, recipe.weight_decay) == (proxy.batch_size, proxy.lr, proxy.weight_decay)
    assert (full_recipe(proxy, 4, 0.01).epochs, full_recipe(proxy, 4, 0.01).lr) == (4, 0.01)


def test_a_plain_trunk_has_at_least_as_many_flops(tiny_task):
    """The next width suffices where attention adds little; there is none beyond twice the width."""
    trunk = Trunk("cifar_resnet", 8, 8)
    flops = cost_of(Genotype.bare(trunk), tiny_task).flops
    found = wider_trunk(trunk, tiny_task, flops + 1)
    assert found == Genotype.bare(Trunk("cifar_resnet", 8, 9))
    wider = wider_trunk(trunk, tiny_task, 2 * flops)
    narrower = Genotype.bare(replace(wider.trunk, width=wider.trunk.width - 1))
    assert cost_of(wider, tiny_task).flops >= 2 * flops > cost_of(narrower, tiny_task).flops
    assert wider_trunk(trunk, tiny_task, 100 * flops) is None


def test_winners_meet_all_references_and_a_plain_trunk(run):
    """Each network once, by the same seeds, which nothing else has."""
    winner = _winner(run)
    retraining = Retraining(run, [winner], epochs=3, seeds=2)
    roles = [network.role for network in retraining.networks]
    assert roles == ["winner", *["reference"] * len(run.references), "plain trunk"]
    assert len({network.genotype.key for network in retraining.networks}) == len(retraining.networks)
    assert retraining.remaining == 2 * len(retraining.networks)
    others = [*seeds_for(run, SeedPurpose.AUDIT, 200), *seeds_for(run, SeedPurpose.LONG_AUDIT, 200), *range(20)]
    assert not {*retraining.plan.seeds} & {*others}
    attended = next(each for each in run.references if each.record.genotype.num_attended)
    with_reference = Retraining(run, [attended, winner], epochs=3)
    assert [each.genotype.key for each in with_reference.networks] == [each.genotype.key for each in retraining.networks]
    assert [each.role for each in with_reference.networks] == roles


def test_one_seed_proves_nothing_and_the_test_split_is_read_once(run):
    """In words, and in the document; what has not all its trainings is named."""
    retraining = Retraining(run, [_winner(run)], epochs=3, seeds=1)
    _fill(retraining, lambda number, seed: 0.5 + 0.1 * (number == 0))
    result = retraining.result()
    words = retraining_notes(result)
    assert words[0].startswith("The test split was read here for the first time")
    assert "+10.00 points, with too few seeds to prove anything, against the bare trunk." in words[1]
    assert result.to_dict()["networks"][0]["gains"]["bare"]["p"] is None
    other = Retraining(run, [_winner(run)], epochs=4, seeds=1)
    _fill(other, lambda number, seed: 0.5)
    other.plan.folder.forget(other.plan.replicates[1])
    second = other.result()
    assert "was read before, by 1 other full training of this run" in retraining_notes(second)[0]
    assert second.incomplete == {other.networks[1].name: 0}
    assert f"left out, trainings are missing: {other.networks[1].name} has 0 of 1" in retraining_notes(second)


def test_what_failed_or_lost_its_weights_is_trained_again(run):
    """A full training that failed may have failed by chance; weights are those of the first seed."""
    retraining = Retraining(run, [_winner(run)], epochs=3, seeds=2)
    _fill(retraining, lambda number, seed: 0.5)
    assert retraining.remaining == 0
    first, *_ = retraining.plan.replicates
    (retraining.plan.weights / f"{first.genotype.key}.safetensors").unlink()
    assert retraining.plan.missing == [first]
    last = retraining.plan.replicates[-1]
    retraining.plan.folder.forget(last)
    retraining.plan.folder.keep(last, "diverged")
    assert retraining.plan.missing == [first, last]


def test_the_verdict_compares_by_seed(run):
    """Known accuracies: the best reference is chosen by validation, not by the test split that it is judged on."""
    retraining = Retraining(run, [_winner(run)], epochs=3, seeds=3)
    names = [network.name for network in retraining.networks]
    noise = np.array([0.0, 0.01, 0.03])

    def test(number, seed):
        return 0.7 + (0.05 + 0.001 * seed) * (number == 0) + noise[seed]

    def validation(number, seed):
        return 0.9 if names[number] == names[-2] else 0.5

    with pytest.raises(RunError, match="no network has all its trainings"):
        retraining.result()
    _fill(retraining, test, validation)
    result = retraining.result()
    first = result.networks[0]
    assert result.best_reference == retraining.networks[-2].genotype.key
    assert {*first.gains} == {"bare", "reference", "plain"}
    for gain in first.gains.values():
        assert gain.mean == pytest.approx(0.051)
        assert gain.p == pytest.approx(stats.ttest_1samp([0.05, 0.051, 0.052], 0).pvalue)
    assert first.accuracy == pytest.approx(0.751 + noise.mean())
    low, high = first.interval
    interval = stats.t.interval(0.95, 2, first.accuracy, stats.sem(first.test))
    assert (low, high) == pytest.approx(interval)
    assert first.added_flops == 9 - run.manifest.bare_cost.flops
    assert result.networks[1].gains == {}
    written = json.loads(retraining.write(result).read_text())
    assert written["networks"][0]["gains"]["plain"]["mean"] == pytest.approx(0.051)
    retraining.plan.folder.path.joinpath(f"{retraining.plan.replicates[0]}.json").unlink()
    retraining.plan.folder.keep(retraining.plan.replicates[0], "diverged")
    left = retraining.result()
    assert left.failures == {str(retraining.plan.replicates[0]): "diverged"}
    assert first.key not in {each.key for each in left.networks}


def test_two_winners_share_a_plain_trunk(run):
    """It is trained once, and both are set beside it; their chances are corrected for their number."""
    winners = [each for each in run.candidates if not each.record.reference][:2]
    retraining = Retraining(run, winners, epochs=3, seeds=3)
    assert sum(network.role == "plain trunk" for network in retraining.networks) == 1
    _fill(retraining, lambda number, seed: 0.5 + 0.1 * (number < 2) + 0.01 * seed * (number + 1))
    networks = retraining.result().networks
    one, two = networks[:2]
    assert {*one.gains} == {*two.gains} == {"bare", "reference", "plain"}
    alone = Gain.paired(one.test, next(each.test for each in networks if each.network.role == "plain trunk"))
    assert one.gains["plain"].p >= alone.p


def test_trainings_are_done_once_and_keep_weights(run):
    """Real trainings with two seeds: scored on the test split, timed, the first seed's weights kept; then nothing is left."""
    winner = _winner(run)
    retraining = Retraining(run, [winner], epochs=1, seeds=2)
    ended = []
    retraining.train(ONE, lambda replicate, outcome: ended.append(outcome))
    assert len(ended) == len(retraining.plan.replicates)
    assert all(trained.test and trained.profile for trained in ended)
    with safe_open(retraining.plan.weights / f"{winner.record.key}.safetensors", "pt") as file:
        assert file.metadata()["seed"] == str(retraining.plan.seeds[0])
    again = Retraining(Run(run.folder.path), [winner], epochs=1, seeds=2)
    assert again.remaining == 0
    assert again.seconds(1) == 0
    assert Retraining(run, [winner], epochs=1, seeds=3).remaining == len(retraining.networks)
    assert Retraining(run, [winner], epochs=2, seeds=2).remaining == len(retraining.plan.replicates)
    assert not run.folder.cache.exists()
    result = again.result()
    assert result.networks[0].profile.step_seconds > 0


@pytest.mark.usefixtures("verified_here")
def test_winners_are_exported_with_the_weights_of_their_full_training(run, tmp_path):
    """By default the winners of the last retraining, verified; the card has the test split's accuracy; others are refused."""
    winner = _winner(run)
    with pytest.raises(RunError, match="has no full training yet: attn-nas retrain"):
        export_candidates(run, [winner], tmp_path, retrained=True)
    retraining = Retraining(run, [winner], epochs=1, seeds=1)
    retraining.train(ONE, lambda replicate, outcome: None)
    retraining.write(retraining.result())
    command = ["export", str(run.folder.path), "--retrained", "--to", str(tmp_path), "--json"]
    told = json.loads(CliRunner().invoke(app, command).stdout)
    assert [model["key"] for model in told["models"]] == [winner.record.key]
    folder = tmp_path / winner.record.key
    weights = retraining.plan.weights / f"{winner.record.key}.safetensors"
    assert {name: tensor.tolist() for name, tensor in load_file(folder / "model.safetensors").items()} == {
        name: tensor.tolist() for name, tensor in load_file(weights).items()
    }
    trained = retraining.plan.trained[winner.record.key][0]
    described = json.loads((folder / "config.json").read_text())
    assert described["weights_seed"] == retraining.plan.seeds[0]
    assert described["verified"]["source"]["accuracy"] == pytest.approx(trained.result.accuracy)
    card = (folder / "README.md").read_text()
    assert f"Test accuracy {100 * trained.test.accuracy:.2f} %" in card
    assert '"split": "test"' in card
    stranger = next(each for each in run.candidates if not each.record.reference and each.record.key != winner.record.key)
    with pytest.raises(RunError, match="was not trained in full with 1 seeds: attn-nas retrain"):
        export_candidates(run, [stranger], tmp_path, retrained=True)
    weights.write_bytes(b"cut off")
    with pytest.raises(RunError, match="is missing or damaged"):
        export_candidates(run, [winner], tmp_path, retrained=True, force=True)
    assert folder.exists()
    (run.folder.path / "retraining.json").write_text("{")
    with pytest.raises(RunError, match="is damaged"):
        export_candidates(run, [winner], tmp_path, retrained=True)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"epochs": 0}, "--epochs 0: choose at least 1"),
        ({"seeds": 0}, "--seeds 0: choose at least 1"),
        ({"lr": 0.0}, "--lr 0.0: choose a number above 0"),
        ({"lr": float("nan")}, "--lr nan: choose a number above 0"),
    ],
)
def test_nonsense_is_refused(run, wrong, message):
    """Before anything is trained."""
    with pytest.raises(UsageError, match=message):
        Retraining(run, run.front, **wrong)


def test_pretrained_weights_are_the_start(run, tmp_path):
    """All of the trunk's are taken; only a classifier of other classes stays fresh; mechanisms do."""
    winner, trunk = _winner(run), run.candidates[0].record.genotype.trunk
    path = tmp_path / "trunk.safetensors"
    save_file(build_trunk(trunk, 7).state_dict(), path)
    retraining = Retraining(run, [winner], epochs=1, seeds=1, pretrained=path)
    assert {network.role for network in retraining.networks} == {"winner", "reference"}
    assert retraining.fresh == ["fc.weight", "fc.bias"]
    assert retraining.recipe.lr == pytest.approx(0.1 * run.space.proxy.lr)
    trainer = ProxyTrainer(retraining.recipe, None, 1, tmp_path, tmp_path, pretrained=path)
    start, given = trainer._start(winner.record.genotype, 5), load_file(path)
    assert start.epoch == 0
    assert start.weights.keys() == given.keys()
    assert all(torch.equal(start.weights[name], given[name]) for name in given)
    assert torch.equal(start.generator, torch.Generator().manual_seed(5).get_state())
    ended = []
    retraining.train(ONE, lambda replicate, outcome: ended.append(outcome))
    assert all(isinstance(outcome, Trained) for outcome in ended)
    scratch = Retraining(run, [winner], epochs=1, seeds=1, lr=retraining.recipe.lr)
    assert scratch.remaining == len(scratch.plan.replicates)


def test_wrong_weights_are_refused(run, tmp_path):
    """A file that is none, one that is cut off, and one of another trunk; the message names what is wrong."""
    path = tmp_path / "weights.safetensors"
    with pytest.raises(UsageError, match="cannot be read as safetensors"):
        Retraining(run, run.front, pretrained=path)
    save_file(build_trunk(Trunk("cifar_resnet", 8, 9), 10).state_dict(), path)
    with pytest.raises(
        UsageError, match=r"does not have the weights of .*: it lacks conv1.weight \(8, 3, 3, 3\), there \(9, 3, 3, 3\)"
    ):
        Retraining(run, run.front, pretrained=path)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(UsageError, match="cannot be read as safetensors"):
        Retraining(run, run.front, pretrained=path)


def test_torchvisions_weights_are_those_of_an_imagenet_trunk(tmp_path):
    """Under the same names, but for a classifier of other classes."""
    torchvision_datasets()
    from torchvision import models

    path = tmp_path / "trunk.safetensors"
    save_file(models.resnet18().state_dict(), path)
    trunk = Trunk("resnet", 18, 64)
    assert check_pretrained(path, trunk, Task(3, 64, 64, 7)) == ["fc.weight", "fc.bias"]
    assert check_pretrained(path, trunk, Task(3, 64, 64, 1000)) == []


def test_candidates_are_selected_by_key_pick_front_and_limit(run, tmp_path, tiny_space, tiny_task):
    """Once each, however often they are asked for; the front by default; a run without any has none."""
    front = [each.record.key for each in run.front]
    assert [each.record.key for each in Selection().of(run)] == front
    key = _winner(run).record.key
    assert [each.record.key for each in Selection(keys=(key[:10], key)).of(run)] == [key]
    assert [each.record.key for each in Selection(pick=True).of(run)] == [run.pick.record.key]
    assert {each.record.key for each in Selection(keys=(key,), front=True).of(run)} == {*front, key}
    (cheap,) = Selection(best_under="+0%").of(run)
    assert cheap.record.cost.flops <= run.manifest.bare_cost.flops
    assert [each.record.key for each in Selection(best_under="+1000%").of(run)] == [run.pick.record.key]
    with pytest.raises(RunError, match=r"no candidate has at most 1 FLOPs \(1\): the cheapest has"):
        Selection(best_under=1).of(run)
    failing = TableTrainer(tiny_task, failures=dict.fromkeys((each.record.key for each in run.candidates), "no"))
    empty = Search(tiny_space, run=tmp_path / "empty", training=failing).optimize(
        n_trials=1, confirm=0, execution=Local(workers=1)
    )
    with pytest.raises(RunError, match="has no finished trial yet"):
        Selection().of(empty)


def test_the_command_tells_plan_and_verdict(run):
    """Plan first; then a table, the words about the test split, and the file; with --json one document."""
    path, key = str(run.folder.path), _winner(run).record.key
    runner = CliRunner()
    planned = runner.invoke(app, ["retrain", path, key, "--epochs", "1", "--seeds", "2", "--plan", "--json"])
    document = json.loads(planned.stdout)
    assert document["remaining"] == 2 * len(document["networks"])
    assert "each with 2 seeds for 1 epochs" in planned.stderr
    _fill(
        Retraining(run, [run.candidate(key)], epochs=1, seeds=2), lambda number, seed: 0.5 + 0.1 * (number == 0) + 0.01 * seed
    )
    told = runner.invoke(app, ["retrain", path, key, "--epochs", "1", "--seeds", "2"])
    assert told.exit_code == 0
    assert "The test split was read here for the first time" in told.stdout
    assert "+10.00 points" in told.stdout
    assert json.loads((Path(path) / "retraining.json").read_text())["networks"][0]["key"] == key
    unknown = runner.invoke(app, ["retrain", path, "zzz"])
    assert unknown.exit_code == 1
    assert "zzz" in unknown.stderr


def test_two_models_in_a_file_of_weights_are_refused(tmp_path):
    """Without prefixes their names would be the same, and one would be taken silently."""
    path, weight = tmp_path / "two.safetensors", torch.zeros(8, 3, 3, 3)
    save_file({"model.conv1.weight": weight, "module.conv1.weight": weight + 1}, path)
    with pytest.raises(UsageError, match=r"two tensors for conv1\.weight: model\.conv1\.weight and module\.conv1\.weight"):
        trunk_weights(path, Trunk("cifar_resnet", 8, 8))


def test_other_names_in_a_file_of_weights_are_shown(tmp_path):
    """So that the reader sees which prefix to take off."""
    path = tmp_path / "other.safetensors"
    save_file({f"encoder.{index}": torch.zeros(3) for index in range(9)}, path)
    with pytest.raises(UsageError, match=r"; it has encoder\.0, encoder\.1, encoder\.2 and more instead"):
        check_pretrained(path, Trunk("cifar_resnet", 8, 8), Task(3, 32, 32, 10))


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.module.", "model._orig_mod."])
def test_names_of_wrappers_are_taken_off(prefix, tmp_path):
    """As those of DistributedDataParallel, torch.compile and Lightning, with other entries beside them and without a head."""
    path, trunk = tmp_path / "trunk.safetensors", Trunk("cifar_resnet", 8, 8)
    weights = build_trunk(trunk, 10).state_dict()
    body = {f"{prefix}{name}": tensor for name, tensor in weights.items() if not name.startswith("fc.")}
    save_file({**body, "loss.weight": torch.ones(3)}, path)
    assert check_pretrained(path, trunk, Task(3, 32, 32, 10)) == ["fc.weight", "fc.bias"]
    taken = trunk_weights(path, trunk)
    assert all(torch.equal(taken[name], tensor) for name, tensor in weights.items() if not name.startswith("fc."))


@pytest.mark.parametrize("wrapped", [None, "state_dict", "model", "model_state_dict", "net"])
def test_files_of_torch_save_come_with_the_command_that_converts_them(wrapped, tmp_path):
    """The command of the message, as it stands, makes a file that is taken."""
    trunk, path = Trunk("cifar_resnet", 8, 8), tmp_path / "trunk.pth"
    weights = build_trunk(trunk, 10).state_dict()
    torch.save({wrapped: weights, "epoch": 3} if wrapped else weights, path)
    with pytest.raises(UsageError, match=r"files of torch\.save may run code and are not read, so convert") as refused:
        check_pretrained(path, trunk, Task(3, 32, 32, 10))
    exec(str(refused.value).split('python -c "')[1].removesuffix('"'), {})
    assert check_pretrained(tmp_path / "trunk.safetensors", trunk, Task(3, 32, 32, 10)) == []
