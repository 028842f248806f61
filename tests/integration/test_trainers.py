"""Trainings of a user's own: what a trainer declares is used by every executor, and a plain function is a trainer too."""

import json
import time
from functools import partial
from pathlib import Path

import pytest

from attn_nas.engine.early_stopping import EarlyStopping
from attn_nas.engine.search import Search
from attn_nas.errors import UsageError
from attn_nas.execution.gpu_packing import dry_runs
from attn_nas.execution.jobs import Finished, Job
from attn_nas.execution.local import InProcess, LocalPool
from attn_nas.execution.ray_cluster.carried_files import (
    CarriedFiles,
    contents_of,
    remove_files,
    shipped_contents,
    write_contents,
)
from attn_nas.execution.settings import Local
from attn_nas.space.genotype import Genotype
from attn_nas.space.task import Task
from attn_nas.space.trunks import Trunk
from attn_nas.testing import TableTrainer
from attn_nas.training import Numerics
from attn_nas.training.protocol import declared
from attn_nas.training.trainer import ProxyTrainer

TASK = Task(3, 16, 16, 10)
BARE = Genotype.bare(Trunk("cifar_resnet", 8, 8))
PATIENCE = 60.0


@pytest.fixture
def own(monkeypatch, tmp_path):
    """The module of a user's own trainer, and that trainer."""
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "data")
    import own_trainer

    (tmp_path / "settings.txt").write_text("as I like it")
    return own_trainer, own_trainer.OwnTrainer(TASK, tmp_path / "settings.txt", tmp_path / "own")


def _answers(executor, *jobs):
    """The trainings that came of ``jobs``, one after the other."""
    found = []
    try:
        for number, job in enumerate(jobs, start=1):
            executor.submit(job)
            until = time.monotonic() + PATIENCE
            while len(found) < number and time.monotonic() < until:
                executor.wait(lambda message: found.append(message) if isinstance(message, Finished) else None, 1.0)
    finally:
        executor.close()
    return [message.trained for message in found]


@pytest.mark.parametrize("make", [InProcess, lambda trainer: LocalPool([trainer])])
def test_a_training_of_the_users_own_pauses_and_goes_on(own, make):
    """In this process, and in a worker; what it leaves is where the trainer says."""
    _, trainer = own
    part, whole = _answers(make(trainer), Job(0, BARE, 7, until=1), Job(1, BARE, 7))
    expected = TableTrainer(TASK, epochs=2)(BARE, 7, lambda *_: None).result
    assert part.result.curve == expected.curve[:1]
    assert whole.result.curve == expected.curve
    (report,) = trainer.returns(BARE, 7).values()
    assert json.loads(report.read_text()) == {
        "settings": "as I like it", "start": "as I like it 7", "resumed": 1, "at": str(trainer.folder),
    }  # fmt: skip


def test_it_can_be_dry_run_by_a_worker(own):
    """As ours can."""
    pool = LocalPool([own[1]])
    try:
        assert [run.images_per_second for run in dry_runs(pool, BARE, 1, 0.0, 0.0)] == [100.0]
    finally:
        pool.close()


def test_a_search_stops_its_trainings_early(own, tiny_space, tmp_path, monkeypatch):
    """Every training is paused after its first epoch, and goes on from there."""
    monkeypatch.setattr(EarlyStopping, "goes_on", lambda *_: True)
    _, trainer = own
    run = Search(tiny_space, run=tmp_path / "run", training=trainer).optimize(
        n_trials=6, confirm=0, early_stopping=True, execution=Local(workers=1)
    )
    parted = [record for record in run.records if not record.reference]
    reports = {record.key: json.loads((trainer.folder / "reports" / f"{record.key}-0.json").read_text()) for record in parted}
    assert {report["resumed"] for report in reports.values()} == {1}
    assert all(len(record.result.curve) == 2 for record in parted)


