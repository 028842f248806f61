"""Audits: the sample, the cost told first, what is kept and resumed, and verdicts on proxies whose quality is known."""

import json
import os
import shutil
import signal
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
import warm
from typer.testing import CliRunner

from attn_nas.cli import app
from attn_nas.cost import Cost
from attn_nas.engine.search import Search
from attn_nas.errors import RunError, UsageError
from attn_nas.execution.jobs import Failed
from attn_nas.execution.local import InProcess
from attn_nas.execution.replicates import ReplicateFolder, train_replicates
from attn_nas.execution.resources import Resources
from attn_nas.execution.settings import Local
from attn_nas.followups.audit import Audit, stratified
from attn_nas.runs.run import Run
from attn_nas.space.genotype import Genotype
from attn_nas.space.trunks import Trunk
from attn_nas.testing import TableTrainer
from attn_nas.training import ProxyResult
from attn_nas.training.protocol import Replicate, Trained

ONE = Resources(workers=1, threads=1, gpus=0, cores=1, jobs=8)


@pytest.fixture(scope="module")
def searched(search_in, tmp_path_factory):
    """Twenty scored candidates."""
    return search_in(tmp_path_factory.mktemp("searched"), n_trials=20).folder.path


@pytest.fixture
def run(searched, tmp_path):
    """A copy of it."""
    return Run(shutil.copytree(searched, tmp_path / "run"))


def _trained(accuracy, epochs):
    curve = (accuracy,) * epochs
    return Trained(ProxyResult(accuracy, 1 - accuracy, 0.0, curve, curve, curve, curve, 1.0, 1.0, 1.0, 32, 0), Cost(4, 3, 2, 1))


def _fill(audit, proxy, long):
    """Keep results as if trained: ``proxy`` and ``long`` give the accuracy of candidate and seed by their numbers."""
    for part, score in zip(audit.plans, (proxy, long), strict=True):
        for number, candidate in enumerate(audit.candidates):
            for index, seed in enumerate(part.seeds):
                accuracy = float(score(number, index))
                part.folder.keep(Replicate(candidate.record.genotype, seed), _trained(accuracy, part.settings.epochs))


def test_the_sample_has_one_candidate_of_every_stratum(run):
    """Sorted by accuracy, cut into equal parts, one drawn from each; the draw follows the seed."""
    drawn = stratified(run.candidates, 5, 0)
    ordered = sorted(candidate.accuracy for candidate in run.candidates)
    for stratum, candidate in enumerate(drawn):
        assert ordered[4 * stratum] <= candidate.accuracy <= ordered[4 * stratum + 3]
    keys = [[candidate.record.key for candidate in stratified(run.candidates, 5, seed)] for seed in (0, 0, 1)]
    assert keys[0] == keys[1] != keys[2]
    assert len(stratified(run.candidates, 50, 0)) == 20


def test_a_perfect_proxy_is_told_from_a_useless_one(run):
    """Equal ranks give 1, random ones about 0, noise lowers reliability and ceiling; the trivial predictors are there."""
    audit = Audit(run, candidates=10, seeds=3)
    _fill(audit, lambda number, seed: number / 20, lambda number, seed: 0.5 + number / 40)
    perfect = audit.result()
    by_score = {line.score: line for line in perfect.rankings}
    assert list(by_score) == [
        "accuracy, epoch 1", "accuracy, epoch 2", "validation loss", "margin", "training loss, sum",
        "parameters", "FLOPs", "attended blocks",
    ]  # fmt: skip
    assert by_score["accuracy, epoch 2"].spearman.value == pytest.approx(1)
    assert by_score["accuracy, epoch 2"].kendall.value == pytest.approx(1)
    assert by_score["accuracy, epoch 2"].reliability.value == pytest.approx(1)
    assert by_score["validation loss"].spearman.value == pytest.approx(1)
    assert by_score["training loss, sum"].spearman.value == pytest.approx(-1)
    assert by_score["parameters"].reliability is None
    assert perfect.ceiling == pytest.approx(1)
    rng = np.random.default_rng(0)
    noise = rng.random((10, 3))
    _fill(audit, lambda number, seed: noise[number, seed], lambda number, seed: 0.5 + number / 40)
    useless = audit.result()
    line = useless.rankings[1]
    assert abs(line.spearman.value) < 0.5
    assert line.reliability.value < 0.5
    assert useless.ceiling < 0.75
    json.dumps(useless.to_dict(), allow_nan=False)
    part = audit.plans[1]
    (part.folder.path / f"{part.replicates[0]}.json").unlink()
    part.folder.keep(part.replicates[0], "diverged")
    left = audit.result()
    assert len(left.candidates) == 9
    assert left.failures == {str(part.replicates[0]): "diverged"}


