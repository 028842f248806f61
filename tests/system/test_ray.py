"""Searches on a real Ray cluster of several nodes: what travels, what comes back, and what happens when some of it dies."""

import dataclasses
import functools
import importlib.util
import json
import os
import re
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import pytest
import warm
from generators.blocks import file_of
from optuna.trial import TrialState
from safetensors.torch import load_file
from typer.testing import CliRunner

from attn_nas.cli import app
from attn_nas.data import load_dataset
from attn_nas.data.arrays import share_dataset
from attn_nas.engine import search as search_module
from attn_nas.engine.early_stopping import EarlyStopping
from attn_nas.engine.search import Search
from attn_nas.errors import AttnNasError, DeviceError, RunError, UsageError
from attn_nas.events.types import SearchStarted, TrialFailed, TrialFinished, TrialStarted
from attn_nas.execution.ray_cluster import client
from attn_nas.execution.ray_cluster.client import RayBackend
from attn_nas.execution.ray_cluster.messages import Begin
from attn_nas.execution.ray_cluster.tasks import Tasks
from attn_nas.execution.settings import Local, Ray
from attn_nas.runs.run import Run
from attn_nas.space.genotype import Genotype
from attn_nas.space.schema import SearchSpace
from attn_nas.space.trunks import Trunk
from attn_nas.testing import TableTrainer
from attn_nas.training import Numerics, choose_numerics
from attn_nas.training.trainer import ProxyTrainer

TUTORIAL = Path(__file__).parents[2] / "docs" / "extending.md"
BARE = Genotype.bare(Trunk("cifar_resnet", 8, 8))
SMALL = {"object_store_memory": 80_000_000, "include_dashboard": False}
PATIENCE = 60.0


