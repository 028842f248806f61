"""The proxy run: what it gives, that it repeats itself, and how it fails."""

import dataclasses

import pytest
import torch

from attn_nas.data import Augmentation, load_dataset
from attn_nas.errors import DataError, DeviceError
from attn_nas.proxy import Numerics, ProxyFailure, ProxyResult, choose_numerics, train_proxy
from attn_nas.proxy import train as train_module
from attn_nas.proxy.device import has_bf16, resolve_device
from attn_nas.space.genotype import Genotype, Placement
from attn_nas.space.schema import DataSettings, ProxySettings
from attn_nas.space.trunks import Trunk

TRUNK = Trunk("cifar_resnet", 8, 8)
BARE = Genotype.bare(TRUNK)
FP32 = Numerics()


@pytest.fixture(scope="module")
def dataset():
    """1,100 real digits of 8 x 8 pixels."""
    return load_dataset(DataSettings(name="digits"))


def _settings(**changes):
    return ProxySettings.model_validate({"epochs": 2, "batch_size": 50, "lr": 0.1, **changes})


def test_a_short_run_learns_and_reports(dataset):
    """Accuracy far above chance, one point of the curve per epoch, told while it runs."""
    told = []
    result, model = train_proxy(BARE, _settings(epochs=4), 0, dataset, FP32, lambda *epoch: told.append(epoch))
    assert result.accuracy > 0.6
    assert result.curve[-1] == result.accuracy
    assert told == list(enumerate(result.curve, start=1))
    assert len(result.train_loss) == 4
    assert result.train_loss[-1] < result.train_loss[0]
    assert result.seconds > 0
    assert result.peak_memory_mb > 0
    assert result.micro_batch == 50
    assert not model.training
    assert ProxyResult.from_dict(result.to_dict()) == result


def test_the_same_seed_gives_the_same_numbers(dataset):
    """Bitwise, weights included; another seed gives others."""
    genotype = Genotype(TRUNK, (Placement("se", reduction=4), None, Placement("gsop", reduction=2)))
    (one, model_one), (two, model_two) = (train_proxy(genotype, _settings(), 1, dataset, FP32) for _ in range(2))
    assert (one.curve, one.loss, one.train_loss) == (two.curve, two.loss, two.train_loss)
    for a, b in zip(model_one.state_dict().values(), model_two.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    assert train_proxy(genotype, _settings(), 2, dataset, FP32)[0].loss != one.loss


def test_candidates_of_a_seed_see_the_same_batches(dataset, monkeypatch):
    """Order and augmentation do not depend on the placements."""
    flipping = dataclasses.replace(dataset, augmentation=Augmentation(crop=1, flip=True, cutout=2))
    seen = []
    original = train_module.augment

    def spy(*arguments):
        seen.append(original(*arguments))
        return seen[-1]

    monkeypatch.setattr(train_module, "augment", spy)
    for genotype in (BARE, Genotype(TRUNK, (Placement("cbam", reduction=4, kernel_size=3), None, None))):
        train_proxy(genotype, _settings(epochs=1), 5, flipping, FP32)
    half = len(seen) // 2
    assert half == 22
    assert all(torch.equal(a, b) for a, b in zip(seen[:half], seen[half:], strict=True))


def test_divergence_is_a_failure_with_its_reason(dataset):
    """An absurd learning rate ends the run and says so."""
    with pytest.raises(ProxyFailure, match=r"diverged in epoch 1: the training loss is (nan|inf)"):
        train_proxy(BARE, _settings(lr=1e20), 0, dataset, FP32)


def test_too_few_images_or_steps_are_refused(dataset):
    """The message names the numbers and what to change."""
    with pytest.raises(DataError, match="batch_size = 2000 is larger than the 1100 training images"):
        train_proxy(BARE, _settings(batch_size=2000), 0, dataset, FP32)
    with pytest.raises(DataError, match="are 2 steps: train for at least 4"):
        train_proxy(BARE, _settings(batch_size=1000), 0, dataset, FP32)


def test_the_shortest_schedules_work(dataset):
    """Four steps at any share of warm-up: the one-cycle schedule needs two rising steps."""
    for warmup in (0.01, 0.25, 0.5, 0.9):
        assert train_proxy(BARE, _settings(epochs=4, batch_size=1000, warmup=warmup), 0, dataset, FP32)[0].accuracy > 0


def test_out_of_memory_is_retried_at_half_the_micro_batch(dataset, monkeypatch):
    """The second try accumulates gradients over halves and still learns; the epochs are told anew from the first."""
    original = train_module._step

    def tight(model, images, indices, generator, settings, numerics, micro_batch):
        if micro_batch > 25:
            raise torch.OutOfMemoryError("no memory")
        return original(model, images, indices, generator, settings, numerics, micro_batch)

    monkeypatch.setattr(train_module, "_step", tight)
    result, _ = train_proxy(BARE, _settings(epochs=4), 0, dataset, FP32)
    assert result.micro_batch == 25
    assert result.accuracy > 0.5


def test_out_of_memory_twice_is_a_failure(dataset, monkeypatch):
    """The reason names the micro-batch that was tried; any other error is not swallowed."""
    for error in (torch.OutOfMemoryError("x"), MemoryError(), RuntimeError("CUDA out of memory. Tried to allocate")):

        def exhausted(*arguments, error=error):
            raise error

        monkeypatch.setattr(train_module, "_step", exhausted)
        with pytest.raises(ProxyFailure, match="also with micro-batches of 25"):
            train_proxy(BARE, _settings(), 0, dataset, FP32)

    def broken(*arguments):
        raise RuntimeError("something else")

    monkeypatch.setattr(train_module, "_step", broken)
    with pytest.raises(RuntimeError, match="something else"):
        train_proxy(BARE, _settings(), 0, dataset, FP32)


def test_accumulated_gradients_equal_those_of_the_whole_batch(dataset):
    """Without batch statistics in between, halves add up to the whole."""
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))
    images = train_module._on_device(dataset, FP32)
    gradients = []
    for micro_batch in (50, 20):
        model.zero_grad()
        train_module._step(model, images, torch.arange(50), torch.Generator(), _settings(), FP32, micro_batch)
        gradients.append(model[1].weight.grad.clone())
    torch.testing.assert_close(*gradients)


