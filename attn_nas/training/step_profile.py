"""Time and memory of a network compared with its bare trunk, since FLOPs do not predict them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from math import inf, log, sqrt
from statistics import median, stdev
from typing import Any

import torch
from torch import Tensor, nn

from attn_nas.data.dataset import Dataset
from attn_nas.models.build import build_model
from attn_nas.space.genotype import Genotype
from attn_nas.space.schema import ProxySettings
from attn_nas.space.task import Task
from attn_nas.training.device import Numerics
from attn_nas.training.images import on_device
from attn_nas.training.step import TrainingStep
from attn_nas.training.timing import infer_once, random_images, time_in_turns

_ROUNDS = {"step": 3, "latency_1": 20, "latency_128": 3}
_SURE, _MOST = 0.025, 3
"""Standard error of the logarithm of a ratio at which it is known well enough; how often rounds are repeated at most."""
_STEPS_BEFORE = {"cpu": 0, "cuda": 5}
"""Training steps before the timing, after which a step on CUDA is the replay of a graph, as in training."""
_MEGABYTE = 2**20


@dataclass(frozen=True)
class StepProfile:
    """Medians over a few rounds, and over more where these scatter.

    A ratio is the median of the network's time divided by the bare trunk's in the same round.

    ``step_seconds`` is the time of a training step (batch, forward and backward pass, optimizer), ``latency_1`` and
    ``latency_128`` the seconds of an inference of 1 and of 128 images, ``step_memory_mb`` the MiB that a training step holds
    between the passes: parameters, gradients, momentum and the tensors kept for the backward pass.
    """

    step_seconds: float
    latency_1: float
    latency_128: float
    step_memory_mb: float
    step_ratio: float
    latency_1_ratio: float
    latency_128_ratio: float
    step_memory_ratio: float

    def to_dict(self) -> dict[str, float]:
        """Return plain data, the inverse of `from_dict`."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> StepProfile:
        """Read a profile that `to_dict` wrote; raises ValueError or TypeError for other data."""
        made = cls(**data)
        for name, number in asdict(made).items():
            if not isinstance(number, int | float) or not 0 <= number < inf:
                raise ValueError(f"{name} = {number!r} of a profile is not a time, size or ratio")
        return made


def profile_step(
    genotype: Genotype, settings: ProxySettings, dataset: Dataset, numerics: Numerics, micro_batch: int
) -> StepProfile:
    """Time ``genotype`` and its bare trunk in turns, both with fresh weights: training steps on data, inference on noise."""
    task = dataset.task
    shape = (task.channels, task.height, task.width)
    own, bare = (
        numerics.placed(build_model(each, task.num_classes, task.channels, seed=0))
        for each in (genotype, Genotype.bare(genotype.trunk))
    )
    seconds, ratios = {}, {}
    for what, calls in _calls((own, bare), settings, dataset, numerics, micro_batch):
        mine, others = _enough_times(calls, numerics, _ROUNDS[what])
        seconds[what] = median(mine)
        ratios[what] = median(one / other for one, other in zip(mine, others, strict=True))
    images = random_images(micro_batch, shape, numerics)
    memory, bare_memory = (step_memory(network, images, numerics) for network in (own, bare))
    return StepProfile(
        step_seconds=seconds["step"],
        latency_1=seconds["latency_1"],
        latency_128=seconds["latency_128"],
        step_memory_mb=memory / _MEGABYTE,
        step_ratio=ratios["step"],
        latency_1_ratio=ratios["latency_1"],
        latency_128_ratio=ratios["latency_128"],
        step_memory_ratio=memory / bare_memory,
    )


def _enough_times(calls: Sequence[Callable[[], None]], numerics: Numerics, rounds: int) -> tuple[list[float], list[float]]:
    """Seconds of two calls in ``rounds`` rounds, and in more, up to three times as many, while the ratios scatter."""
    mine, others = time_in_turns(calls, numerics, rounds)
    while len(mine) < _MOST * rounds and _error_of_ratio(mine, others) > _SURE:
        more = time_in_turns(calls, numerics, rounds)
        mine, others = mine + more[0], others + more[1]
    return mine, others


def _error_of_ratio(mine: Sequence[float], others: Sequence[float]) -> float:
    """The standard error of the mean logarithm of the ratio of two times; 0 for a single round."""
    logarithms = [log(one / other) for one, other in zip(mine, others, strict=True)]
    return stdev(logarithms) / sqrt(len(logarithms)) if len(logarithms) > 1 else 0.0


def _calls(
    networks: Sequence[nn.Module], settings: ProxySettings, dataset: Dataset, numerics: Numerics, micro_batch: int
) -> Iterator[tuple[str, list[Callable[[], None]]]]:
    """Yield the name of each measurement and its call per network, lazily, since each sets the networks to its own mode."""
    shape = (dataset.task.channels, dataset.task.height, dataset.task.width)
    for what, number in (("latency_1", 1), ("latency_128", 128)):
        noise = random_images(number, shape, numerics)
        yield what, [partial(infer_once, network, noise, numerics) for network in networks]
    images = on_device(dataset, numerics)
    row = images.plan(settings.batch_size, torch.Generator().manual_seed(0))[0]
    rate = torch.zeros((), device=numerics.device)
    steps: list[Callable[[], None]] = []
    for network in networks:
        step = TrainingStep(network.train(), images, settings, micro_batch)
        for _ in range(_STEPS_BEFORE[numerics.device]):
            step(row, rate)
        steps.append(partial(step, row, rate))
    yield "step", steps


def step_memory(model: nn.Module, images: Tensor, numerics: Numerics) -> int:
    """Return the bytes that a training step on ``images`` ``(B, C, H, W)`` holds between the passes; equal on every device.

    Parameters are counted three times (weight, gradient, momentum). A tensor that is kept for the backward pass is counted
    once, even if several operators keep it.
    """
    kept: dict[int, Tensor] = {}

    def note(tensor: Tensor) -> None:
        # Detached: a hook that returns the tensor itself makes a reference cycle that is never freed.
        kept[tensor.untyped_storage().data_ptr()] = tensor.detach()

    parameters = [parameter.untyped_storage() for parameter in model.parameters()]
    model.train()
    with torch.autograd.graph.saved_tensors_hooks(note, _never), numerics.autocast():
        model(images)
    for storage in parameters:
        kept.pop(storage.data_ptr(), None)
    activations = sum(tensor.untyped_storage().nbytes() for tensor in kept.values())
    return activations + 3 * sum(storage.nbytes() for storage in parameters)


def most_memory(candidates: Collection[Genotype], task: Task, batch_size: int) -> Genotype:
    """Return the candidate whose step on ``batch_size`` images holds the most memory, extrapolated from 2 and 4 images."""
    few, more = (random_images(number, (task.channels, task.height, task.width), Numerics()) for number in (2, 4))

    def memory(genotype: Genotype) -> float:
        model = build_model(genotype, task.num_classes, task.channels, seed=0)
        least = step_memory(model, few, Numerics())
        return least + (batch_size - 2) * (step_memory(model, more, Numerics()) - least) / 2

    return max(candidates, key=memory)


def _never(packed: Any) -> Tensor:
    raise AssertionError("there is no backward pass")
