"""Folders of images: what is held out of them, what is not mirrored, what is told of their test split, where they are."""

import logging
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from attn_nas.data import load_dataset
from attn_nas.data.augment import augmentation_of
from attn_nas.data.dataset import Split, hold_out
from attn_nas.data.rules import DataRules
from attn_nas.data.splits import notes_of_equal, stratified_division
from attn_nas.errors import DataError
from attn_nas.space.data_settings import DataSettings

FIRST = DataRules(decoding=1, split=1, digest=0, augmentation=1)


def _fill(folder, number, seed=0):
    """So many different images of noise."""
    noise = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    for index in range(number):
        Image.fromarray(noise.integers(256, size=(8, 8, 3), dtype=np.uint8)).save(folder / f"{index:02}.png")


@pytest.fixture
def photos(tmp_path):
    """Forty cats, eight dogs and two owls to train on; two of each in val."""
    for seed, (name, number) in enumerate({"cat": 40, "dog": 8, "owl": 2}.items()):
        _fill(tmp_path / "photos" / "train" / name, number, seed)
        _fill(tmp_path / "photos" / "val" / name, 2, 10 + seed)
    return tmp_path / "photos"


def _settings(root, **changes):
    return DataSettings.model_validate({"name": "image_folder", "root": str(root), "image_size": 8, **changes})


def _by_class(split):
    return torch.bincount(split.labels, minlength=3).tolist()


def test_each_class_has_its_share_of_both_splits(photos):
    """Also a class of two images; no image is in both, and those of all classes are mixed."""
    dataset = load_dataset(_settings(photos, num_validation=10))
    assert (_by_class(dataset.validation), _by_class(dataset.train)) == ([8, 1, 1], [32, 7, 1])
    assert not {*dataset.train.hashes} & {*dataset.validation.hashes}
    assert dataset.train.labels.tolist() != sorted(dataset.train.labels.tolist())
    fewer = load_dataset(_settings(photos, num_validation=5, num_train=10))
    assert (_by_class(fewer.validation), _by_class(fewer.train)) == ([3, 1, 1], [8, 1, 1])
    assert dataset.classes == ("cat", "dog", "owl")
    assert dataset.notes == ()


@pytest.mark.parametrize("seed", range(20))
def test_shares_are_proportional_whatever_the_numbers(seed):
    """Random counts and numbers: exact totals, at least one image each, within one of the share where that allows it."""
    draw = np.random.default_rng(seed)
    counts = draw.integers(2, 60, size=draw.integers(2, 12))
    labels = np.repeat(np.arange(len(counts)), counts).tolist()
    number = int(draw.integers(len(counts), len(labels) - len(counts) + 1))
    train, validation = stratified_division(labels, [*map(str, range(len(counts)))], number, None, seed, "x")
    assert sorted([*train.tolist(), *validation.tolist()]) == [*range(len(labels))]
    held = np.bincount(np.array(labels)[validation], minlength=len(counts))
    assert held.sum() == number
    assert ((held >= 1) & (held < counts)).all()
    if (counts * number / len(labels)).min() >= 1 and (counts - counts * number / len(labels)).min() >= 1:
        assert (abs(held - counts * number / len(labels)) <= 1).all()


def test_a_run_of_the_first_rule_keeps_its_split_exactly(photos):
    """It draws from all images, twice; the same files with the same labels in the same order."""
    kept = load_dataset(_settings(photos, num_validation=10, num_train=30, seed=3), rules=FIRST)
    files = [
        (path, label)
        for label, name in enumerate(("cat", "dog", "owl"))
        for path in sorted((photos / "train" / name).iterdir())
    ]
    order = torch.randperm(len(files), generator=torch.Generator().manual_seed(3))[:40].tolist()
    pixels = [torch.from_numpy(np.array(Image.open(files[i][0]))).permute(2, 0, 1) for i in order]
    pool = Split(torch.stack(pixels), torch.tensor([files[i][1] for i in order]))
    train, validation = hold_out(pool, 10, 30, 3, "photos")
    assert torch.equal(kept.train.images, train.images)
    assert torch.equal(kept.validation.images, validation.images)
    assert torch.equal(kept.validation.labels, validation.labels)


def test_a_class_without_images_for_both_splits_is_named(photos):
    """With its number of images; numbers that leave classes without images are refused with the least that works."""
    next((photos / "train" / "owl").iterdir()).unlink()
    with pytest.raises(DataError, match=r"one image for training and one for validation.*fewer: owl \(1\)\. Add images, or"):
        load_dataset(_settings(photos))
    (note,) = load_dataset(_settings(photos), rules=FIRST).notes
    assert note == "There are no validation images of dog, owl: choose more in data.num_train, data.num_validation"
    shutil.rmtree(photos / "train" / "owl")
    shutil.rmtree(photos / "val" / "owl")
    with pytest.raises(DataError, match=r"1 validation images leave some of the 2 classes without any.*at least 2"):
        load_dataset(_settings(photos, num_validation=1))
    with pytest.raises(DataError, match=r"1 training images leave some of the 2 classes without any"):
        load_dataset(_settings(photos, num_train=1))
    assert _by_class(load_dataset(_settings(photos, num_validation=2)).validation)[:2] == [1, 1]


