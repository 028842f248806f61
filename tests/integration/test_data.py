"""Embedded data: same seed, same bytes; no scan shared; augmentation by batch."""

import time

import numpy as np
import pytest
import torch

from attn_nas.data import Augmentation, Dataset, Split, load_dataset
from attn_nas.data.augment import crop_and_flip, cutout, draw
from attn_nas.data.dataset import hold_out
from attn_nas.data.scans import scans
from attn_nas.errors import AttnNasError, DataError
from attn_nas.space.data_settings import DataSettings
from attn_nas.space.data_sources import data_source, dataset_names
from attn_nas.space.schema import SearchSpace
from attn_nas.space.task import Task

COMPOSED = ["cued_digits", "cluttered_digits"]


def _settings(name, **changes):
    return DataSettings(name=name, num_train=500, num_validation=300).model_copy(update=changes)


@pytest.mark.parametrize("name", COMPOSED)
def test_a_seed_makes_the_same_bytes(name):
    """Twice the same seed gives the same images and labels, another seed others, in every split."""
    one, two = (load_dataset(_settings(name, seed=1)) for _ in range(2))
    other = load_dataset(_settings(name, seed=2))
    for split in ("train", "validation"):
        assert torch.equal(getattr(one, split).images, getattr(two, split).images)
        assert torch.equal(getattr(one, split).labels, getattr(two, split).labels)
        assert not torch.equal(getattr(one, split).images, getattr(other, split).images)
    assert torch.equal(one.load_test().images, two.load_test().images)


@pytest.mark.parametrize("name", COMPOSED)
def test_twenty_thousand_images_take_less_than_three_seconds(name):
    """Composition is vectorised; the bound is far above what it takes."""
    start = time.process_time()
    load_dataset(_settings(name, num_train=20_000))
    assert time.process_time() - start < 3


def test_no_two_splits_share_a_scan():
    """Scans are divided before anything is composed, and all are used."""
    seen = [{scan.tobytes() for scan in scans(part)[0]} for part in ("train", "validation", "test")]
    assert sum(len(scans(part)[0]) for part in ("train", "validation", "test")) == 1797
    assert not seen[0] & seen[1]
    assert not seen[0] & seen[2]
    assert not seen[1] & seen[2]
    assert all(set(scans(part)[1]) == set(range(10)) for part in ("train", "validation", "test"))


@pytest.mark.parametrize("name", [*COMPOSED, "digits"])
def test_embedded_sets_are_balanced_and_shaped_as_they_say(name):
    """Images fit the task, every class is there, digits are never flipped."""
    dataset = load_dataset(_settings(name))
    task = dataset.task
    for split in (dataset.train, dataset.validation, dataset.load_test()):
        assert split.images.shape[1:] == (task.channels, task.height, task.width)
        assert split.images.dtype == torch.uint8
        assert set(split.labels.tolist()) == set(range(10))
    assert not dataset.augmentation.flip


def test_the_cue_names_the_digit_to_read():
    """Among the images whose digits differ clearly in hue, the commoner hue of the strip is that of the labelled side.

    The labelled side is found by a network's eye: a nearest scan of the same label is closer to it than to the other.
    """
    dataset = load_dataset(_settings("cued_digits", num_train=2000))
    images = dataset.train.images[:, :2].float() / 255
    pool, labels = scans("train")
    pool, labels = torch.from_numpy(pool).flatten(1), torch.from_numpy(labels)
    strip = images[:, :, :20].amax(1).sum(2).unfold(1, 3, 1).sum(2).argmax(1)
    hue = torch.stack([images[i, :, row : row + 3].sum((1, 2)) for i, row in enumerate(strip.tolist())]).argmax(1)
    right_side = 0
    for image, label, cue in zip(images, dataset.train.labels, hue, strict=True):
        distances = []
        for columns in (slice(0, 8), slice(8, 16)):
            digit = image[:, 20:, columns].amax(0).flatten()
            scaled = digit / digit.max()
            distances.append((pool[labels == label] - scaled).norm(dim=1).min().item())
        side = 0 if distances[0] < distances[1] else 1
        right_side += int(image[:, 20:, 8 * side : 8 * side + 8].sum((1, 2)).argmax() == cue)
    assert right_side / 2000 > 0.9