@pytest.fixture(autouse=True, scope="module")
def _no_waiting_for_other_tests():
    """Workers of Ray run at niceness 15 by default, and would hardly run beside other tests."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("RAY_worker_niceness", "0")
        yield


@pytest.fixture(scope="module")
def cluster():
    """A head that trains nothing, and a node with two processors and something like a GPU; idle workers stay alive."""
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("RAY_USAGE_STATS_ENABLED", "0")
        noticing = {"health_check_period_ms": 1000, "health_check_failure_threshold": 3, "health_check_timeout_ms": 3000}
        keeping = {"num_workers_soft_limit": 100, "enable_worker_prestart": False, "prestart_worker_first_driver": False}
        alone = {"num_cpus": 0, "include_log_monitor": False, "no_monitor": True}
        cluster = Cluster(initialize_head=True, head_node_args={"_system_config": {**noticing, **keeping}, **alone, **SMALL})
        cluster.add_node(num_cpus=2, num_gpus=1, **SMALL)
        yield cluster
        cluster.shutdown()


@pytest.fixture(scope="module")
def nodes(cluster):
    """One connection for the whole file: every other one has workers of its own, which take seconds to start."""
    nodes = RayBackend(Ray(address=cluster.address))
    yield nodes
    nodes.close()
    assert not nodes._process.is_alive()


@pytest.fixture
def found(nodes, monkeypatch, tiny_space, tmp_path):
    """Searches on the processors of these nodes, whatever they have else; the run."""

    @contextmanager
    def connected(execution):
        yield nodes

    monkeypatch.setattr(search_module, "connected", connected)

    def run(space=tiny_space, **arguments):
        given = {"confirm": 0, **arguments}
        ray = {"device": "cpu"} | {
            name: given.pop(name) for name in ("workers", "threads", "device", "trial_timeout") if name in given
        }
        begun = {
            name: given.pop(name) for name in ("training", "seed", "storage", "data", "objective", "metric") if name in given
        }
        resume = given.pop("resume", False)
        search = Search.load(tmp_path / "run", **begun) if resume else Search(space, run=tmp_path / "run", **begun)
        return search.optimize(execution=Ray(**ray), **given)

    return run


@dataclasses.dataclass
class NotingTrainer(TableTrainer):
    """Notes in a file which candidate was begun and ended, in which process of which node, and does something else first."""

    notes: str = ""

    def __call__(self, genotype, seed, on_epoch):
        import ray

        self._note("begun", genotype, ray.get_runtime_context().get_node_id())
        self.first(genotype, ray.get_runtime_context().get_node_id())
        trained = super().__call__(genotype, seed, on_epoch)
        self._note("ended", genotype, ray.get_runtime_context().get_node_id())
        return trained

    def _note(self, what, genotype, node):
        with Path(self.notes).open("a") as file:
            file.write(f"{what} {genotype.key} {node} {os.getpid()}\n")

    def read(self):
        """What was noted so far, as lists of words."""
        path = Path(self.notes)
        return [line.split() for line in path.read_text().splitlines()] if path.exists() else []

    def count(self, what, key):
        return sum(words[:2] == [what, key] for words in self.read())

    def first(self, genotype, node):
        pass


def _until(condition):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise AttnNasError("what was waited for did not happen")
        time.sleep(0.02)


def _states(run):
    return Counter(record.state for record in run.records)


def _on(cluster, kind):
    return [event for event in cluster if isinstance(event, kind)]


def test_the_budget_is_exact_and_nothing_is_trained_twice(found, tmp_path, tiny_task):
    """As many at a time as the nodes have processors; the front is confirmed too."""
    trainer, told = NotingTrainer(tiny_task, notes=str(tmp_path / "notes")), []
    run = found(n_trials=8, confirm=1, training=trainer, callbacks=[told.append])
    assert _states(run) == {"finished": len(run.records)}
    assert len(run.candidates) == 8
    assert len({(record.key, record.seed) for record in run.records}) == len(run.records) > 8
    assert Counter(words[0] for words in trainer.read()) == {"begun": len(run.records), "ended": len(run.records)}
    assert [event.workers for event in _on(told, SearchStarted)] == [2]


@dataclasses.dataclass
class WaitingTrainer(NotingTrainer):
    """Waits on the ``first_node`` until another one has begun something, and there for ever if it ``hangs``."""

    first_node: str = ""
    hangs: bool = False

    def first(self, genotype, node):
        _until(lambda: any(words[2] != self.first_node for words in self.read()))
        if self.hangs and node != self.first_node:
            time.sleep(1000)


def test_a_node_that_dies_costs_its_candidates_a_repetition_and_no_more(cluster, found, tmp_path, tiny_task):
    """What was finished is kept and not repeated; what ran there is trained again elsewhere, and was not to blame."""
    first_node = next(iter(cluster.worker_nodes)).node_id
    trainer = WaitingTrainer(tiny_task, notes=str(tmp_path / "notes"), first_node=first_node, hangs=True)
    dying = cluster.add_node(num_cpus=1, **SMALL)
    told, before = [], []

    def kill_it(event):
        told.append(event)
        if isinstance(event, TrialFinished) and not before:
            before.extend(each.key for each in _on(told, TrialFinished))
            cluster.remove_node(dying, allow_graceful=False)

    run = found(n_trials=8, training=trainer, callbacks=[kill_it])
    lost = [words[1] for words in trainer.read() if words[0] == "begun" and words[2] == dying.node_id]
    assert len(lost) == 1
    assert len(run.candidates) == 8
    assert _states(run) == {"finished": 8, "interrupted": 1}
    assert before
    ended = Counter(words[1] for words in trainer.read() if words[0] == "ended")
    assert ended == dict.fromkeys((candidate.record.key for candidate in run.candidates), 1)
    assert ended.keys() >= {*before, *lost}
    assert TrialState.RUNNING not in {trial.state for trial in run.study.get_trials()}
    (failure,) = _on(told, TrialFailed)
    assert (failure.key, failure.counts) == (lost[0], False)
    assert failure.reason.startswith("its node ")


def test_a_node_that_comes_is_used_at_once(cluster, found, tmp_path, tiny_task):
    """The number of candidates at a time follows the nodes, unless it is given."""
    first_node = next(iter(cluster.worker_nodes)).node_id
    trainer = WaitingTrainer(tiny_task, notes=str(tmp_path / "notes"), first_node=first_node)
    added = []

    def add_one(event):
        if isinstance(event, TrialStarted) and not added:
            added.append(cluster.add_node(num_cpus=1, **SMALL))

    try:
        run = found(n_trials=6, training=trainer, callbacks=[add_one])
    finally:
        cluster.remove_node(added[0])
    assert _states(run) == {"finished": 6}
    assert {words[2] for words in trainer.read()} == {first_node, added[0].node_id}


@dataclasses.dataclass
class DyingTrainer(NotingTrainer):
    """Kills its process, or never ends, the first time that it trains ``victim``."""

    victim: str = ""
    hangs: bool = False

    def first(self, genotype, node):
        if genotype.key == self.victim and self.count("begun", self.victim) == 1:
            if self.hangs:
                time.sleep(1000)
            os.kill(os.getpid(), signal.SIGKILL)


def test_a_candidate_whose_worker_dies_is_trained_again(found, tmp_path, tiny_task):
    """It is counted against it: the worker may have died of it."""
    trainer = DyingTrainer(tiny_task, notes=str(tmp_path / "notes"), victim=BARE.key)
    run = found(n_trials=4, workers=2, training=trainer)
    assert [record.state for record in run.records if record.key == BARE.key] == ["lost", "finished"]
    assert _states(run) == {"finished": 4, "lost": 1}
    (reason,) = (record.reason for record in run.records if record.state == "lost")
    assert reason.startswith("its worker on ")


def test_a_training_that_takes_too_long_is_ended_and_repeated(found, tmp_path, tiny_task):
    """By the same words as on one machine."""
    trainer = DyingTrainer(tiny_task, notes=str(tmp_path / "notes"), victim=BARE.key, hangs=True)
    run = found(n_trials=3, workers=2, training=trainer, trial_timeout=1.5)
    assert _states(run) == {"finished": 3, "lost": 1}
    (reason,) = (record.reason for record in run.records if record.state == "lost")
    assert reason == "its worker was ended after the time limit of 1.5 s"


@dataclasses.dataclass
class GatheringTrainer(NotingTrainer):
    """Waits until two were begun."""

    def first(self, genotype, node):
        _until(lambda: len([words for words in self.read() if words[0] == "begun"]) >= 2)


def test_several_candidates_share_a_gpu(nodes, found, tmp_path, monkeypatch, tiny_task):
    """With half of one each two train at a time."""
    trainer, told = GatheringTrainer(tiny_task, notes=str(tmp_path / "notes")), []
    monkeypatch.setattr(nodes, "_cluster", Ray(gpus_per_trial=0.5))
    run = found(n_trials=4, device="auto", training=trainer, callbacks=[told.append])
    assert _states(run) == {"finished": 4}
    assert [words[0] for words in trainer.read()][:2] == ["begun"] * 2
    assert [event.workers for event in _on(told, SearchStarted)] == [2]


@pytest.mark.parametrize(
    ("threads", "gpus", "expected"),
    [(1, 0.0, 9), (2, 0.0, 4), (1, 0.25, 9), (1, 0.5, 5), (1, 0.3, 7), (1, 1.0, 3), (1, 2.0, 1), (4, 0.25, 2), (16, 0.0, 1)],
)
def test_the_slots_of_a_node_follow_what_a_trial_takes(threads, gpus, expected):
    """Shares of a GPU are never put together from two; there is always one slot, for a node that may come."""
    tasks = Tasks.__new__(Tasks)
    tasks._begin = Begin(b"", (), None, threads, gpus, 50, None)
    nodes = [{"CPU": 8.0, "GPU": 2.0}, {"CPU": 1.0, "GPU": 1.0}, {"memory": 1.0}]
    assert tasks.slots(nodes) == expected
    tasks._begin = dataclasses.replace(tasks._begin, workers=40)
    assert tasks.slots(nodes) == 40


@pytest.fixture
def own(monkeypatch):
    """A module of a user's own, which the nodes do not have."""
    path = Path(__file__).parents[1] / "data" / "own_trainer.py"
    spec = importlib.util.spec_from_file_location("own_trainer", path)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "own_trainer", module)
    spec.loader.exec_module(module)
    return module


