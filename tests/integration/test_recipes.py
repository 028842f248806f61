"""Recipes of our training: optimizers, schedules, scores, class weights, augmentation, and data that stay on the CPU."""

import math

import pytest
import torch
from torch import nn

from attn_nas.data import Augmentation, Dataset, Split, load_dataset
from attn_nas.data.augment import draw, random_part
from attn_nas.data.transforms import transformed
from attn_nas.errors import DataError, SpaceError
from attn_nas.models.build import build_trunk
from attn_nas.space.data_settings import DataSettings
from attn_nas.space.genotype import Genotype
from attn_nas.space.schema import ProxySettings
from attn_nas.space.task import Task
from attn_nas.space.trunks import Trunk
from attn_nas.training import Numerics, images, train_until
from attn_nas.training.checkpoint import Checkpoint
from attn_nas.training.images import channel_statistics, on_device
from attn_nas.training.losses import class_weights, loss_of
from attn_nas.training.metrics import Meter
from attn_nas.training.optimizer import learning_rates
from attn_nas.training.scores import evaluate, metric_of
from attn_nas.training.step import TrainingStep

BARE = Genotype.bare(Trunk("cifar_resnet", 8, 4))


def _settings(**changes):
    return ProxySettings.model_validate({"epochs": 2, "batch_size": 32, "lr": 0.01, "precision": "fp32", **changes})


@pytest.fixture(scope="module")
def digits():
    """100 training images and 60 validation images."""
    return load_dataset(DataSettings(name="digits", num_train=100, num_validation=60))


def _random(kind, classes=3, number=24, ignored=None):
    """Noise in which the channel of a class is bright where the class is, with labels of a kind."""
    noise = torch.Generator().manual_seed(0)
    pixels = torch.randint(100, (number, 3, 8, 8), dtype=torch.uint8, generator=noise)
    if kind == "segmentation":
        labels = torch.randint(classes, (number, 8, 8), generator=noise)
        pixels += 100 * nn.functional.one_hot(labels, classes).permute(0, 3, 1, 2).to(torch.uint8)
        labels = labels.to(torch.uint8)
    else:
        labels = torch.arange(number) % classes
        there = nn.functional.one_hot(labels, classes).to(torch.uint8)
        if kind == "multi_label":
            labels = there = torch.randint(2, (number, classes), dtype=torch.uint8, generator=noise)
        pixels += 100 * there[:, :, None, None]
    if ignored is not None:
        labels[:, 0] = ignored
    split = Split(pixels, labels)
    augmentation = Augmentation(crop=1, flip=True)
    return Dataset("random", Task(3, 8, 8, classes, kind, ignored), split, split, augmentation, lambda: split)


@pytest.mark.parametrize("changes", [{"optimizer": "adamw"}, {"optimizer": "adamw", "averaging": "ema"}], ids=["plain", "ema"])
def test_a_training_in_parts_reaches_the_same_weights(digits, changes, tmp_path):
    """The moments of AdamW are kept too, also in a file."""
    settings = _settings(**changes)
    whole, model, _ = train_until(2, BARE, settings, 0, digits, Numerics())
    first, _, state = train_until(1, BARE, settings, 0, digits, Numerics())
    state.save(tmp_path / "state")
    rest, again, _ = train_until(2, BARE, settings, 0, digits, Numerics(), None, Checkpoint.load(tmp_path / "state"), first)
    assert rest.curve == whole.curve
    assert all(torch.equal(one, two) for one, two in zip(model.state_dict().values(), again.state_dict().values(), strict=True))
    assert whole.loss < math.log(10) + 0.2


def test_schedules_have_their_shapes():
    """All rise to the peak; a cosine falls to nearly 0, constant stays."""
    for schedule, last in (("one_cycle", 0.0), ("cosine", 0.0), ("constant", 0.01)):
        rates = learning_rates(_settings(schedule=schedule), 50)
        assert (len(rates), round(float(rates.max()), 6)) == (100, 0.01)
        assert rates[0] < 0.002
        assert float(rates[-1]) == pytest.approx(last, abs=1e-4)