def test_equal_images_in_two_splits_are_told_with_their_files(photos, caplog):
    """Between training and validation before a search, with the test split when that is read; labels that differ too."""
    for name in ("dog", "owl"):
        shutil.rmtree(photos / "train" / name)
    _fill(photos / "train" / "dog", 1, 1)
    shutil.copy(photos / "train" / "dog" / "00.png", photos / "train" / "dog" / "copy.png")
    _fill(photos / "train" / "owl", 3, 2)
    dataset = load_dataset(_settings(photos))
    (note,) = dataset.notes
    assert note.startswith("1 of 4 validation images have the same pixels as training images: ")
    assert "train/dog/00.png" in note
    assert "train/dog/copy.png" in note
    shutil.copy(photos / "train" / "cat" / "00.png", photos / "val" / "dog" / "00.png")
    with caplog.at_level(logging.WARNING):
        load_dataset(_settings(photos)).load_test()
    (told,) = [record.message for record in caplog.records]
    assert told.startswith("1 of 6 test images have the same pixels as")
    assert "1 of them with another label" in told
    assert "val/dog/00.png" in told


def test_equal_images_without_files_are_told_by_position():
    """Up to three pairs."""
    images = torch.arange(5, dtype=torch.uint8).view(5, 1, 1, 1).expand(5, 1, 2, 2).contiguous()
    split = Split(images, torch.zeros(5, dtype=torch.int64))
    (note,) = notes_of_equal({"training": split, "validation": split.take(torch.tensor([4, 3, 2, 1]))})
    assert note.startswith("4 of 4 validation images")
    assert note.endswith("(4 = 0, 3 = 1, 2 = 2, ...)")


def test_equal_images_with_different_labels_in_one_split_are_told():
    """As where the images of one class were copied into the folder of another."""
    images = torch.tensor([1, 2, 3, 1, 2], dtype=torch.uint8).view(5, 1, 1, 1)
    split = Split(images, torch.tensor([0, 0, 0, 1, 0]))
    (note,) = notes_of_equal({"training": split}, {"training": ["a", "b", "c", "d", "e"]})
    assert note.startswith("1 of 5 training images have the same pixels as an image with another label")
    assert note.endswith("(d = a)")


def test_folders_are_mirrored_only_where_the_space_says_so(photos):
    """Off for folders unless set, on in runs that were begun when it was; the fixed data sets as published."""
    settings = _settings(photos)
    assert not load_dataset(settings).augmentation.flip
    assert load_dataset(_settings(photos, augment={"mirror": True})).augmentation.flip
    assert augmentation_of(settings, FIRST).flip
    assert not augmentation_of(_settings(photos, augment={"mirror": False}), FIRST).flip
    flips = {
        name: augmentation_of(DataSettings(name=name), DataRules()).flip for name in ("cifar10", "cifar100", "svhn", "digits")
    }
    assert flips == {"cifar10": True, "cifar100": True, "svhn": False, "digits": False}
    cifar = DataSettings.model_validate({"name": "cifar10", "augment": {"mirror": False, "crop": 0}})
    assert str(augmentation_of(cifar, DataRules())) == "not shifted, not mirrored"
    assert str(load_dataset(_settings(photos, augment={"mirror": True})).augmentation) == (
        "shifted by up to 1 pixels, half of them mirrored left to right"
    )


def test_the_test_split_is_val_or_test(photos):
    """Its images are not read before it is asked for; with both folders a note says which is read."""
    (photos / "val").rename(photos / "test")
    (photos / "test" / "cat" / "00.png").write_bytes(b"no image")
    dataset = load_dataset(_settings(photos))
    assert dataset.notes == ()
    with pytest.raises(DataError, match=r"test/cat/00\.png"):
        dataset.load_test()
    (photos / "test" / "cat" / "00.png").unlink()
    assert len(dataset.load_test()) == 5
    shutil.copytree(photos / "test", photos / "val")
    (note,) = load_dataset(_settings(photos)).notes
    assert note == "The test split is the folder val; the folder test is not read"


def test_a_test_split_that_is_missing_or_has_other_classes_is_told_before_the_search(photos):
    """With the folders that there are, and the classes that differ; reading it is an error that says the same."""
    (photos / "val" / "owl").rename(photos / "val" / "fox")
    dataset = load_dataset(_settings(photos))
    (note,) = dataset.notes
    assert "val has other classes than" in note
    assert "without owl, with fox besides. Give both folders the same classes" in note
    assert note.endswith("A search does not need a test split, a full training (retrain) does")
    with pytest.raises(DataError, match="without owl, with fox besides"):
        dataset.load_test()
    (photos / "val").rename(photos / "held-out")
    (note,) = load_dataset(_settings(photos)).notes
    assert "has no folder val or test (its folders: held-out, train)" in note


def test_the_folder_is_the_given_one_else_that_of_the_space_else_that_of_the_environment(photos, tmp_path, monkeypatch):
    """The error for none of them names all that were tried."""
    moved = tmp_path / "moved"
    assert len(load_dataset(_settings(tmp_path / "gone"), data_root=photos).train) == 45
    monkeypatch.setenv("ATTN_NAS_DATA", str(moved))
    assert len(load_dataset(_settings(photos)).train) == 45
    photos.rename(moved)
    assert len(load_dataset(_settings(photos)).train) == 45
    monkeypatch.delenv("ATTN_NAS_DATA")
    with pytest.raises(
        DataError, match=r"data\.root .* is .*photos, which does not exist; ATTN_NAS_DATA is not set.*data_root"
    ):
        load_dataset(_settings(photos))
    with pytest.raises(DataError, match=r"the given data root is .*nowhere, which does not exist"):
        load_dataset(_settings(photos), data_root=tmp_path / "nowhere")