def test_a_function_of_the_users_own_module_goes_along(found, own, tiny_task):
    """The nodes need not have it, and it may have arguments of its own."""
    assert len(found(n_trials=2, workers=1, training=functools.partial(own.train, tiny_task)).candidates) == 2


def test_a_trainer_of_the_users_own_module_goes_along_with_its_files(found, own, tmp_path, monkeypatch, tiny_task):
    """What it reads, shares and keeps in pauses travels, what it leaves comes back, and the nodes keep nothing."""
    monkeypatch.setattr(EarlyStopping, "goes_on", lambda *_: True)
    before = _scratch()
    (tmp_path / "settings.txt").write_text("as I like it")
    trainer = own.OwnTrainer(tiny_task, tmp_path / "settings.txt", tmp_path / "own")
    paused = []

    def look(event):
        paused.extend((tmp_path / "own" / "pauses").glob("*.json"))

    run = found(n_trials=7, workers=2, training=trainer, early_stopping=True, callbacks=[look])
    parted = [record for record in run.records if not record.reference]
    assert {path.stem for path in paused} == {f"{record.key}-0" for record in parted}
    assert not [*(tmp_path / "own" / "pauses").iterdir()]
    reports = {path.stem: json.loads(path.read_text()) for path in (tmp_path / "own" / "reports").iterdir()}
    assert reports.keys() == {f"{record.key}-0" for record in run.records}
    assert {reports[f"{record.key}-0"]["resumed"] for record in parted} == {1}
    assert {(report["settings"], report["start"]) for report in reports.values()} == {("as I like it", "as I like it 0")}
    assert all(re.match("attn-nas-[0-9a-f]{32}-", Path(report["at"]).parent.name) for report in reports.values())
    assert (tmp_path / "start-0.txt").read_text() == "as I like it 0"
    assert _scratch() == before