def test_scores_are_those_of_a_loop():
    """Balanced accuracy, top 5, mean average precision and mean intersection over union, in two batches."""
    target = torch.tensor([0, 0, 0, 1])
    logits = torch.eye(7)[torch.tensor([0, 0, 1, 1])] + torch.linspace(0, 0.1, 7)

    def score(name, logits, target, **more):
        meter = Meter(name, logits.shape[1], **more)
        for part in (slice(0, 3), slice(3, None)):
            meter.add(logits[part], target[part])
        return meter.value()

    assert score("accuracy", logits, target) == 0.75
    assert score("balanced_accuracy", logits, target) == pytest.approx((2 / 3 + 1) / 2)
    assert score("top5", logits, torch.tensor([0, 0, 0, 0])) == 0.5
    chances = torch.tensor([[0.9, 0.1, 0.5], [0.8, 0.2, 0.5], [0.7, 0.3, 0.5], [0.6, 0.4, 0.5]])
    there = torch.tensor([[1, 0, 1], [0, 0, 0], [1, 1, 0], [0, 0, 1]])
    by_hand = [(1 / 1 + 2 / 3) / 2, 1 / 2, 2 / 4]
    assert score("mean_ap", chances, there) == pytest.approx(sum(by_hand) / 3)
    masks = torch.tensor([[[0, 1], [1, 9]]] * 4)
    said = torch.tensor([[0, 1], [0, 1]])
    one_hot = nn.functional.one_hot(said, 3).permute(2, 0, 1).float()[None].repeat(4, 1, 1, 1)
    assert score("mean_iou", one_hot, masks, ignored=9) == pytest.approx((1 / 2 + 1 / 2) / 2)
    assert score("accuracy", one_hot, masks, ignored=9) == pytest.approx(2 / 3)


@pytest.mark.parametrize(("kind", "ignored"), [("classification", None), ("multi_label", None), ("segmentation", 255)])
def test_each_kind_of_task_is_learned_and_scored(kind, ignored):
    """By the loss of its kind, with masks that move as their images do; ignored pixels have no gradient."""
    dataset = _random(kind, ignored=ignored)
    settings = _settings(optimizer="adamw", batch_size=12, class_weights="balanced")
    if kind == "segmentation":
        model = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 3, 1))
    else:
        model = build_trunk(Trunk("cifar_resnet", 8, 8), 3)
    found = on_device(dataset, Numerics())
    step = TrainingStep(model, found, settings, 12)
    before = evaluate(model, found, 12)
    model.train()
    for row in found.plan(12, torch.Generator().manual_seed(0)).repeat(30, 1, 1):
        step(row, torch.tensor(0.01))
    after = evaluate(model, found, 12)
    assert after.accuracy > before.accuracy + 0.1
    assert after.loss < before.loss
    if ignored is not None:
        loss = loss_of(dataset.task, settings, dataset.train)
        logits = torch.zeros(1, 3, 8, 8, requires_grad=True)
        loss(logits, dataset.train.labels[:1]).backward()
        assert not logits.grad[:, :, 0].any()
        assert logits.grad[:, :, 1:].any()


def test_class_weights():
    """In reverse proportion to the images, or as given; their number is checked, and a class without images."""
    dataset = _random("classification")
    split = Split(dataset.train.images[:6], torch.tensor([0, 0, 0, 1, 1, 2]))
    weights = class_weights(dataset.task, _settings(class_weights="balanced"), split)
    assert weights.mean() == pytest.approx(1)
    assert torch.allclose(weights * torch.tensor([3, 2, 1]), weights[2].expand(3))
    assert class_weights(dataset.task, _settings(class_weights=[1, 2, 3]), split).tolist() == [1, 2, 3]
    with pytest.raises(DataError, match=r"proxy\.class_weights has 2 weights for 3 classes"):
        class_weights(dataset.task, _settings(class_weights=[1, 2]), split)
    with pytest.raises(DataError, match="there are no training images of the classes 2"):
        class_weights(dataset.task, _settings(class_weights="balanced"), Split(split.images[:5], split.labels[:5]))
    with pytest.raises(DataError, match=r"proxy\.metric = mean_iou is not for the classification of these data: choose from"):
        metric_of(_settings(metric="mean_iou"), dataset.task)