def test_the_plan_tells_its_cost_and_refuses_nonsense(run, tiny_space, tmp_path, tiny_task):
    """Number of trainings and seconds from the candidates' own; too short, too few, too small a run."""
    audit = Audit(run, candidates=4, seeds=2, epochs=6)
    assert audit.remaining == 16
    assert (audit.proxy.epochs, audit.long.epochs) == (2, 6)
    short, long = (set(part.seeds) for part in audit.plans)
    assert not short & long
    assert run.manifest.seed not in short | long
    with pytest.raises(UsageError, match="an audit trains longer than the proxy's 2"):
        Audit(run, epochs=2)
    with pytest.raises(UsageError, match="--epochs 0: an audit trains longer"):
        Audit(run, epochs=0)
    with pytest.raises(UsageError, match="--candidates 2: choose at least 4"):
        Audit(run, candidates=2)
    with pytest.raises(UsageError, match="--seeds 0: choose at least 1"):
        Audit(run, seeds=0)
    small = Search(tiny_space, run=tmp_path / "small", training=TableTrainer(tiny_task)).optimize(
        n_trials=2, confirm=0, execution=Local(workers=1)
    )
    with pytest.raises(RunError, match="has 2 scored candidates: an audit needs 4"):
        Audit(small)
    with pytest.raises(RunError, match="only 0 candidates have all their trainings"):
        audit.result()


def test_real_trainings_are_done_once(run):
    """The proxy's and the long ones, kept file by file; a damaged file is trained anew, a whole one is not."""
    audit = Audit(run, candidates=4, seeds=1, epochs=3)
    ended = []
    audit.train(ONE, lambda replicate, outcome: ended.append(outcome))
    assert len(ended) == 8
    assert audit.remaining == 0
    assert [len(trained.result.curve) for trained in ended] == [2] * 4 + [3] * 4
    assert not run.folder.cache.exists()
    files = sorted((run.folder.path / "audit").glob("*/*.json"))
    assert len(files) == 8
    files[0].write_text('{"accuracy": 0.')
    again = []
    Audit(run, candidates=4, seeds=1, epochs=3).train(ONE, lambda replicate, outcome: again.append(outcome))
    assert len(again) == 1
    assert len(audit.result().candidates) == 4


def test_the_sample_stays_when_the_search_goes_on(run, tiny_task):
    """Otherwise what was trained would be of no use."""
    before = Audit(run, candidates=4, seeds=1, epochs=3)
    before.train(ONE, lambda replicate, outcome: None)
    grown = Search.load(run.folder.path, training=TableTrainer(tiny_task)).optimize(
        n_trials=40, confirm=0, execution=Local(workers=1)
    )
    assert Audit(grown, candidates=4, seeds=1, epochs=3).candidates[0].record.key == before.candidates[0].record.key
    assert Audit(grown, candidates=4, seeds=1, epochs=3).remaining == 0


def test_a_damaged_sample_is_drawn_anew(run):
    """Whatever the file has become."""
    sample = run.folder.path / "audit" / "sample-4.json"
    sample.parent.mkdir()
    for damage in ("5", "[7]", "{}", '{"x": 1}', "null", '["x", "y"]', "\0"):
        sample.write_text(damage)
        assert len(Audit(run, candidates=4, seeds=1, epochs=3).candidates) == 4, damage


@pytest.mark.parametrize("damage", ["7", "[]", '{"result": 7, "cost": {}, "profile": null, "test": null}', '{"result": {}}'])
def test_a_damaged_training_is_none(tmp_path, damage):
    """It is trained again."""
    replicate = Replicate(Genotype.bare(Trunk("cifar_resnet", 8, 8)), 0)
    (tmp_path / f"{replicate}.json").write_text(damage)
    assert ReplicateFolder(tmp_path).get(replicate) is None


class TimedTrainer(TableTrainer):
    """Says that it took ten seconds."""

    def __call__(self, genotype, seed, on_epoch) -> Trained:
        trained = super().__call__(genotype, seed, on_epoch)
        return replace(trained, result=replace(trained.result, seconds=10.0))


def test_the_cost_grows_with_epochs_and_pixels(tiny_space, tmp_path, tiny_task):
    """4 candidates x 2 seeds of 10 s, and the same for three times the epochs; the proxy's smaller images make those dearer."""
    run = Search(tiny_space, run=tmp_path / "plain", training=TimedTrainer(tiny_task)).optimize(
        n_trials=6, confirm=0, execution=Local(workers=1)
    )
    assert Audit(run, candidates=4, seeds=2, epochs=6).seconds(1) == pytest.approx(80 + 240)
    assert Audit(run, candidates=4, seeds=2, epochs=6).seconds(2) == pytest.approx(160)
    proxy = tiny_space.proxy.model_copy(update={"initial_resolution": 0.5})
    smaller = Search(
        tiny_space.model_copy(update={"proxy": proxy}), run=tmp_path / "smaller", training=TimedTrainer(tiny_task)
    ).optimize(n_trials=6, confirm=0, execution=Local(workers=1))
    share = (0.5**2 + 1) / 2
    assert Audit(smaller, candidates=4, seeds=2, epochs=6).seconds(1) == pytest.approx(80 + 240 / share)