def test_too_many_plain_digits_are_refused():
    """The number of scans is finite."""
    with pytest.raises(DataError, match="digits has 1100 train scans"):
        load_dataset(_settings("digits", num_train=2000))


def test_hold_out_shares_no_image_and_checks_its_numbers():
    """A held-out image is not trained on; too small a pool is an error with the numbers."""
    pool = Split(torch.arange(100, dtype=torch.uint8).reshape(100, 1, 1, 1), torch.zeros(100, dtype=torch.int64))
    train, validation = hold_out(pool, 30, None, 0, "pool")
    assert len(train) == 70
    assert not set(train.images.flatten().tolist()) & set(validation.images.flatten().tolist())
    assert len(hold_out(pool, 30, 50, 0, "pool")[0]) == 50
    for wrong in ((100, None), (30, 71)):
        with pytest.raises(DataError, match="pool has 100 training images"):
            hold_out(pool, *wrong, 0, "pool")


def test_a_data_set_of_one_class_is_refused():
    """There is nothing to tell apart."""
    split = Split(torch.zeros(4, 1, 2, 2, dtype=torch.uint8), torch.zeros(4, dtype=torch.int64))
    with pytest.raises(DataError, match="has 1 class"):
        Dataset("one", Task(1, 2, 2, 1), split, split, Augmentation(), lambda: split)
    with pytest.raises(DataError, match=r"labels outside 0\.\.1"):
        Dataset("two", Task(1, 2, 2, 2), split, Split(split.images, split.labels + 7), Augmentation(), lambda: split)


def test_crop_and_flip_are_what_a_loop_would_do():
    """Each image is a window of its padded self, mirrored or not."""
    images = torch.rand(16, 3, 6, 5)
    wanted = Augmentation(crop=2, flip=True)
    changed = crop_and_flip(images, wanted, draw(wanted, 16, (6, 5), torch.Generator().manual_seed(0)))
    padded = np.pad(images.numpy(), ((0, 0), (0, 0), (2, 2), (2, 2)))
    mirrored = 0
    for before, after in zip(padded, changed.numpy(), strict=True):
        windows = [before[:, y : y + 6, x : x + 5] for y in range(5) for x in range(5)]
        plain = any(np.array_equal(after, window) for window in windows)
        flipped = any(np.array_equal(after, window[:, :, ::-1]) for window in windows)
        assert plain or flipped
        mirrored += flipped and not plain
    assert 2 <= mirrored <= 14


def test_cutout_blackens_one_square():
    """A square of the given side, cut at the border, is zero and nothing else is."""
    images = torch.ones(32, 2, 10, 10)
    wanted = Augmentation(cutout=4)
    changed = cutout(images, wanted, draw(wanted, 32, (10, 10), torch.Generator().manual_seed(0)))
    holes = (changed == 0).sum((2, 3))
    assert torch.equal(holes[:, 0], holes[:, 1])
    assert holes.max() == 16
    assert holes.min() >= 4


def test_no_augmentation_changes_nothing():
    """Digits pass as they are."""
    images = torch.rand(4, 3, 6, 6)
    draws = draw(Augmentation(), 4, (6, 6), torch.Generator())
    assert cutout(crop_and_flip(images, Augmentation(), draws), Augmentation(), draws) is images


def test_every_data_set_of_the_schema_has_a_loader():
    """The registry names functions that exist, and editors suggest its names."""
    suggested = DataSettings.model_json_schema()["properties"]["name"]["anyOf"][0]["enum"]
    assert suggested == dataset_names()
    assert all(callable(data_source(name).load.load()) for name in dataset_names())


def test_a_space_without_data_cannot_be_loaded():
    """The error says which data sets there are."""
    space = SearchSpace(trunk="cifar_resnet8", mechanisms=["se"])
    with pytest.raises(AttnNasError, match="the search space has no data: give data, choose from cued_digits"):
        load_dataset(space.data)