def test_a_function_is_a_trainer_that_can_only_train(own, tiny_space, tmp_path):
    """Also with arguments of its own; what it cannot do is refused by its name, before anything is written."""
    module, trainer = own
    function = partial(module.train, TASK)
    (trained,) = _answers(LocalPool([function]), Job(0, BARE, 3))
    assert trained == TableTrainer(TASK)(BARE, 3, lambda *_: None)
    plain = declared(function)
    assert (plain.name, plain.can_pause, plain.can_dry_run, plain.can_relocate, plain.worn_out) == ("train", *[False] * 4)
    assert "own_trainer" in plain.modules
    assert plain.on_gpu(1) is plain
    assert declared(trainer) is trainer
    assert "own_trainer" in trainer.modules
    assert (trainer.can_pause, trainer.can_dry_run, trainer.can_relocate) == (True, True, True)
    for refused in (function, TableTrainer(TASK)):
        with pytest.raises(UsageError, match=rf"{declared(refused).name} cannot pause a training: give it train_until"):
            Search(tiny_space, run=tmp_path / "run", training=refused).optimize(early_stopping=True)
    assert not (tmp_path / "run").exists()


def test_files_travel_by_name(own, tmp_path):
    """Contents of one machine become files of another; what a trainer no longer has is removed there."""
    _, trainer = own
    elsewhere = trainer.relocated(tmp_path / "shared", tmp_path / "process")
    job = Job(0, BARE, 7)
    here, there = CarriedFiles.of(trainer, job), CarriedFiles.of(elsewhere, job)
    there.check_below(tmp_path)
    trainer.train_until(1, BARE, 7, lambda *_: None)
    assert {name: bytes(content) for name, content in shipped_contents(trainer).items()} == {"settings.txt": b"as I like it"}
    write_contents(there.paused, contents_of(here.paused))
    assert elsewhere.pause_files(BARE, 7)["state.json"].read_text() == trainer.pause_files(BARE, 7)["state.json"].read_text()
    remove_files(here.paused, besides=["state.json"])
    assert contents_of(here.paused)
    remove_files(here.paused)
    remove_files(here.paused)
    assert not contents_of(here.paused)
    assert CarriedFiles.of(TableTrainer(TASK), job) == CarriedFiles()


def test_our_own_trainer_leaves_nothing_behind_and_names_all_it_needs(tiny_space, tmp_path):
    """The data set and the weights to begin from go along; a warm trunk is needed only by a training that starts from it."""
    proxy = tiny_space.proxy.model_copy(update={"warm_epochs": 1})
    pretrained = tmp_path / "trunk.safetensors"
    trainer = ProxyTrainer(proxy, Numerics(), 1, tmp_path / "data", tmp_path / "trunks", pretrained=pretrained, tested=True)
    names = {f"{split}_{part}.npy" for split in ("train", "validation", "test") for part in ("images", "labels")}
    assert trainer.ships().keys() == {"dataset.json", "pretrained.safetensors", *names}
    assert trainer.ships()["pretrained.safetensors"] == pretrained
    assert (trainer.prepared(BARE, 0), trainer.pause_files(BARE, 0), trainer.returns(BARE, 0)) == ({}, {}, {})
    elsewhere = trainer.relocated(tmp_path / "far" / "shared", tmp_path / "far" / "own")
    assert {path.parent for path in elsewhere.ships().values()} == {tmp_path / "far" / "shared"}
    warm = ProxyTrainer(proxy, Numerics(), 1, tmp_path / "data", tmp_path / "trunks")
    assert {path.suffix for path in warm.prepared(BARE, 0).values()} == {".safetensors", ".failed"}
    assert warm.prepared(BARE, 0).keys() == warm.relocated(tmp_path / "a", tmp_path / "b").prepared(BARE, 0).keys()
    CarriedFiles.of(elsewhere, Job(0, BARE, 0)).check_below(tmp_path / "far")


@pytest.mark.parametrize(
    ("ships", "message"),
    [
        ({"../data": "settings.txt"}, r"OwnTrainer ships a file as '\.\./data': choose a name without folders"),
        ({"data": "missing"}, r"OwnTrainer ships .*missing, which cannot be read: No such file or directory"),
    ],
)
def test_files_that_cannot_be_shipped_are_refused(own, tmp_path, ships, message):
    """With the trainer's name and the reason."""

    class Wrong(type(own[1])):
        name = "OwnTrainer"

        def ships(self):
            return {name: tmp_path / path for name, path in ships.items()}

    with pytest.raises(UsageError, match=message):
        shipped_contents(Wrong(TASK, tmp_path, tmp_path))
