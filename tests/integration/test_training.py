"""The proxy run: what it gives, that it repeats itself, and how it fails."""

import dataclasses
import os
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from attn_nas.data import Augmentation, load_dataset
from attn_nas.errors import DataError, DeviceError
from attn_nas.models.build import build_model
from attn_nas.space.data_settings import DataSettings
from attn_nas.space.genotype import Genotype, Placement
from attn_nas.space.schema import ProxySettings
from attn_nas.space.trunks import Trunk
from attn_nas.training import (
    Checkpoint,
    Numerics,
    ProxyFailure,
    ProxyResult,
    choose_numerics,
    measure_throughput,
    profile_step,
    step_profile,
    train_proxy,
    train_until,
    warm_trunk,
)
from attn_nas.training.device import has_bf16, resolve_device
from attn_nas.training.images import DeviceImages, on_device, training_size
from attn_nas.training.optimizer import Averaging, learning_rates, make_optimizer
from attn_nas.training.scores import Scores, evaluate
from attn_nas.training.step import TrainingStep
from attn_nas.training.step_profile import step_memory

TRUNK = Trunk("cifar_resnet", 8, 8)
BARE = Genotype.bare(TRUNK)
FP32 = Numerics()


@pytest.fixture(autouse=True)
def _many_rounds(many_rounds, monkeypatch):
    """Networks are timed as in a search."""
    monkeypatch.setattr(step_profile, "_ROUNDS", many_rounds)


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
    assert result.cpu_seconds > 0
    assert result.peak_memory_mb > 0
    assert result.micro_batch == 50
    assert (result.loss_curve[-1], result.margin_curve[-1]) == (result.loss, result.margin)
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


def test_dropout_follows_the_seed_and_leaves_the_caller_alone(dataset):
    """Two runs of a trunk with dropout agree to the bit, wherever the global generator stands, and do not move it."""
    colour = load_dataset(DataSettings(name="cluttered_digits", num_train=96, num_validation=40))
    genotype = Genotype.bare(Trunk("mobilenet_v2", 53, 8))
    losses = []
    for number in range(2):
        torch.manual_seed(number)
        before = torch.random.get_rng_state()
        losses.append(train_proxy(genotype, _settings(epochs=2, batch_size=32), 0, colour, FP32)[0].train_loss)
        assert torch.equal(torch.random.get_rng_state(), before)
    assert losses[0] == losses[1]


def test_candidates_of_a_seed_see_the_same_batches(dataset, monkeypatch):
    """Order and augmentation do not depend on the placements."""
    flipping = dataclasses.replace(dataset, augmentation=Augmentation(crop=1, flip=True, cutout=2))
    seen = []
    original = DeviceImages.batch

    def spy(images, row, size, gathered=None):
        seen.append(original(images, row, size, gathered))
        return seen[-1]

    monkeypatch.setattr(DeviceImages, "batch", spy)
    for genotype in (BARE, Genotype(TRUNK, (Placement("cbam", reduction=4, kernel_size=3), None, None))):
        train_proxy(genotype, _settings(epochs=1), 5, flipping, FP32)
    half = len(seen) // 2
    assert half == 22
    for one, other in zip(seen[:half], seen[half:], strict=True):
        assert torch.equal(one[0], other[0])
        assert torch.equal(one[1], other[1])


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
    original = TrainingStep.__init__

    def tight(step, model, images, settings, micro_batch):
        if micro_batch > 25:
            raise torch.OutOfMemoryError("no memory")
        original(step, model, images, settings, micro_batch)

    monkeypatch.setattr(TrainingStep, "__init__", tight)
    result, _ = train_proxy(BARE, _settings(epochs=4), 0, dataset, FP32)
    assert result.micro_batch == 25
    assert result.accuracy > 0.5


