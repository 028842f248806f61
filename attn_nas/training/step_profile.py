"""What a network costs in time and memory beside its bare trunk: FLOPs alone mislead."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from math import inf
from statistics import median
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
_STEPS_BEFORE = {"cpu": 0, "cuda": 5}
"""Training steps before they are timed, so that they are replays of a CUDA graph as in training."""
_MEGABYTE = 2**20


@dataclass(frozen=True)
class StepProfile:
    """Medians of a few rounds; a ratio is the median, over the rounds, of a figure divided by the bare trunk's beside it.

    ``step_seconds`` is a training step of the proxy (batch, both passes, optimiser), ``latency_1`` and ``latency_128`` an
    inference of that many images in seconds, ``step_memory_mb`` what a training step holds between the passes: parameters,
    gradients, momentum and the tensors kept for the backward pass.
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
        """Plain data, the inverse of `from_dict`."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> StepProfile:
        """The profile that `to_dict` wrote; raises ValueError, TypeError."""
        made = cls(**data)
        for name, number in asdict(made).items():
            if not isinstance(number, int | float) or not 0 <= number < inf:
                raise ValueError(f"{name} = {number!r} of a profile is no time, size or ratio")
        return made


def profile_step(
    genotype: Genotype, settings: ProxySettings, dataset: Dataset, numerics: Numerics, micro_batch: int
) -> StepProfile:
    """Time ``genotype`` in turns with its bare trunk, both with fresh weights: as they are trained, and on noise."""
    task = dataset.task
    shape = (task.channels, task.height, task.width)
    own, bare = (
        numerics.placed(build_model(each, task.num_classes, task.channels, seed=0))
        for each in (genotype, Genotype.bare(genotype.trunk))
    )
    seconds, ratios = {}, {}
    for what, calls in _calls((own, bare), settings, dataset, numerics, micro_batch):
        mine, others = time_in_turns(calls, numerics, _ROUNDS[what])
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


def _calls(
    networks: Sequence[nn.Module], settings: ProxySettings, dataset: Dataset, numerics: Numerics, micro_batch: int
) -> Iterator[tuple[str, list[Callable[[], None]]]]:
    """What is timed, once per network, each made when it is asked for: the networks are in the mode of what came last."""
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
    """Bytes that a training step on ``images`` holds at its peak between the passes; equal on every device.

    Parameters are counted three times (weight, gradient, momentum), a tensor kept for the backward pass once, however many
    operators keep it.
    """
    kept: dict[int, Tensor] = {}

    def note(tensor: Tensor) -> None:
        # Detached: a hook that hands the very tensor back makes a cycle that is never freed.
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
    """The candidate whose training step on ``batch_size`` images holds the most memory, from what 2 and 4 images take."""
    few, more = (random_images(number, (task.channels, task.height, task.width), Numerics()) for number in (2, 4))

    def memory(genotype: Genotype) -> float:
        model = build_model(genotype, task.num_classes, task.channels, seed=0)
        least = step_memory(model, few, Numerics())
        return least + (batch_size - 2) * (step_memory(model, more, Numerics()) - least) / 2

    return max(candidates, key=memory)


def _never(packed: Any) -> Tensor:
    raise AssertionError("there is no backward pass")
