"""What fails beside a training - a listener, a lock, the output, a file - is told in its own words, and no candidate pays."""

import errno
import fcntl
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from functools import partial
from itertools import product
from pathlib import Path
from queue import SimpleQueue
from types import SimpleNamespace

import pytest
import torch
import warm

from attn_nas.data import load_dataset
from attn_nas.data.arrays import share_dataset
from attn_nas.engine.weight_retention import WeightRetention
from attn_nas.errors import RunError, UsageError, WriteError
from attn_nas.events.types import EpochFinished, TrialFinished
from attn_nas.execution.jobs import Failed, Job
from attn_nas.execution.local import LocalPool
from attn_nas.execution.ray_cluster import client, nodes
from attn_nas.execution.ray_cluster.client import RayBackend, RayExecutor
from attn_nas.execution.ray_cluster.messages import Done, Slots
from attn_nas.execution.ray_cluster.tasks import Tasks
from attn_nas.execution.settings import Ray
from attn_nas.runs.folder import RunFolder
from attn_nas.runs.run import Run
from attn_nas.space.genotype import Genotype
from attn_nas.space.trunks import Trunk
from attn_nas.training import Numerics
from attn_nas.training.trainer import ProxyTrainer

BARE = Genotype.bare(Trunk("cifar_resnet", 8, 8))


@pytest.fixture
def table_search(table_search):
    """Six candidates."""
    return partial(table_search, n_trials=6)


class Failing:
    """A listener that fails at the n-th event of a kind."""

    def __init__(self, kind, number, error):
        self.kind, self.left, self.error = kind, number, error

    def __call__(self, event):
        if isinstance(event, self.kind):
            self.left -= 1
            if self.left == 0:
                raise self.error


@pytest.mark.parametrize("kind", [EpochFinished, TrialFinished])
@pytest.mark.parametrize("workers", [1, 2])
def test_a_listener_that_fails_is_no_fault_of_a_candidate(tiny_space, tmp_path, kind, workers, table_search):
    """The search ends with the listener's error; what ran is put back, and nobody is blamed however often it happens."""
    for number in range(4):
        failing = Failing(kind, 1, BrokenPipeError())
        with pytest.raises(BrokenPipeError):
            table_search(None if number else tiny_space, resume=bool(number), workers=workers, callbacks=[failing])
    states = {record.state for record in Run(tmp_path / "run").records}
    assert "interrupted" in states or (workers, kind) == (1, TrialFinished)
    assert not states & {"running", "failed", "lost"}
    run = table_search(resume=True)
    assert len(run.candidates) == 6
    assert run.failures == []


def test_a_pool_that_cannot_go_on_blames_nobody(table_search, tmp_path, monkeypatch):
    """What ran when workers cannot be started any more is trained later."""

    def broken(pool, handle, timeout):
        raise RunError("worker processes die as soon as they start")

    monkeypatch.setattr(LocalPool, "wait", broken)
    with pytest.raises(RunError, match="die as soon as they start"):
        table_search(workers=2)
    monkeypatch.undo()
    assert {record.state for record in Run(tmp_path / "run").records} == {"interrupted"}


def test_only_a_search_at_its_end_drops_the_weights_of_those_that_may_win(table_search, monkeypatch):
    """A search that is stopped goes on, and then any of them may come to be on the front."""
    asked = []
    monkeypatch.setattr(WeightRetention, "prune", lambda self, records, wanted, *, last: asked.append(last))

    def stop(event):
        if isinstance(event, TrialFinished) and event.finished == 3:
            os.kill(os.getpid(), signal.SIGINT)

    table_search(callbacks=[stop])
    assert asked == [False]
    table_search(resume=True)
    assert asked == [False, True]


def test_a_lock_that_was_removed_by_its_holder_is_no_lock(tmp_path):
    """Its run could not begin; who waited meanwhile takes the new one, which others see."""
    folder = RunFolder(tmp_path)
    path = tmp_path / "lock"
    held = path.open("w")
    fcntl.flock(held, fcntl.LOCK_EX)

    def leave():
        time.sleep(0.2)
        path.unlink()
        held.close()

    thread = threading.Thread(target=leave)
    thread.start()
    with folder.locked():
        assert RunFolder(tmp_path).is_worked_in
    thread.join()