def test_out_of_memory_twice_is_a_failure(dataset, monkeypatch):
    """The reason names the micro-batch that was tried; any other error is not swallowed."""
    for error in (torch.OutOfMemoryError("x"), MemoryError(), RuntimeError("CUDA out of memory. Tried to allocate")):

        def exhausted(*arguments, error=error):
            raise error

        monkeypatch.setattr(TrainingStep, "add_gradients", exhausted)
        with pytest.raises(ProxyFailure, match="also with micro-batches of 25"):
            train_proxy(BARE, _settings(), 0, dataset, FP32)

    def broken(*arguments):
        raise RuntimeError("something else")

    monkeypatch.setattr(TrainingStep, "add_gradients", broken)
    with pytest.raises(RuntimeError, match="something else"):
        train_proxy(BARE, _settings(), 0, dataset, FP32)


def _linear():
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))


def test_accumulated_gradients_equal_those_of_the_whole_batch(dataset):
    """Without batch statistics in between, halves add up to the whole."""
    model, images = _linear(), on_device(dataset, FP32)
    gradients = []
    for micro_batch in (50, 20):
        step = TrainingStep(model, images, _settings(), micro_batch)
        step._row.copy_(images.plan(50, torch.Generator().manual_seed(0))[0])
        model.zero_grad()
        step.add_gradients()
        gradients.append(model[1].weight.grad.clone())
    torch.testing.assert_close(*gradients)


def test_micro_batches_are_never_smaller_than_asked(dataset):
    """A rest of one image, which a batch norm cannot train on, goes to the others."""
    sizes = []
    model = _linear()
    model.register_forward_pre_hook(lambda module, inputs: sizes.append(len(inputs[0])))
    TrainingStep(model, on_device(dataset, FP32), _settings(batch_size=5), 2).add_gradients()
    assert sizes == [3, 2]


def test_a_step_is_what_plain_sgd_does(dataset):
    """Fused, with the rate as a tensor, and batches by plan: the same weights as a written-out loop."""
    images, settings = on_device(dataset, FP32), _settings(epochs=1)
    ours, plain = _linear(), _linear()
    plain.load_state_dict(ours.state_dict())
    step = TrainingStep(ours, images, settings, 50)
    optimizer = torch.optim.SGD(
        [{"params": [plain[1].weight]}, {"params": [plain[1].bias], "weight_decay": 0.0}],
        lr=0.1, momentum=0.9, nesterov=True, weight_decay=settings.weight_decay,
    )  # fmt: skip
    plan = images.plan(50, torch.Generator().manual_seed(3))
    rates = learning_rates(settings, len(plan))
    for row, rate in zip(plan, rates, strict=True):
        step(row, rate)
        optimizer.zero_grad()
        pixels = dataset.train.images[row[0]].float()
        inputs = (pixels - images.mean) / images.std
        torch.nn.functional.cross_entropy(plain(inputs), dataset.train.labels[row[0]]).backward()
        for group in optimizer.param_groups:
            group["lr"] = rate.item()
        optimizer.step()
    torch.testing.assert_close(ours.state_dict(), plain.state_dict())
    assert rates.argmax() in (5, 6)
    assert rates.max() == pytest.approx(0.1, rel=0.01)
    assert rates[-1] < rates[0] < 0.01


def test_an_epoch_covers_the_images_once(dataset):
    """Every image at most once, whole batches only, and another epoch in another order."""
    images, generator = on_device(dataset, FP32), torch.Generator().manual_seed(0)
    first, second = images.plan(64, generator), images.plan(64, generator)
    assert first.shape == (17, 6, 64)
    assert len(first[:, 0].unique()) == 17 * 64
    assert not torch.equal(first, second)


class ReplayedStep:
    """Stands for a captured CUDA graph: a replay trains on what lies in the step's buffers."""

    def __init__(self, step):
        self._step, self.replays = step, 0

    def replay(self):
        self.replays += 1
        self._step._train()


