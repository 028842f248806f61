"""The data of a run: recognised image by image, wherever the files are now."""

import json
import logging
import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from typer.testing import CliRunner

from attn_nas.cli import app
from attn_nas.data import Dataset, load_dataset
from attn_nas.data.dataset import Augmentation, Split
from attn_nas.data.rules import DataRules
from attn_nas.engine.search import Search
from attn_nas.engine.setting import Setting
from attn_nas.errors import DataError, RunError, UsageError
from attn_nas.events.types import SearchStarted
from attn_nas.execution.settings import Local
from attn_nas.runs.data_identity import DataIdentity, with_known_test
from attn_nas.runs.folder import RunFolder
from attn_nas.runs.manifest import RunManifest
from attn_nas.runs.run import Run
from attn_nas.space.data_settings import DataSettings
from attn_nas.space.loading import load_space
from attn_nas.space.task import Task
from attn_nas.terminal.lines import about_data
from attn_nas.testing import TableTrainer

SPACE = """
trunk: {name: cifar_resnet, depth: 8, width: 8}
data: {name: image_folder, root: photos, image_size: 8}
mechanisms: [{name: se, reductions: [4], positions: [standard, pre]}]
proxy: {epochs: 1, batch_size: 8, lr: 0.1, precision: fp32}
"""
TASK = Task(3, 8, 8, 2)


@pytest.fixture
def project(tmp_path):
    """A space file with its folder of photos beside it: twenty cats and twenty dogs, four of each in val."""
    folder, noise = tmp_path / "project", np.random.default_rng(0)
    for part, number in (("train", 20), ("val", 4)):
        for name in ("cat", "dog"):
            (folder / "photos" / part / name).mkdir(parents=True)
            for index in range(number):
                image = Image.fromarray(noise.integers(256, size=(8, 8, 3), dtype=np.uint8))
                image.save(folder / "photos" / part / name / f"{index:02}.png")
    (folder / "space.yaml").write_text(SPACE)
    return folder


@pytest.fixture
def begun(project):
    """The folder of a run of two candidates on the photos, whose trainings are looked up."""
    return _search(Search(project / "space.yaml", run=project / "run", training=TableTrainer(TASK)), 2).folder.path


def _search(search, number, *listeners):
    return search.optimize(n_trials=number, confirm=0, execution=Local(workers=1), callbacks=listeners)


def _resume(folder, number=3, **options):
    return _search(Search.load(folder, training=TableTrainer(TASK), **options), number)


def _held_out(project):
    """The file of a validation image."""
    found = load_dataset(load_space(project / "space.yaml").data)
    for path in sorted(project.glob("photos/train/*/*.png")):
        pixels = torch.from_numpy(np.array(Image.open(path))).permute(2, 0, 1)[None]
        if Split(pixels, torch.zeros(1, dtype=torch.int64)).hashes[0] in found.validation.hashes:
            return path
    raise AssertionError("no validation image")


def _blacken(path):
    Image.new("RGB", (8, 8)).save(path)


def test_a_run_keeps_names_of_classes_and_a_digest_of_all_images(begun):
    """In its manifest: what is read back equals what was begun."""
    manifest = RunManifest.read(RunFolder(begun))
    assert manifest.classes == ("cat", "dog")
    assert (manifest.digest.train.images, manifest.digest.validation.images) == (36, 4)
    assert manifest.digest.made_with.startswith("Pillow ")
    assert RunManifest.from_stored(json.loads(json.dumps(manifest.to_stored())), begun) == manifest


def test_one_other_validation_image_is_refused(begun, project):
    """The message says in which split; nothing was trained."""
    _blacken(_held_out(project))
    with pytest.raises(DataError, match=r"begun with: the pixels of validation images differ\. Restore"):
        _resume(begun)
    assert len(Run(begun).candidates) == 2


def test_a_file_that_has_become_unreadable_is_named(project):
    """It changes the number of images: the message says which file, and why."""
    for part in range(80):  # of so many images, one may be left out
        Image.new("RGB", (8, 8), (part, 2 * part, 99)).save(project / "photos" / "train" / "cat" / f"more{part}.png")
    run = _search(Search(project / "space.yaml", run=project / "more", training=TableTrainer(TASK)), 1).folder.path
    broken = min(project.glob("photos/train/dog/*.png"))
    broken.write_bytes(broken.read_bytes()[:40])
    with pytest.raises(DataError, match=r"there were 1\d+ (training|validation) images, now there are") as raised:
        _resume(run)
    assert f"is not readable and is left out: {broken} (" in str(raised.value)


def test_other_numbers_and_classes_are_refused_by_name(begun, project):
    """A class with another name, an image more."""
    (project / "photos" / "train" / "dog").rename(project / "photos" / "train" / "wolf")
    with pytest.raises(DataError, match=r"begun with: classes are gone: dog; classes are new: wolf"):
        _resume(begun)
    (project / "photos" / "train" / "wolf").rename(project / "photos" / "train" / "dog")
    for number in range(10):
        _blacken(project / "photos" / "train" / "cat" / f"more{number}.png")
    with pytest.raises(DataError, match=r"there were 36 training images, now there are 45; there were 4 validation images"):
        _resume(begun)