def test_real_trainings_are_the_same_as_on_one_machine(found, tiny_space, tmp_path):
    """From the same warm trunk, trained once; weights come back; the nodes keep nothing."""
    space = tiny_space.model_copy(update={"proxy": tiny_space.proxy.model_copy(update={"warm_epochs": 1})})
    before = _scratch()
    run = found(space, n_trials=4, workers=2)
    here = Search(space, run=tmp_path / "here").optimize(n_trials=4, confirm=0, execution=Local(workers=1))
    there = {candidate.record.key: candidate.record for candidate in run.candidates}
    assert there.keys() == {candidate.record.key for candidate in here.candidates}
    for candidate in here.candidates:
        record = candidate.record
        assert there[record.key].result.curve == record.result.curve
        ours, theirs = (load_file(each.folder.weights_of(record.key)) for each in (here, run))
        assert ours.keys() == theirs.keys()
        assert all((ours[name] == theirs[name]).all() for name in ours)
    (trunk,) = run.folder.trunks.glob("*.safetensors")
    assert [path.name for path in here.folder.trunks.glob("*.safetensors")] == [trunk.name]
    assert _scratch() == before
    written = trunk.stat().st_mtime_ns
    assert len(found(None, n_trials=5, workers=2, resume=True).candidates) == 5
    assert trunk.stat().st_mtime_ns == written


def _scratch():
    return {path for path in Path(tempfile.gettempdir()).iterdir() if re.match("attn-nas-[0-9a-f]{32}-", path.name)}


def test_a_warm_trunk_that_fails_is_told_to_every_candidate(found, tiny_space):
    """It is tried once."""
    proxy = tiny_space.proxy.model_copy(update={"warm_epochs": 1, "lr": 1e20})
    run = found(tiny_space.model_copy(update={"proxy": proxy}), n_trials=3, workers=2)
    assert _states(run) == {"failed": 3}
    assert all(record.reason.startswith("the bare trunk of all candidates failed: diverged") for record in run.records)
    assert len(list(run.folder.trunks.glob("*.failed"))) == 1