def test_a_captured_step_is_replayed_and_a_failed_capture_goes_on(dataset, monkeypatch):
    """After three eager steps of a size the capture is tried once; with it and without it the numbers are the eager ones."""
    settings = _settings(epochs=1)
    images = on_device(dataset, FP32)
    plan = images.plan(50, torch.Generator().manual_seed(3))
    rates = learning_rates(settings, len(plan))
    states = []
    for mode in ("eager", "captured", "failed"):
        model = build_model(BARE, 10, 1, seed=0)
        step = TrainingStep(model, images, settings, 50)
        graph = ReplayedStep(step)
        if mode != "eager":
            step._stream = "a stream"
            monkeypatch.setattr(TrainingStep, "_on_stream", staticmethod(lambda call, stream: call()))
            monkeypatch.setattr(step, "_captured", lambda mode=mode, graph=graph: graph if mode == "captured" else None)
        for row, rate in zip(plan, rates, strict=True):
            step(row, rate)
        assert graph.replays == (len(plan) - 3 if mode == "captured" else 0)
        states.append(model.state_dict())
        step.resize(images.size)
        assert (step._graph is graph) == (mode == "captured")
        step.resize((4, 4))
        assert (step._graph, step._done) == (None, 0)
    for other in states[1:]:
        torch.testing.assert_close(states[0], other, rtol=0, atol=0)


def test_a_capture_that_fails_is_told_in_one_line(dataset, monkeypatch, caplog):
    """The notice names the first reason, the stream is restored, and this process captures no more."""
    step = TrainingStep(_linear(), on_device(dataset, FP32), _settings(), 50)
    streams = []

    @contextmanager
    def capture(*arguments, **options):
        try:
            yield
        finally:
            raise RuntimeError("the capture was invalidated")

    def synchronise():
        raise RuntimeError("operation not permitted when stream is capturing\nand more")

    monkeypatch.setattr(torch.cuda, "CUDAGraph", object)
    monkeypatch.setattr(torch.cuda, "graph", capture)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda: "the current one")
    monkeypatch.setattr(torch.cuda, "set_stream", streams.append)
    monkeypatch.setattr(TrainingStep, "capture_failed", False)
    monkeypatch.setattr(step, "_train", synchronise)
    assert step._captured() is None
    assert caplog.messages == [
        "the training step cannot be captured as a CUDA graph, it runs eagerly: "
        "operation not permitted when stream is capturing"
    ]
    assert streams == ["the current one"]
    assert TrainingStep.capture_failed


def test_scores_are_what_they_say(dataset):
    """Accuracy, cross-entropy and margin against a loop over images."""
    model, images = _linear(), on_device(dataset, FP32)
    scores = evaluate(model, images, 32)
    logits = model(images.normalised(dataset.validation.images)).detach()
    labels = dataset.validation.labels
    margins = []
    for probability, label in zip(logits.softmax(1), labels, strict=True):
        others = torch.cat([probability[:label], probability[label + 1 :]])
        margins.append((probability[label] - others.max()).item())
    assert scores.accuracy == (logits.argmax(1) == labels).double().mean().item()
    assert scores.loss == pytest.approx(torch.nn.functional.cross_entropy(logits, labels).item(), rel=1e-5)
    assert scores.margin == pytest.approx(sum(margins) / len(margins), rel=1e-4)
    assert isinstance(scores, Scores)


@pytest.mark.parametrize("averaging", ["ema", "last"])
def test_averaged_weights_are_scored(dataset, averaging):
    """They differ from the last weights, learn as well, and repeat themselves."""
    plain, model = train_proxy(BARE, _settings(epochs=4), 0, dataset, FP32)
    changed = _settings(epochs=4, averaging=averaging)
    averaged, other = train_proxy(BARE, changed, 0, dataset, FP32)
    assert averaged.train_loss == plain.train_loss
    assert averaged.loss != plain.loss
    assert averaged.accuracy > 0.5
    assert not torch.equal(model.fc.weight, other.fc.weight)
    assert train_proxy(BARE, changed, 0, dataset, FP32)[0].curve == averaged.curve