def _dataset(images, labels, **changes):
    split = Split(images, torch.tensor(labels))
    return replace(Dataset("x", Task(1, 2, 2, 2), split, split, Augmentation(), lambda: split), **changes)


def test_labels_and_the_order_of_classes_belong_to_the_identity():
    """Equal pixels are not enough."""
    images = torch.arange(16, dtype=torch.uint8).view(4, 1, 2, 2)
    identity = DataIdentity.of(_dataset(images, [0, 0, 1, 1], classes=("a", "b")))
    assert identity.compare(_dataset(images, [0, 0, 1, 1], classes=("a", "b"))) == ((), ())
    changes = ("the labels of training images differ", "the labels of validation images differ")
    assert identity.compare(_dataset(images, [0, 1, 0, 1], classes=("a", "b"))).changes == changes
    (order,) = identity.compare(_dataset(images, [0, 0, 1, 1], classes=("b", "a"))).changes
    assert order == "the classes have another order: a, b before, b, a now"


def test_pixels_that_other_software_has_made_are_a_note():
    """If a few of them differ by one; where more differs, or the software is the same, the data are refused."""
    noise = np.random.default_rng(0)
    images = torch.from_numpy(noise.integers(1, 250, (400, 1, 2, 2), dtype=np.uint8))
    other = images.clone()
    other[7, 0, 0, 0] += 1
    labels = [0, 1] * 200
    identity = DataIdentity.of(_dataset(images, labels, made_with="Pillow 1"))
    compared = identity.compare(_dataset(other, labels, made_with="Pillow 2"))
    assert compared.changes == ()
    assert "made with Pillow 1, now with Pillow 2" in compared.notes[0]
    assert identity.compare(_dataset(other, labels, made_with="Pillow 1")).changes
    assert identity.compare(_dataset(other, [1, 0] * 200, made_with="Pillow 2")).changes
    assert identity.compare(_dataset(images // 2, labels, made_with="Pillow 2")).changes


def _older(run, copy, **entries):
    """A copy of a run as format 4 would have stored it."""
    shutil.copytree(run, copy)
    with closing(sqlite3.connect(copy / "study.db")) as connection, connection:
        (stored,) = connection.execute("SELECT value_json FROM study_user_attributes WHERE key = 'run'").fetchone()
        older = {name: entry for name, entry in json.loads(stored).items() if name not in ("classes", "digest")}
        older |= {"format": 4, "rules": {"decoding": 1, "split": 1, "digest": 0}, **entries}
        del older["space"]["data"]["augment"]
        connection.execute("UPDATE study_user_attributes SET value_json = ? WHERE key = 'run'", (json.dumps(older),))
    return copy


def test_a_run_without_a_digest_goes_on_and_says_that_it_has_none(begun, project, tmp_path, caplog):
    """It was begun by an older version: mirrored, drawn from all images, known by the statistics of its pixels."""
    first = load_dataset(load_space(project / "space.yaml").data, rules=DataRules(split=1))
    known = DataIdentity.of(first).normalization.to_dict()
    with caplog.at_level(logging.WARNING):
        run = _resume(_older(begun, tmp_path / "older", normalization=known))
    assert len(run.candidates) == 3
    assert "kept no digest of its images" in caplog.text
    assert run.augmentation.flip
    with pytest.raises(DataError, match="begun with: mean and deviation of the training pixels differ"):
        _resume(_older(begun, tmp_path / "other"))


def test_data_that_have_moved_are_found_by_each_way(begun, project, tmp_path, monkeypatch):
    """A given folder, the environment, the run's space.yaml; the run remembers the new place, and knows the old one."""
    moved, elsewhere = tmp_path / "moved", tmp_path / "elsewhere"
    (project / "photos").rename(moved)
    with pytest.raises(DataError, match=r"photos, which does not exist; ATTN_NAS_DATA is not set"):
        _resume(begun)
    assert len(Run(begun, data_root=moved).load_dataset().train) == 36
    assert len(_resume(begun, data_root=moved).candidates) == 3
    assert yaml.safe_load((begun / "space.yaml").read_text())["data"]["root"] == str(moved)
    assert len(Run(begun).load_dataset().train) == 36
    moved.rename(elsewhere)
    monkeypatch.setenv("ATTN_NAS_DATA", str(elsewhere))
    assert len(Run(begun).load_dataset().train) == 36
    monkeypatch.delenv("ATTN_NAS_DATA")
    written = (begun / "space.yaml").read_text()
    (begun / "space.yaml").write_text(written.replace(str(moved), "../../elsewhere"))
    assert len(Run(begun).load_dataset().train) == 36
    elsewhere.rename(project / "photos")
    assert len(_resume(begun, 4).candidates) == 4


def test_a_space_that_differs_in_the_place_of_its_data_is_the_same(begun, project):
    """Another setting of the data is not."""
    search = Search.load(begun, training=TableTrainer(TASK))
    space = load_space(project / "space.yaml")
    search.check(space=space.with_data_root("/elsewhere"))
    with pytest.raises(UsageError, match="begun with another search space"):
        search.check(space=space.with_data({"name": "image_folder", "root": "photos", "image_size": 16}))


def test_a_relative_root_is_relative_to_the_space_file(project, tmp_path, monkeypatch):
    """Whatever the working folder; the run keeps the absolute path. In Python it is relative to the working folder."""
    monkeypatch.chdir(tmp_path)
    assert load_space("project/space.yaml").data.root == str(project / "photos")
    run = _search(Search("project/space.yaml", run="run", training=TableTrainer(TASK)), 2)
    assert run.data.root == str(project / "photos")
    monkeypatch.chdir(project)
    space = load_space("space.yaml").with_data(DataSettings(name="image_folder", root="photos", image_size=8))
    inside = _search(Search(space, run="run", training=TableTrainer(TASK)), 2)
    monkeypatch.chdir(tmp_path)
    assert len(inside.load_dataset().train) == 36


def test_the_first_lines_of_a_search_say_what_happens_to_the_images(project):
    """Numbers, augmentation, and notes about the data; also in the event log."""
    (project / "photos" / "val").rename(project / "photos" / "others")
    events = []
    search = Search(project / "space.yaml", run=project / "run", training=TableTrainer(TASK))
    run = _search(search, 2, events.append)
    (started,) = (event for event in events if isinstance(event, SearchStarted))
    first, note = about_data(started)
    assert first == (
        "image_folder: 36 training and 4 validation images of 2 classes; training images are shifted by up to 1 pixels, not "
        "mirrored"
    )
    assert note.startswith("Note: There is no test split: ")
    assert run.to_dict()["augmentation"] == {
        "crop": 1,
        "flip": False,
        "cutout": 0,
        "resize": 1.0,
        "transforms": (),
    }


def test_the_test_split_is_that_which_was_read_first(begun, project, caplog):
    """Its digest is written into the run folder; images that change later are refused, a damaged digest too."""
    folder = RunFolder(begun)

    def read():
        return with_known_test(Setting(Run(begun).manifest, begun).dataset, folder).load_test()

    assert len(read()) == 8
    assert json.loads((begun / "test_split.json").read_text())["digest"]["images"] == 8
    assert len(read()) == 8
    first = project / "photos" / "val" / "cat" / "00.png"
    pixels = first.read_bytes()
    _blacken(first)
    with pytest.raises(DataError, match=r"earlier trainings of the run were scored on: the pixels of test images differ"):
        read()
    stored = json.loads((begun / "test_split.json").read_text())
    (begun / "test_split.json").write_text(json.dumps({**stored, "made_with": "Pillow 1.0"}))
    assert len(read()) == 8
    assert "Pixels of test images differ from those that the run was begun with. They were made with Pillow 1.0" in caplog.text
    first.write_bytes(pixels)
    (begun / "test_split.json").write_text("{}")
    with pytest.raises(RunError, match=r"test_split\.json cannot be read"):
        read()


@pytest.mark.parametrize("options", [["--plan"], ["--plan", "--json"], []])
def test_a_retraining_names_a_wrong_test_split_before_it_trains(begun, project, monkeypatch, options):
    """Also with the plan alone, from the names of the files: no image is read."""
    photos = project / "photos"
    monkeypatch.setattr("attn_nas.data.pixels.read_image", None)

    def message():
        ended = CliRunner().invoke(app, ["retrain", str(begun), "--seeds", "1", "--epochs", "1", "--workers", "1", *options])
        assert ended.exit_code == 1
        return ended.stderr

    shutil.move(photos / "val" / "cat", photos / "val" / "bird")
    assert f"{photos}/val has other classes than {photos}/train: without cat, with bird besides" in message()
    shutil.move(photos / "val", photos / "holdout")
    assert "no folder val or test (its folders: holdout, train)" in message()
    shutil.move(photos, project / "moved")
    assert "the files of image_folder are not found: data.root" in message()


def test_notes_about_the_images_stay_when_the_live_view_has_gone(project, monkeypatch):
    """On a terminal they are printed after the view, which shows them during the search, is taken away."""
    monkeypatch.setattr("attn_nas.terminal.console.can_redraw", lambda *consoles: True)
    monkeypatch.setattr("attn_nas.engine.session._proxy_trainer", lambda *setting: TableTrainer(TASK))
    (project / "photos" / "train" / "cat" / "late.heic").write_bytes(b"?")
    options = ["--budget", "2", "--confirm", "0", "--workers", "1", "--no-export", "--run", str(project / "run")]
    ended = CliRunner().invoke(app, ["search", "--space", str(project / "space.yaml"), *options])
    assert ended.exit_code == 0
    printed = " ".join(ended.stdout.split())
    assert "36 training and 4 validation images of 2 classes; training images are shifted by up to 1 pixels" in printed
    assert "Note: 1 file is skipped below" in printed
    assert printed.index("Note: 1 file is skipped below") < printed.index("Pick, not tested: ")
