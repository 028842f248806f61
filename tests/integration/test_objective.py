"""A training loop of the user: what it is given, what it may return, and that none of its mistakes ends a search."""

import dataclasses
import json
import logging
import os
import pickle
import re
import sys
import time
from pathlib import Path

import pytest
import torch

import attn_nas as an
from attn_nas.errors import RunError, SpaceError, UsageError
from attn_nas.events.types import EpochFinished, TrialFailed
from attn_nas.execution.jobs import EpochReport, Failed, Finished, Job, run_job
from attn_nas.execution.local import InProcess, LocalPool
from attn_nas.plugins.user_code import UserCode
from attn_nas.runs.run import Run
from attn_nas.space.genotype import Genotype
from attn_nas.space.metric import Metric
from attn_nas.space.task import Task
from attn_nas.training import Numerics
from attn_nas.training.objective import ObjectiveSource, ObjectiveTrainer

FILE = Path(__file__).parents[1] / "data" / "objectives.py"
TRUNK = an.Trunk("cifar_resnet", 8, 8)
BARE = Genotype.bare(TRUNK)
TASK = Task(3, 16, 16, 2)
ONE = an.Local(workers=1)


@pytest.fixture(autouse=True)
def _own_state(tmp_path, monkeypatch):
    """What this user trusts."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture(scope="module")
def objectives():
    """The module of the objectives."""
    sys.path.insert(0, str(FILE.parent))
    try:
        import objectives

        yield objectives
    finally:
        sys.path.remove(str(FILE.parent))


@pytest.fixture
def space():
    """A space without data, for networks of two outputs."""
    return an.SearchSpace(trunk=TRUNK, mechanisms=["se", "eca"], example=(3, 16, 16), classes=2)


def _trainer(name, metric="score", *, epochs=2, weights=None):
    source = ObjectiveSource(UserCode(str(FILE), None, name).read(named=True), None)
    return ObjectiveTrainer(source, Metric.of(metric), TASK, epochs, Numerics(), 1, weights)


def _ended(trainer, seed=0):
    return run_job(trainer, Job(0, BARE, seed), lambda _: None)


def test_the_program_of_the_first_page_runs_and_goes_on_without_the_file(objectives, space, tmp_path):
    """A function, a metric, a folder; the run keeps its source, and a file that has changed since is no longer asked."""
    events = []
    search = an.Search(space, objective=objectives.count, metric="dice_gain", training={"epochs": 2}, run=tmp_path / "run")
    run = search.optimize(n_trials=4, confirm=1, execution=ONE, callbacks=[events.append])
    assert len([event for event in events if isinstance(event, EpochFinished)]) >= 8
    best = max(run.candidates, key=lambda each: each.accuracy)
    assert best.record.result.accuracy == best.record.genotype.num_attended + 2
    assert best.record.result.curve == (best.record.genotype.num_attended, best.record.genotype.num_attended + 1)
    assert (run.metric, run.manifest.metric.name) == (Metric("dice_gain"), "dice_gain")
    assert (tmp_path / "run" / "plugins" / "objectives.py").read_text() == FILE.read_text()
    assert b"pickle" not in (tmp_path / "run" / "study.db").read_bytes()
    again = an.Search.load(tmp_path / "run").optimize(n_trials=5, confirm=0, execution=ONE)
    assert len({record.key for record in again.records}) == 5


def test_a_stranger_s_run_is_shown_but_its_objective_is_not_run(objectives, space, tmp_path, monkeypatch):
    """Until its user says so."""
    an.Search(space, objective=objectives.count, run=tmp_path / "run").optimize(4, confirm=0, execution=ONE)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "other"))
    assert len(Run(tmp_path / "run").candidates) == 4
    with pytest.raises(SpaceError, match="was not run: it belongs to the folder that you open"):
        an.Search.load(tmp_path / "run")
    monkeypatch.setenv("ATTN_NAS_TRUST_PLUGINS", "1")
    an.Search.load(tmp_path / "run")


@pytest.mark.parametrize("given", ["file", "module"])
def test_a_module_beside_the_objective_that_has_changed_is_named(space, tmp_path, monkeypatch, caplog, given):
    """What an objective imports is not kept in the run."""
    folder = tmp_path / f"own_{given}"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / f"recipe_{given}.py").write_text("RATE = 0.1")
    source = f"from {'.' * (given == 'module')}recipe_{given} import RATE\ndef score(model, trial): return RATE"
    (folder / "loop.py").write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path))
    code = f"{folder / 'loop.py'}:score" if given == "file" else f"own_{given}.loop:score"
    an.Search(space, objective=code, run=tmp_path / "run").optimize(2, confirm=0, execution=ONE)
    an.Search.load(tmp_path / "run").optimize(3, confirm=0, execution=ONE)
    assert not caplog.records
    (folder / f"recipe_{given}.py").write_text("RATE = 0.2")
    an.Search.load(tmp_path / "run").optimize(4, confirm=0, execution=ONE)
    assert f"recipe_{given}.py has changed since the run was begun" in caplog.text
    (tmp_path / "run" / "code.json").write_text("no JSON")
    with pytest.raises(RunError, match=r"code\.json cannot be read"):
        an.Search.load(tmp_path / "run").optimize(5, confirm=0, execution=ONE)


@pytest.mark.parametrize("kind", ["objective", "network"])
def test_code_of_a_notebook_says_that_it_stays_in_its_process(space, tmp_path, kind):
    """A cell has no file that another process could read."""
    cell: dict[str, object] = {"__name__": "__main__"}
    exec(
        "from torch.nn import *\ndef cell(*given): return Sequential(*(Sequential(Conv2d(3, 3, 1), ReLU()) for _ in '12'))",
        cell,
    )
    objective: object = cell["cell"]
    if kind == "network":
        space, objective = an.SearchSpace(model=cell["cell"], example=(3, 8, 8), mechanisms=["se"], classes=2), f"{FILE}:count"
    search = an.Search(space, objective=objective, run=tmp_path / "run")
    with pytest.raises(UsageError, match="it belongs to a notebook or an interactive session"):
        search.optimize(3, execution=an.Local(workers=2))
    assert not (tmp_path / "run").exists()


def test_a_closure_trains_in_this_process_and_is_given_again_to_go_on(space, tmp_path):
    """It cannot be named; workers cannot have it."""
    called = []

    def closure(model, trial):
        called.append(trial.seed)
        return float(len(called))

    search = an.Search(space, objective=closure, metric="reward", run=tmp_path / "run")
    with pytest.raises(UsageError, match=r"worker processes cannot load it.*one worker"):
        search.optimize(3, execution=an.Local(workers=2))
    assert not (tmp_path / "run").exists()
    search.optimize(3, confirm=0)
    assert called == [0, 0, 0]
    with pytest.raises(UsageError, match=r"give it again, as in Search.load\(run, objective=...\)"):
        an.Search.load(tmp_path / "run")
    an.Search.load(tmp_path / "run", objective=closure).optimize(4, confirm=0)
    assert len(called) == 4


def test_a_run_refuses_another_objective_than_its_own(objectives, space, tmp_path):
    """Its scores would not be comparable."""
    an.Search(space, objective=objectives.count, run=tmp_path / "run").optimize(3, confirm=0, execution=ONE)
    with pytest.raises(UsageError, match=r"keeps its objective, objectives.py:count, which differs"):
        an.Search.load(tmp_path / "run", objective=objectives.half_of)
    an.Search.load(tmp_path / "run", objective=objectives.count)


def test_equal_seeds_give_equal_networks_and_equal_random_numbers(objectives, tmp_path):
    """In whatever state the process is; which keeps its own."""
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first, again, other = (_ended(_trainer("draws"), seed).trained.result for seed in (1, 1, 2))
    assert torch.equal(before, torch.get_rng_state())
    assert (first.accuracy, first.curve) == (again.accuracy, again.curve)
    assert first.accuracy != other.accuracy
    assert first.curve != other.curve


@pytest.mark.parametrize(
    ("name", "metric", "says"),
    [
        ("nothing", "score", "what objectives.py:nothing returned is None: return the value of score"),
        ("pieces", "score", r"has the shape \(3,\): give a number, such as its mean"),
        ("words", "score", r"is '0.5' \(str\): give the value of score as a number"),
        ("not_a_number", "score", "is nan: the training has diverged"),
        ("percent", "dice", "dice = 50 is not between 0 and 1"),
        ("breaks", "score", r"ValueError: shapes differ \(objectives.py:\d+\)"),
        ("breaks_in_torch", "score", r"RuntimeError: .*7 channels.* \(objectives.py:\d+\)"),
        ("exits", "score", r"called sys.exit\('out of patience'\) \(objectives.py:\d+\)"),
        ("reports_twice", "score", "epoch 0 after epoch 0: report each epoch once"),
        ("reports_text", "score", "the value reported for epoch 0 is None"),
    ],
)
def test_each_mistake_is_a_failed_trial_with_its_reason(name, metric, says):
    """And nothing else happens."""
    ended = _ended(_trainer(name, metric))
    assert isinstance(ended, Failed)
    assert not ended.lost
    assert re.search(says, ended.reason), ended.reason


def test_a_tensor_of_one_value_is_a_number_and_no_report_is_needed():
    """The curve is then the value alone."""
    result = _ended(_trainer("zero_dimensional")).trained.result
    assert (result.accuracy, result.curve, result.loss) == (0.25, (0.25,), None)


@pytest.mark.parametrize("name", ["forks", "forks_and_fails"])
def test_a_process_that_the_objective_forks_does_not_go_on_with_the_search(name):
    """One answer comes, from the parent."""
    pid, ended = os.getpid(), _ended(_trainer(name))
    assert os.getpid() == pid
    assert ended.trained.result.accuracy == 1.0


def test_threads_that_are_left_are_reported_and_end_nothing(caplog):
    """By name."""
    with caplog.at_level(logging.WARNING):
        assert isinstance(_ended(_trainer("leaves_a_thread")), Finished)
    assert "has left threads that still run: left over" in caplog.text


def test_a_metric_that_is_minimised_is_a_score_that_goes_up(tmp_path):
    """The loss falls, the score rises, and the weights are kept."""
    trainer = _trainer("train", "loss", weights=tmp_path)
    result = _ended(trainer).trained.result
    assert result.curve[0] < result.curve[1] == result.accuracy < 0
    assert [path.stem for path in tmp_path.glob("*.safetensors")] == [BARE.key]
    assert json.loads(json.dumps(result.to_dict()))["loss"] is None


def test_weights_of_another_network_are_not_kept(tmp_path, caplog):
    """For the exported one could not hold them."""
    assert isinstance(_ended(_trainer("renames", weights=tmp_path)), Finished)
    assert not [*tmp_path.glob("*.safetensors")]
    assert "has changed names or shapes of the network's weights" in caplog.text


def test_workers_load_it_by_name_hang_within_a_limit_and_may_start_processes(tmp_path):
    """What travels is its name and source."""
    trainer = _trainer("uses_a_loader")
    assert b"uses_a_loader" in pickle.dumps(trainer)
    found = []
    for name, limit in (("uses_a_loader", None), ("hangs", 1.0)):
        pool = LocalPool([_trainer(name)], limit)
        try:
            pool.submit(Job(0, BARE, 0))
            until = time.monotonic() + 60
            while len(found) < 1 + (name == "hangs") and time.monotonic() < until:
                pool.wait(found.append, 1.0)
        finally:
            pool.close()
    loaded, hung = found
    assert loaded.trained.result.accuracy == 0.5
    assert hung.lost
    assert "time limit of 1 s" in hung.reason


def test_a_search_goes_on_after_failures(objectives, space, tmp_path):
    """They use up the budget, with their reasons."""
    events = []
    search = an.Search(space, objective=objectives.breaks, run=tmp_path / "run")
    run = search.optimize(3, confirm=0, execution=ONE, callbacks=[events.append])
    failed = [event.reason for event in events if isinstance(event, TrialFailed)]
    assert len(failed) == len(run.failures) == 3
    assert all(reason.startswith("ValueError: shapes differ") for reason in failed)


@pytest.mark.parametrize(
    ("given", "metric", "says"),
    [
        (3, None, "give a function of"),
        ("objectives.py", None, "write FILE.py:NAME"),
        ("nowhere.py:f", None, "cannot be read"),
        (f"{FILE}:cout", None, "did you mean count"),
        (f"{FILE}:hands_over", None, r"must take \(model, trial\)"),
        (f"{FILE}:count", "", "choose a name"),
        ({"file": str(FILE), "function": "count", "metrc": "dice"}, None, "did you mean metric"),
        ({"function": "count"}, None, "name the file or the module"),
        (None, "dice", "give the function, or name it"),
    ],
)
def test_an_objective_that_cannot_be_used_is_refused_before_the_run_begins(space, tmp_path, given, metric, says):
    """With what to write instead."""
    with pytest.raises((UsageError, SpaceError), match=says):
        an.Search(space, objective=given, metric=metric, run=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_space_without_data_says_what_the_objective_needs(objectives, tmp_path):
    """The shape of an image, and the number of outputs; times of steps are ours alone."""
    bare = {"trunk": TRUNK, "mechanisms": ["se"]}
    with pytest.raises(SpaceError, match=r"objective\.example and objective\.classes are missing"):
        an.Search(an.SearchSpace(**bare), objective=objectives.count, run=tmp_path / "run").optimize(1)
    timed = an.SearchSpace(**bare, objectives={"costs": ["latency"]}, example=(3, 16, 16), classes=2)
    with pytest.raises(SpaceError, match="times are measured by our own training"):
        an.Search(timed, objective=objectives.count, run=tmp_path / "run").optimize(1)


def test_a_file_names_the_objective_relative_to_itself(tmp_path):
    """With the metric; of the training only the epochs are needed."""
    (tmp_path / "train.py").write_text("def objective(model, trial):\n    return 3.0\n")
    (tmp_path / "unet.yaml").write_text(
        "trunk: {name: cifar_resnet, depth: 8, width: 8}\nmechanisms: [{name: se}]\nproxy: {epochs: 1}\n"
        "objective: {file: train.py, function: objective, metric: psnr, unit: dB, example: [3, 16, 16], classes: 2}\n"
    )
    run = an.Search(tmp_path / "unet.yaml", run=tmp_path / "run").optimize(3, confirm=0, execution=ONE)
    assert run.metric == Metric("psnr", unit="dB")
    assert run.candidates[0].accuracy == 3.0


@pytest.mark.parametrize("make", [InProcess, lambda trainer: LocalPool([trainer])])
def test_a_training_waits_where_it_may_be_paused_and_goes_on_from_there(make):
    """Each epoch is trained and reported once; the curve is that of the whole training."""
    trainer, messages = _trainer("count", epochs=4), []
    executor = make(trainer)
    try:
        for number, until in enumerate((1, 2, 4), start=1):
            executor.submit(Job(0, BARE, 0, until=until))
            end = time.monotonic() + 60
            while sum(isinstance(each, Finished) for each in messages) < number and time.monotonic() < end:
                executor.wait(messages.append, 1.0)
    finally:
        executor.close()
    first, second, last = (each.trained for each in messages if isinstance(each, Finished))
    assert [each.epoch for each in messages if isinstance(each, EpochReport)] == [1, 2, 3, 4]
    assert [len(each.result.curve) for each in (first, second, last)] == [1, 2, 4]
    assert [each.ended for each in (first, second, last)] == [False, False, True]
    assert last.result.accuracy == 4.0


def test_a_paused_training_ends_when_another_begins_and_begins_again_later(objectives):
    """Its objective is told by an exception that ``except Exception`` does not catch."""
    source = ObjectiveSource(None, objectives.notes_its_end)
    trainer = ObjectiveTrainer(source, Metric("score"), TASK, 4, Numerics(), 1)
    objectives.PAUSED.clear()
    trainer.train_until(2, BARE, 5, lambda *_: None)
    assert objectives.PAUSED == []
    assert trainer(BARE, 6, lambda *_: None).result.accuracy == 5.0
    assert objectives.PAUSED == [5]
    assert trainer.train_until(4, BARE, 5, lambda *_: None).result.curve == (1.0, 2.0, 3.0, 4.0)
    assert not issubclass(an.TrainingPaused, Exception)


def test_a_failure_after_a_pause_is_that_of_the_objective():
    """And without reports a training ends instead of pausing."""
    trainer = _trainer("half_of", epochs=4)
    assert trainer.train_until(2, BARE, 0, lambda *_: None).ended
    ended = run_job(_trainer("breaks"), Job(0, BARE, 1, until=1), lambda _: None)
    assert isinstance(ended, Failed)
    assert "shapes differ" in ended.reason


def test_each_gpu_has_its_own_worker_and_is_the_device_of_its_trials():
    """As for our own training."""
    trainer = dataclasses.replace(_trainer("half_of"), numerics=Numerics("cuda"))
    assert [trainer.on_gpu(number).device for number in (0, 3)] == [torch.device("cuda", 0), torch.device("cuda", 3)]
    assert not trainer.can_dry_run
    assert trainer.can_pause