class DyingExecutor:
    """Loses every job."""

    workers = room = 1

    def submit(self, job):
        self.job = job

    def wait(self, handle, timeout):
        handle(Failed(self.job.number, "its worker died", lost=True))

    def close(self):
        pass


def test_a_training_whose_workers_die_is_tried_again_the_next_time(run, tmp_path):
    """It is told after three of them; it may have been chance, so nothing is kept."""
    replicate, folder, told = Replicate(run.candidates[0].record.genotype, 0), ReplicateFolder(tmp_path / "kept"), []
    train_replicates([replicate], folder, DyingExecutor(), lambda replicate, outcome: told.append(outcome))
    assert told == ["its worker died, 3 times"]
    assert folder.missing([replicate]) == [replicate]


class FailingTrainer(TableTrainer):
    """Fails for one seed."""

    def __call__(self, genotype, seed, on_epoch) -> Trained:
        if seed == 7:
            raise ValueError("no luck")
        return super().__call__(genotype, seed, on_epoch)


def test_a_failing_training_is_told_and_left_out(run, tmp_path, tiny_task):
    """Its reason is told and kept, so that it is not trained again; the others have their results."""
    genotype = run.candidates[0].record.genotype
    folder, ended = ReplicateFolder(tmp_path / "kept"), {}
    replicates = [Replicate(genotype, seed) for seed in (6, 7, 8)]

    def note(replicate, outcome):
        ended[replicate.seed] = outcome

    train_replicates(replicates, folder, InProcess(FailingTrainer(tiny_task)), note)
    assert ended[7] == "ValueError: no luck"
    assert folder.missing(replicates) == []
    assert folder.failure(replicates[1]) == "ValueError: no luck"
    assert folder.get(replicates[0]) == ended[6]


def test_a_folder_that_cannot_be_written_is_an_error(run, tmp_path):
    """The message names the file."""
    (tmp_path / "file").write_text("")
    genotype = run.candidates[0].record.genotype
    with pytest.raises(RunError, match=r"kept.*cannot be written"):
        ReplicateFolder(tmp_path / "file" / "kept").keep(Replicate(genotype, 0), _trained(0.5, 1))


def test_the_command_announces_trains_and_goes_on(tmp_path, monkeypatch, trained_run):
    """Plan, lines, table and document; a second call has nothing to do."""
    monkeypatch.setenv("COLUMNS", "80")
    runner = CliRunner()
    arguments = ["--candidates", "4", "--seeds", "2", "--epochs", "3", "--workers", "1"]
    shutil.copytree(trained_run.folder.path, tmp_path / "run")
    planned = runner.invoke(app, ["audit", str(tmp_path / "run"), *arguments, "--plan"])
    assert planned.exit_code == 0
    assert "4 candidates x 2 seeds, for 2 and for 3 epochs: 16 trainings, 0 done before; left to do: about" in planned.stdout
    assert not (tmp_path / "run" / "audit").exists()
    plan = json.loads(runner.invoke(app, ["audit", str(tmp_path / "run"), *arguments, "--plan", "--json"]).stdout)
    assert plan["remaining"] == 16
    assert plan["seconds"] > 0
    first = runner.invoke(app, ["audit", str(tmp_path / "run"), *arguments])
    assert first.exit_code == 0, first.output
    assert "[16/16]" in first.stdout
    assert "attended blocks" in first.stdout
    assert "…" not in first.stdout
    second = runner.invoke(app, ["audit", str(tmp_path / "run"), *arguments, "--json"])
    document = json.loads(second.stdout)
    assert len(document["candidates"]) == 4
    assert document == json.loads((tmp_path / "run" / "audit.json").read_text())


def test_an_interrupted_audit_keeps_what_is_done(tmp_path, trained_run):
    """After a SIGINT the exit code is 130, and the same command does the rest."""
    shutil.copytree(trained_run.folder.path, tmp_path / "run")
    command = [sys.executable, "-m", "attn_nas", "audit", str(tmp_path / "run"), "--candidates", "5", "--seeds", "50"]
    inherited = signal.signal(signal.SIGINT, signal.default_int_handler)  # what a background job inherits is deaf to it
    process = warm.Popen([*command, "--workers", "2"], env={**os.environ, "OMP_NUM_THREADS": "1"}, start_new_session=True)
    signal.signal(signal.SIGINT, inherited)
    with process:
        try:
            deadline = time.monotonic() + 300
            while not list((tmp_path / "run").rglob("audit/*/*.json")):
                assert time.monotonic() < deadline
                time.sleep(0.05)
            os.killpg(process.pid, signal.SIGINT)
            assert process.wait(300) == 130
        finally:
            process.kill()
    kept = len(list((tmp_path / "run").rglob("audit/*/*.json")))
    assert 1 <= kept < 500
    assert (
        f"500 trainings, {kept} done before"
        in warm.run([*command, "--plan"], capture_output=True, text=True, check=True).stdout
    )