def test_micro_batches_are_never_smaller_than_asked(dataset):
    """A rest of one image, which a batch norm cannot train on, goes to the others."""
    sizes = []
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))
    model.register_forward_pre_hook(lambda module, inputs: sizes.append(len(inputs[0])))
    images = train_module._on_device(dataset, FP32)
    train_module._step(model, images, torch.arange(5), torch.Generator(), _settings(), FP32, 2)
    assert sizes == [3, 2]


@pytest.mark.skipif(not has_bf16("cpu"), reason="this processor has no bf16 instructions")
def test_bf16_scores_like_fp32(dataset):
    """Reduced precision changes the accuracy by a few points at most."""
    scores = [
        train_proxy(BARE, _settings(epochs=4), 0, dataset, Numerics("cpu", precision, last))[0].accuracy
        for precision, last in (("fp32", False), ("bf16", True))
    ]
    assert abs(scores[0] - scores[1]) < 0.1


def test_numerics_follow_the_hardware_and_repeat_themselves(monkeypatch):
    """One rule per kind of processor, a wish is honoured, and the choice survives being stored."""
    for bf16, amx, expected in (
        (True, True, Numerics("cpu", "bf16", True)),
        (True, False, Numerics("cpu", "bf16", False)),
        (False, False, Numerics("cpu", "fp32", True)),
    ):
        monkeypatch.setattr("attn_nas.proxy.device.has_bf16", lambda device, bf16=bf16: bf16)
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda amx=amx: amx)
        assert choose_numerics("cpu", "auto") == expected
        assert choose_numerics("cpu", "fp32") == Numerics("cpu", "fp32", True)
        assert Numerics.from_dict(expected.to_dict()) == expected


def test_bf16_without_the_instructions_is_an_error(monkeypatch):
    """It is refused, not emulated."""
    monkeypatch.setattr("attn_nas.proxy.device.has_bf16", lambda device: False)
    with pytest.raises(DeviceError, match="no bf16 instructions"):
        choose_numerics("cpu", "bf16")


def test_a_missing_gpu_is_an_error(monkeypatch):
    """CUDA is never replaced in silence."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(DeviceError, match="no CUDA device is available"):
        resolve_device("cuda")
    with pytest.raises(DeviceError, match="choose from auto, cpu, cuda"):
        resolve_device("tpu")
    assert resolve_device("auto") == "cpu"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_scores_like_the_cpu(dataset):
    """The same run on the GPU learns as well, and reports the device's memory."""
    settings = _settings(epochs=4)
    on_gpu, model = train_proxy(BARE, settings, 0, dataset, Numerics("cuda", "bf16", True))
    on_cpu, _ = train_proxy(BARE, settings, 0, dataset, FP32)
    assert abs(on_gpu.accuracy - on_cpu.accuracy) < 0.1
    assert on_gpu.peak_memory_mb > 0
    assert all(tensor.device.type == "cpu" for tensor in model.state_dict().values())


def test_results_are_frozen():
    """A result cannot be changed after the fact."""
    result = ProxyResult(0.5, 1.0, (0.5,), (1.0,), 1.0, 1.0, 8, 0)
    with pytest.raises(dataclasses.FrozenInstanceError):
        result.accuracy = 0.9
