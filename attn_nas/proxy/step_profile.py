"""What a network costs in time and memory beside its bare trunk: FLOPs alone mislead."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

from attn_nas.models.build import build_model
from attn_nas.proxy.device import Numerics
from attn_nas.proxy.timing import infer_once, placed, random_images, step_once, time_in_turns
from attn_nas.space.genotype import Genotype
from attn_nas.space.task import Task

_ROUNDS = {"step": 3, "latency_1": 20, "latency_128": 3}
_MEGABYTE = 2**20


@dataclass(frozen=True)
class StepProfile:
    """Medians of a few rounds; a ratio is the median, over the rounds, of a figure divided by the bare trunk's beside it.

    ``step_seconds`` is a training step (forward and backward pass of one batch of the proxy), ``latency_1`` and
    ``latency_128`` an inference of that many images in seconds, ``step_memory_mb`` what a training step holds at its peak
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
        """Plain data, the inverse of `from_dict`."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> StepProfile:
        """The profile that `to_dict` wrote."""
        return cls(**data)


def profile_step(genotype: Genotype, task: Task, batch_size: int, numerics: Numerics) -> StepProfile:
    """Time ``genotype`` in turns with its bare trunk, both with fresh weights, on batches of noise."""
    batches = {"step": batch_size, "latency_1": 1, "latency_128": 128}
    own, bare = (
        placed(build_model(each, task.num_classes, task.channels, seed=0), numerics)
        for each in (genotype, Genotype.bare(genotype.trunk))
    )
    seconds, ratios = {}, {}
    for what, batch in batches.items():
        images = random_images(batch, (task.channels, task.height, task.width), numerics)
        once = step_once if what == "step" else infer_once
        calls = {network: partial(once, network, images, numerics) for network in (own, bare)}
        times = time_in_turns(calls, numerics, _ROUNDS[what])
        seconds[what] = median(times[own])
        ratios[what] = median(mine / other for mine, other in zip(times[own], times[bare], strict=True))
    images = random_images(batch_size, (task.channels, task.height, task.width), numerics)
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


def _never(packed: Any) -> Tensor:
    raise AssertionError("there is no backward pass")