def test_a_training_in_parts_reaches_what_it_does_in_one_go(found, tiny_space, tmp_path, monkeypatch):
    """With early stopping its state comes back to the run after every rung, and travels on with the next part."""
    monkeypatch.setattr(EarlyStopping, "goes_on", lambda *_: True)
    proxy = tiny_space.proxy.model_copy(update={"epochs": 4})
    kept = set()

    def look(event):
        kept.update(path.name for path in (tmp_path / "run" / "pauses").glob("*.safetensors"))

    run = found(tiny_space.model_copy(update={"proxy": proxy}), n_trials=7, workers=2, early_stopping=True, callbacks=[look])
    parted = [candidate.record for candidate in run.candidates if not candidate.record.reference]
    assert {f"{record.key}-0.{epochs}.safetensors" for record in parted for epochs in (1, 2)} == kept
    assert not [*run.folder.pauses.iterdir()]
    share_dataset(load_dataset(tiny_space.data), tmp_path / "data")
    trainer = ProxyTrainer(proxy, choose_numerics("cpu", "fp32"), 1, tmp_path / "data", tmp_path / "trunks")
    for record in parted:
        assert trainer(record.genotype, 0, lambda *_: None).result.curve == record.result.curve


def test_when_the_head_dies_the_search_ends_and_can_go_on(tiny_space, tmp_path, monkeypatch, tiny_task):
    """On a cluster of its own, which dies; what ran then was not to blame, and nothing runs on."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(client, "_HEAD_TIMEOUT", 0.5)
    trainer = DyingTrainer(tiny_task, notes=str(tmp_path / "notes"), victim=BARE.key, hangs=True)
    drivers = []

    def kill_the_head(event):
        if isinstance(event, TrialFinished) and not drivers:
            head, driver = _head_and_driver()
            drivers.append(driver)
            os.kill(head, signal.SIGKILL)

    search = Search(tiny_space, run=tmp_path / "run", training=trainer)
    with pytest.raises(RunError, match=r"does not answer any more\. What was finished is kept: resume the run"):
        search.optimize(n_trials=50, confirm=0, execution=Ray(workers=2), callbacks=[kill_the_head])
    assert not Path(f"/proc/{drivers[0]}").exists()
    records = Run(tmp_path / "run").records
    assert "finished" in {record.state for record in records}
    assert [record.state for record in records if record.key == BARE.key] == ["interrupted"]
    again = Search.load(tmp_path / "run", training=TableTrainer(tiny_task))
    run = again.optimize(n_trials=6, execution=Local(workers=1))
    assert "lost" not in _states(run)


def _head_and_driver():
    """The process numbers of the head that a driver of this process has started, and of that driver."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            line, status = (process / "cmdline").read_text(), (process / "status").read_text()
        except OSError:
            continue  # it has ended
        found[int(process.name)] = line, int(re.search(r"PPid:\t(\d+)", status)[1])
    ((head, driver),) = (
        (number, parent)
        for number, (line, parent) in found.items()
        if "gcs_server" in line and "spawn_main" in found[parent][0] and found[parent][1] == os.getpid()
    )
    return head, driver


def test_the_command_searches_on_a_cluster(cluster, tmp_path, tiny_file):
    """With a mechanism of the user's own, and a share of a GPU that is none."""
    (tmp_path / "my_attention.py").write_text(file_of(TUTORIAL, "my_attention.py"))
    space = tiny_file.read_text().replace("name: se,", "name: energy_gate,")
    (tmp_path / "space.yaml").write_text(f"plugins: [my_attention.py]\n{space}")
    options = "--space space.yaml --run run --budget 2 --confirm 0 --no-export --workers 1 --executor ray --gpus-per-trial 0.25"
    done = warm.run(
        [sys.executable, "-m", "attn_nas", "search", *options.split(), "--address", cluster.address],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    complaints = [line for line in done.stderr.splitlines() if not line.startswith("waiting for a node")]  # of a busy machine
    assert (done.returncode, complaints) == (0, [])
    assert "2 of 2 candidates trained" in done.stdout
    run = Run(tmp_path / "run")
    assert any("energy_gate" in str(candidate.record.genotype) for candidate in run.candidates)
    assert all(run.folder.weights_of(member.record.key).exists() for member in run.front)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"address": "ray://head:10001"}, "address = ray://head:10001: give the head's own address, host:6379"),
        ({"address": "head"}, "address = head: give host:port"),
        ({"address": ""}, "address = : give host:port"),
        ({"address": "head:99999"}, "address = head:99999: give host:port"),
        ({"gpus_per_trial": 1.5}, "gpus_per_trial = 1.5: choose a share of a GPU, such as 0.25, or a whole number"),
        ({"gpus_per_trial": 0.0}, "gpus_per_trial = 0.0: choose"),
        ({"gpus_per_trial": -1.0}, "gpus_per_trial = -1.0: choose"),
        ({"gpus_per_trial": float("nan")}, "gpus_per_trial = nan: choose"),
        ({"gpus_per_trial": float("inf")}, "gpus_per_trial = inf: choose"),
        ({"start_timeout": 0.0}, "start_timeout 0.0: write a duration like"),
    ],
)
def test_what_is_no_cluster_is_refused(given, message):
    """With what to write instead."""
    with pytest.raises(UsageError, match=re.escape(message)):
        Ray(**given)