def test_images_that_do_not_fit_are_copied_ahead(digits, monkeypatch):
    """A training whose images stay outside the device is bit by bit the same, in order."""
    settings = _settings()
    resident, model, _ = train_until(2, BARE, settings, 3, digits, Numerics())
    monkeypatch.setattr(images, "usable_memory", lambda: 0)
    on_device.cache_clear()
    assert on_device(digits, Numerics()).streamed
    streamed, same, _ = train_until(2, BARE, settings, 3, digits, Numerics())
    on_device.cache_clear()
    assert streamed.curve == resident.curve
    assert streamed.loss_curve == resident.loss_curve
    assert all(torch.equal(one, two) for one, two in zip(model.state_dict().values(), same.state_dict().values(), strict=True))


def test_statistics_do_not_depend_on_the_bits():
    """8 bits, 16 bits and floats of the same pixels have the same mean and deviation as shares of 1."""
    small = torch.randint(256, (10, 2, 4, 4), dtype=torch.uint8)
    labels = torch.zeros(10, dtype=torch.int64)
    expected = [each / 255 for each in channel_statistics(Split(small, labels))]
    for pixels in ((small.int() * 257).to(torch.uint16), small.float() / 255):
        split = Split(pixels, labels)
        found = [each / split.scale for each in channel_statistics(split)]
        assert all(torch.allclose(each, wanted) for each, wanted in zip(found, expected, strict=True))


def test_a_random_part_fills_the_image():
    """Of at least the given share of the area; a mask keeps its classes and moves with its image."""
    wanted = Augmentation(resize=0.25)
    draws = draw(wanted, 64, (8, 8), torch.Generator().manual_seed(0))
    assert draws.shape[0] == 8
    rising = torch.arange(8.0).expand(64, 1, 8, 8)
    part = random_part(rising, wanted, draws)
    width = part[:, 0, 0, -1] - part[:, 0, 0, 0]
    assert width.min() >= 3
    assert width.max() <= 7
    masks = random_part((rising > 3).float(), wanted, draws, mode="nearest")
    assert set(masks.unique().tolist()) <= {0.0, 1.0}
    assert ((part > 3.5) == (masks > 0.5)).float().mean() > 0.9
    assert random_part(rising, Augmentation(), draws) is rising


def test_transforms_of_torchvision_by_name():
    """They change images, and masks with them, equally for equal seeds; wrong names and arguments are refused."""
    pixels = torch.randint(256, (4, 3, 8, 8), dtype=torch.uint8)
    masks = pixels[:, 0] // 64
    named = (("RandomHorizontalFlip", '{"p": 1.0}'), ("ColorJitter", '{"brightness": 0.5}'))
    torch.manual_seed(0)
    one, moved = transformed(pixels, masks, named)
    torch.manual_seed(0)
    two, _ = transformed(pixels, masks, named)
    assert torch.equal(one, two)
    assert torch.equal(moved, masks.flip(-1))
    for wrong, message in (
        (("ColourJitter", "{}"), r"has no ColourJitter: choose from .*\(did you mean ColorJitter\?\)"),
        (("ColorJitter", '{"light": 1}'), 'ColorJitter does not take {"light": 1}'),
        (("Resize", '{"size": [4, 4]}'), r"Resize makes \(3, 4, 4\) of \(3, 8, 8\): choose a transform that keeps"),
    ):
        with pytest.raises(SpaceError, match=message):
            transformed(pixels, masks, (wrong,))


def test_candidates_start_from_the_weights_of_the_recipe(digits, tmp_path):
    """Also the trainer of a search; both ways of beginning at once are refused."""
    from safetensors.torch import save_file

    from attn_nas.data.arrays import share_dataset
    from attn_nas.training.trainer import ProxyTrainer

    save_file(build_trunk(BARE.trunk, 10, 1).state_dict(), tmp_path / "trunk.safetensors")
    share_dataset(digits, tmp_path / "data")
    settings = _settings(weights=str(tmp_path / "trunk.safetensors"))
    trainer = ProxyTrainer(settings, Numerics(), 1, tmp_path / "data", tmp_path / "trunks")
    assert trainer._start(BARE, 0).weights.keys() == build_trunk(BARE.trunk, 10, 1).state_dict().keys()
    assert "pretrained.safetensors" in trainer.ships()
    with pytest.raises(ValueError, match=r"set proxy\.warm_epochs to 0"):
        _settings(weights="file", warm_epochs=1)