def test_a_file_system_without_locks_is_called_so(tmp_path, monkeypatch):
    """And not another process that works there."""

    def refuse(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(RunError, match="knows no locks: No locks available"), RunFolder(tmp_path).locked():
        pass


def test_output_that_finds_no_room_is_told(table_search, tmp_path):
    """One line and exit code 1, whether a page or a document was printed, or the help."""
    table_search()
    for arguments, unbuffered in product((["front", "run", "--json"], ["search", "--help"]), ("", "1")):
        with Path("/dev/full").open("w") as full:
            ended = warm.run(
                [sys.executable, "-m", "attn_nas", *arguments], stdout=full, stderr=subprocess.PIPE, text=True, cwd=tmp_path,
                env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
            )  # fmt: skip
        assert ended.stderr == "attn-nas: the output cannot be written: No space left on device\n"
        assert ended.returncode == 1


def test_a_value_that_ends_with_an_equals_sign_is_a_value(command):
    """It may be base64; one that is empty is refused without being printed."""
    code, _, told = command("front", "--sort=c2VjcmV0LXRva2Vu=")
    assert code == 2
    assert "is empty" not in told
    code, _, told = command("dashboard", "--token=")
    assert code == 2
    assert "--token is empty: write a value, or leave it out" in told


@pytest.mark.parametrize(("arguments", "option"), [(["report", "run"], "--to"), (["show", "run", "KEY"], "--svg")])
def test_a_folder_is_no_file_to_write(table_search, tmp_path, command, arguments, option):
    """With its name, and nothing is written into it."""
    run = table_search()
    arguments = [run.front[0].record.key if each == "KEY" else each for each in arguments]
    (tmp_path / "here").mkdir()
    for place in (".", "here"):
        code, _, told = command(*arguments, option, place)
        assert code == 1
        assert f"cannot write {place}: it is a folder; name a file" in told
    assert not [*(tmp_path / "here").iterdir()]


@pytest.fixture
def trainer(tiny_space, tmp_path):
    """A trainer with warm trunks, on files of its own."""
    share_dataset(load_dataset(tiny_space.data), tmp_path / "data")
    settings = tiny_space.proxy.model_copy(update={"warm_epochs": 1})
    folders = {f"{name}_folder": tmp_path / name for name in ("trunks", "weights", "pauses")}
    return ProxyTrainer(settings, Numerics(), 1, tmp_path / "data", **folders)


def test_a_damaged_warm_trunk_is_trained_again(trainer):
    """The same one as before."""
    trunk = BARE.trunk
    first = trainer.warm_trunk(trunk, 0)
    path = trainer.trunk_path(trunk, 0)
    for damage in (path.read_bytes()[:100], b""):
        path.unlink()  # what was loaded maps it
        path.write_bytes(damage)
        again = trainer.warm_trunk(trunk, 0)
        assert all(torch.equal(first.weights[name], again.weights[name]) for name in first.weights)


def test_warm_trunks_that_cannot_be_kept_are_no_failure_of_candidates(trainer):
    """As on a full disk, or in the folder of somebody else."""
    trainer.trunks_folder.write_text("no folder")
    with pytest.raises(WriteError, match=r"trunks/.* cannot be written: "):
        trainer.warm_trunk(BARE.trunk, 0)


def test_a_full_disk_of_a_node_is_no_failure_of_its_candidate(trainer, tmp_path, monkeypatch):
    """It is trained again elsewhere; the search's own disk is another matter."""
    monkeypatch.setattr(nodes, "_ended", lambda *_: Failed(3, "/tmp/x cannot be written: no room", unwritable=True))
    done = nodes._train_with_files(trainer, tmp_path, Job(3, BARE, 0), {}, {}, (), SimpleQueue())
    assert (done.ended.lost, done.ended.blameless, done.ended.unwritable) == (True, True, False)
    assert done.ended.reason.startswith(f"{done.host}: /tmp/x")


def test_weights_that_find_no_room_in_the_run_end_a_search_on_a_cluster(trainer):
    """As on one machine: the candidate is not failed."""
    tasks = Tasks.__new__(Tasks)
    tasks._trainer = trainer
    trainer.weights_folder.write_text("no folder")
    ended = tasks._kept(Job(1, BARE, 0), Done("there", Failed(1, "whatever"), {f"{BARE.key}.safetensors": b"weights"}))
    assert ended.unwritable
    assert "cannot be written" in ended.reason


def test_a_node_that_does_nothing_right_ends_the_search():
    """After a few candidates in a row, which cost nobody anything; one that is done begins the count anew."""
    tasks = Tasks.__new__(Tasks)
    tasks._failures = Counter()
    bad = Done("there", nodes._of_node(Job(1, BARE, 0), "there", "no room"))
    for _ in range(3):
        tasks._count_failures(bad)
    tasks._count_failures(Done("elsewhere", Failed(1, "diverged")))
    tasks._count_failures(Done("there", Failed(1, "diverged")))
    for _ in range(3):
        tasks._count_failures(bad)
    with pytest.raises(RunError, match="there: no room: 4 times in a row"):
        tasks._count_failures(bad)


@pytest.fixture
def driver(monkeypatch):
    """An executor of two slots, and the other end of its pipe."""
    monkeypatch.setattr(client, "_answers", lambda *_: True)
    ours, theirs = multiprocessing.Pipe()
    theirs.send(Slots(2))
    executor = RayExecutor(ours, "127.0.0.1:1", SimpleNamespace(kill=lambda: None))
    for number in (1, 2):
        executor.submit(Job(number, BARE, 0))
    yield SimpleNamespace(executor=executor, pipe=theirs)
    theirs.close()


def test_a_search_that_gives_up_says_why_on_a_cluster_too(driver):
    """What else runs is not told as lost: there is nobody any more who wants to know."""
    told = []

    def give_up(message):
        told.append(message.number)
        raise RunError("no room")

    driver.pipe.send(Failed(1, "no room", unwritable=True))
    with pytest.raises(RunError, match="no room"):
        driver.executor.wait(give_up, 1.0)
    assert told == [1]


def test_a_dead_driver_is_told_whatever_was_asked_last(driver):
    """Without blame for what ran; and nothing that is sent to it ends the command as a closed pipe would."""
    driver.pipe.close()
    driver.executor.submit(Job(3, BARE, 0))
    told = []
    with pytest.raises(RunError, match="the process that speaks to Ray has died"):
        driver.executor.wait(told.append, 1.0)
    assert [(message.number, message.blameless) for message in told] == [(1, True), (2, True), (3, True)]


def test_senseless_threads_are_refused_before_a_cluster_is_asked():
    """Nothing is started for them."""
    with pytest.raises(UsageError, match="threads = -3"):
        RayBackend(Ray(threads=-3))