def test_a_cluster_that_does_not_answer_is_an_error_at_once(tiny_space, tmp_path):
    """It names the address; nothing is written."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(UsageError, match=f"address = {address}: no Ray cluster answers there"):
            Search(tiny_space, run=tmp_path / "run").optimize(execution=Ray(address=address))
    assert not (tmp_path / "run").exists()


def test_the_address_may_come_from_the_environment(tiny_space, tmp_path, monkeypatch):
    """As everywhere in Ray; it is read as strictly as one that is given."""
    monkeypatch.setenv("RAY_ADDRESS", "ray://head:10001")
    with pytest.raises(UsageError, match="address = ray://head:10001"):
        Search(tiny_space, run=tmp_path / "run").optimize(execution=Ray())


def test_without_ray_the_message_says_how_to_get_it(tiny_space, tmp_path, monkeypatch):
    """It is an extra."""
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError, match=re.escape('pip install "attn-nas[ray]"')):
        Search(tiny_space, run=tmp_path / "run").optimize(execution=Ray())
    assert not (tmp_path / "run").exists()


def test_a_device_that_the_nodes_lack_is_an_error(nodes):
    """A node is asked, and not this machine."""
    with pytest.raises(DeviceError, match="no CUDA device is available"):
        nodes.numerics("cuda", "auto")
    with pytest.raises(DeviceError, match="unknown precision 'fp8'"):
        nodes.numerics("cpu", "fp8")
    assert nodes.numerics("auto", "fp32") == choose_numerics("cpu", "fp32")


def test_impossible_numbers_are_refused(nodes):
    """As on one machine; the processors of this machine are no limit."""
    for workers, threads, limit in ((0, None, None), (None, 0, None), (1, 1, 0.0)):
        with pytest.raises(UsageError, match="choose"):
            nodes.resources(Numerics(), 50, workers, threads, limit)
    assert nodes.resources(Numerics(), 50, 1000, None, None).workers == 1000


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--executor", "slurm"], "--executor slurm: choose from local, ray"),
        (["--address", "head:6379"], "--address head:6379 is for a Ray cluster: add --executor ray"),
        (["--gpus-per-trial", "0.5"], "--gpus-per-trial 0.5 is for a Ray cluster: add --executor ray"),
    ],
)
def test_options_that_do_not_go_together_are_refused(options, message):
    """With what to add."""
    found = CliRunner().invoke(app, ["search", *options])
    assert found.exit_code == 2
    assert message in found.stderr


def test_an_objective_travels_to_the_nodes_by_name_or_as_an_object(found, monkeypatch, tmp_path):
    """Its source goes with it, its scores and weights come back; what has no name travels whole."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (tmp_path / "train.py").write_text(
        "def objective(model, trial):\n    trial.report(0.25, 0)\n    return 0.5 + 0.01 * trial.genotype.num_attended\n"
    )
    space = SearchSpace(trunk=Trunk("cifar_resnet", 8, 8), mechanisms=["se"], example=(3, 16, 16), classes=2)
    run = found(space, objective=f"{tmp_path / 'train.py'}:objective", metric="dice", n_trials=3, workers=2)
    assert [each.measured.value for each in run.candidates] == pytest.approx(
        [0.5 + 0.01 * each.record.genotype.num_attended for each in run.candidates]
    )
    assert all(run.weights(each) for each in run.front)

    def closure(model, trial):
        return float(len(str(tmp_path)))

    shutil.rmtree(tmp_path / "run")
    run = found(space, objective=closure, metric="reward", n_trials=1, workers=1)
    assert run.candidates[0].value == len(str(tmp_path))