def _average(averaging, values, epochs):
    """The average after ``values``, one for every eighth step of one epoch."""
    model = torch.nn.Linear(1, 1)
    average = Averaging(model, _settings(epochs=1, averaging=averaging, averaging_epochs=epochs), 8 * len(values))
    for step in range(8 * len(values)):
        torch.nn.init.constant_(model.weight, values[step // 8])
        average.note(step)
    return average.model.weight.item()


def test_averages_are_exact():
    """The mean of the last weights, and a moving average that forgets half of what it holds in its half-life.

    With four averages in the stretch, or fewer where it has fewer steps; always with the last step.
    """
    assert _average("last", [9.0, 9.0, 3.0, 4.0], 0.5) == pytest.approx(3.5)
    assert _average("ema", [2.0, 4.0, 8.0, 16.0], 0.25) == pytest.approx(((2 + 4) / 2 + 8) / 4 + 16 / 2)


def test_resolution_grows_to_the_full_size(dataset, monkeypatch):
    """From the share to the whole at two thirds, in steps of four pixels; the batches have these sizes."""
    assert [training_size((32, 24), 0.5, epoch, 6) for epoch in range(6)] == [
        (16, 12), (20, 16), (24, 16), (28, 20), (32, 24), (32, 24),
    ]  # fmt: skip
    assert [training_size((32, 32), 0.5, epoch, 2) for epoch in range(2)] == [(16, 16), (32, 32)]
    assert training_size((28, 16), 1.0, 0, 1) == training_size((28, 16), 0.5, 0, 1) == (28, 16)
    sizes = []
    original = DeviceImages.batch

    def spy(images, row, size, gathered=None):
        inputs, labels = original(images, row, size, gathered)
        sizes.append(tuple(inputs.shape[2:]))
        return inputs, labels

    monkeypatch.setattr(DeviceImages, "batch", spy)
    train_proxy(BARE, _settings(epochs=3, initial_resolution=0.5), 0, dataset, FP32)
    assert list(dict.fromkeys(sizes)) == [(4, 4), (8, 8)]


def test_a_warm_trunk_continues_its_own_training(dataset, tmp_path):
    """The bare trunk that starts from its checkpoint ends as if it had never stopped: weights, momentum, rate and order."""
    settings = _settings(epochs=3, warm_epochs=1)
    cold, cold_model = train_proxy(BARE, _settings(epochs=3), 4, dataset, FP32)
    start = warm_trunk(TRUNK, settings, 4, dataset, FP32)
    start.save(tmp_path / "trunk.safetensors")
    start = Checkpoint.load(tmp_path / "trunk.safetensors")
    told = []
    warm, warm_model = train_proxy(BARE, settings, 4, dataset, FP32, lambda *epoch: told.append(epoch), start)
    assert warm.curve == cold.curve[1:]
    assert [epoch for epoch, _ in told] == [2, 3]
    torch.testing.assert_close(warm_model.state_dict(), cold_model.state_dict(), rtol=0, atol=0)


@pytest.mark.parametrize("averaging", ["none", "ema", "last"])
def test_a_training_in_parts_is_the_training_in_one_go(dataset, tmp_path, averaging):
    """To the bit, through files: curves, weights, average, whatever the images' size then is; and one result of all parts."""
    settings = _settings(epochs=4, averaging=averaging, averaging_epochs=1.5, initial_resolution=0.5, label_smoothing=0.1)
    genotype = Genotype(TRUNK, (Placement("se", reduction=4), Placement("cbam", reduction=2, kernel_size=3), None))
    whole, whole_model = train_proxy(genotype, settings, 3, dataset, FP32)
    result, start, told = None, None, []
    for until in (1, 3, 4):
        result, model, state = train_until(
            until, genotype, settings, 3, dataset, FP32, lambda *epoch: told.append(epoch), start, result
        )
        assert result.curve == whole.curve[:until]
        assert (state is None) == (until == 4)
        if state:
            state.save(tmp_path / "paused.safetensors")
            start = Checkpoint.load(tmp_path / "paused.safetensors")
    assert told == list(enumerate(whole.curve, start=1))
    assert (result.loss_curve, result.margin_curve, result.train_loss) == (
        whole.loss_curve, whole.margin_curve, whole.train_loss,
    )  # fmt: skip
    torch.testing.assert_close(model.state_dict(), whole_model.state_dict(), rtol=0, atol=0)


def test_a_candidate_starts_from_the_warm_trunk(dataset):
    """The trunk's weights and momentum are taken over, the mechanisms are fresh, and the run learns."""
    settings = _settings(epochs=3, warm_epochs=2)
    start = warm_trunk(TRUNK, settings, 0, dataset, FP32)
    genotype = Genotype(TRUNK, (Placement("se", reduction=4), None, Placement("sk", "replace", reduction=2)))
    model, fresh = build_model(genotype, 10, 1, seed=0), build_model(genotype, 10, 1, seed=0)
    optimizer = make_optimizer(model, settings, torch.tensor(0.1))
    start.restore(model, optimizer, torch.Generator())
    assert torch.equal(model.conv1.weight, start.weights["conv1.weight"])
    assert torch.equal(optimizer.state[model.conv1.weight]["momentum_buffer"], start.momentum["conv1.weight"])
    assert torch.equal(model.blocks[0].standard.fc1.weight, fresh.blocks[0].standard.fc1.weight)
    result, _ = train_proxy(genotype, settings, 0, dataset, FP32, start=start)
    assert len(result.curve) == 1
    assert result.accuracy > train_proxy(genotype, _settings(epochs=1), 0, dataset, FP32)[0].accuracy


@pytest.mark.parametrize(("others", "timed"), [([1.0, 1.01, 1.0], 1), ([1.0, 1.5, 1.0], 3)])
def test_a_profile_repeats_its_rounds_while_their_ratios_scatter(dataset, monkeypatch, others, timed):
    """Up to three times, so that a busy machine cannot hold a search up."""
    rounds = []
    monkeypatch.setattr(step_profile, "_ROUNDS", dict.fromkeys(("step", "latency_1", "latency_128"), 3))
    monkeypatch.setattr(step_profile, "time_in_turns", lambda *given: rounds.append(given[-1]) or [[1.0] * 3, others])
    profile_step(BARE, _settings(), dataset, FP32, 50)
    assert len(rounds) == 3 * timed


def test_a_profile_sets_a_network_beside_its_trunk(dataset):
    """Times are positive, ratios those of the same rounds, and the memory is what the passes keep."""
    genotype = Genotype(TRUNK, (Placement("nonlocal", reduction=2), Placement("lka"), None))
    found = profile_step(genotype, _settings(), dataset, FP32, 50)
    assert min(found.step_seconds, found.latency_1, found.latency_128) > 0
    assert found.step_ratio > 1.1
    assert found.latency_128 > found.latency_1
    assert found.step_memory_ratio > 1.2
    assert profile_step(BARE, _settings(), dataset, FP32, 50).step_memory_ratio == 1.0


def test_a_profile_times_training_in_training_mode(dataset, monkeypatch):
    """Batch norm and dropout do then what they do in training, though inferences are timed before."""
    modes, add_gradients = [], TrainingStep.add_gradients

    def noted(step):
        modes.append(step._model.training)
        add_gradients(step)

    monkeypatch.setattr(TrainingStep, "add_gradients", noted)
    profile_step(BARE, _settings(), dataset, FP32, 50)
    assert len(modes) >= 4
    assert all(modes)


def test_step_memory_counts_each_kept_tensor_once():
    """A linear layer keeps its input, a ReLU in front of it its output: the same tensor."""
    model = torch.nn.Sequential(torch.nn.ReLU(), torch.nn.Linear(8, 4, bias=False))
    assert step_memory(model, torch.randn(2, 8), FP32) == 2 * 8 * 4 + 3 * 8 * 4 * 4


def test_counting_the_memory_leaves_none_behind():
    """What was kept is freed: ten counts of 32 MB of activations do not grow the process by as much."""
    model, images = torch.nn.Sequential(*(torch.nn.Sigmoid() for _ in range(32))), torch.zeros(2**18, requires_grad=True)
    step_memory(model, images, FP32)
    before = _resident_mb()
    for _ in range(10):
        assert step_memory(model, images, FP32) == 32 * 2**20
    assert _resident_mb() - before < 100


def _resident_mb():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def test_throughput_is_measured(dataset):
    """Images per second of real steps, also in a window that lies ahead."""
    assert measure_throughput(BARE, _settings(), dataset, FP32, 0.2) > 50
    began = time.monotonic()
    assert measure_throughput(BARE, _settings(), dataset, FP32, 0.2, began + 1.0) > 50
    assert 1.0 < time.monotonic() - began < 10


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
    for bf16, expected in ((True, Numerics("cpu", "bf16", True)), (False, Numerics("cpu", "fp32", True))):
        monkeypatch.setattr("attn_nas.training.device.has_bf16", lambda device, bf16=bf16: bf16)
        assert choose_numerics("cpu", "auto") == expected
        assert choose_numerics("cpu", "fp32") == Numerics("cpu", "fp32", True)
        assert Numerics.from_dict(expected.to_dict()) == expected


def test_bf16_without_the_instructions_is_an_error(monkeypatch):
    """It is refused, not emulated."""
    monkeypatch.setattr("attn_nas.training.device.has_bf16", lambda device: False)
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


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_cuda_graph_trains_like_eager_steps(dataset, monkeypatch):
    """The captured step gives the weights of the eager one, within the tolerance of its reductions."""
    numerics, settings = Numerics("cuda", "fp32", True), _settings(epochs=2)
    genotype = Genotype(TRUNK, (Placement("se", reduction=4), None, Placement("cbam", reduction=4, kernel_size=7)))
    captured, graph_model = train_proxy(genotype, settings, 0, dataset, numerics)
    assert not TrainingStep.capture_failed
    monkeypatch.setattr(TrainingStep, "_captured", lambda step: None)
    eager, eager_model = train_proxy(genotype, settings, 0, dataset, numerics)
    assert captured.train_loss == pytest.approx(eager.train_loss, rel=1e-2)
    torch.testing.assert_close(graph_model.state_dict(), eager_model.state_dict(), rtol=5e-2, atol=5e-3)


def test_results_are_frozen():
    """A result cannot be changed after the fact."""
    result = ProxyResult(0.5, 1.0, 0.0, (0.5,), (1.0,), (0.0,), (1.0,), 1.0, 1.0, 1.0, 8, 0)
    with pytest.raises(dataclasses.FrozenInstanceError):
        result.accuracy = 0.9


def test_a_training_does_not_import_what_only_compilation_needs():
    """``torch._dynamo`` takes more than a second of each process."""
    code = (
        "import sys, torch\n"
        "from attn_nas.space.schema import ProxySettings\n"
        "from attn_nas.training.optimizer import learning_rates, make_optimizer\n"
        "model, settings = torch.nn.Conv2d(3, 4, 3), ProxySettings(epochs=1, batch_size=8, lr=0.1)\n"
        "optimizer = make_optimizer(model, settings, learning_rates(settings, 4)[0])\n"
        "model(torch.ones(1, 3, 8, 8)).sum().backward()\n"
        "optimizer.step()\n"
        "optimizer.zero_grad()\n"
        "optimizer.load_state_dict(optimizer.state_dict())\n"
        "print('torch._dynamo' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
