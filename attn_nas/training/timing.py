"""Timing of modules: training step and inference, measured in turns so that ratios are valid on a machine with other load."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median

import torch
from torch import Tensor, nn

from attn_nas.attention.mechanism import Mechanism
from attn_nas.models.cifar_resnet import CifarBlock
from attn_nas.training.device import Numerics


@dataclass(frozen=True)
class Timing:
    """Median seconds per batch of a training step (forward and backward pass) and of an inference."""

    step: float
    inference: float


def time_in_turns(calls: Sequence[Callable[[], None]], numerics: Numerics, rounds: int) -> list[list[float]]:
    """Return the seconds of each call in each of ``rounds`` rounds of all calls, after one round that is not counted."""
    times: list[list[float]] = [[] for _ in calls]
    for turn in range(rounds + 1):
        for seconds, call in zip(times, calls, strict=True):
            start = time.perf_counter()
            call()
            if numerics.device == "cuda":
                torch.cuda.synchronize()
            if turn:
                seconds.append(time.perf_counter() - start)
    return times


def time_modules(
    modules: Mapping[str, nn.Module], shape: tuple[int, int, int], batch: int, numerics: Numerics, rounds: int = 7
) -> dict[str, Timing]:
    """Time each module, by name, on ``batch`` inputs of ``shape`` ``(C, H, W)`` in the memory layout of ``numerics``."""
    x = random_images(batch, shape, numerics)
    ready = [numerics.placed(module) for module in modules.values()]
    calls = [partial(once, module, x, numerics) for module in ready for once in (_step_once, infer_once)]
    medians = map(median, time_in_turns(calls, numerics, rounds))
    return {name: Timing(step, inference) for name, step, inference in zip(modules, medians, medians, strict=False)}


def random_images(batch: int, shape: tuple[int, int, int], numerics: Numerics) -> Tensor:
    """Return standard normal noise, ``(batch, *shape)``, on the device and in the memory layout of ``numerics``."""
    return torch.randn(batch, *shape, device=numerics.device).contiguous(memory_format=numerics.memory_format)


def _step_once(module: nn.Module, x: Tensor, numerics: Numerics) -> None:
    """Run a forward and backward pass in training mode; old gradients are dropped."""
    module.train()
    module.zero_grad(set_to_none=True)
    inputs = x.detach().requires_grad_()
    with numerics.autocast():
        outputs = module(inputs)
    outputs.sum().backward()


def infer_once(module: nn.Module, x: Tensor, numerics: Numerics) -> None:
    """Run a forward pass in eval mode, without gradients."""
    module.eval()
    with torch.inference_mode(), numerics.autocast():
        module(x)


def attended_block(mechanism: Mechanism | None, channels: int) -> nn.Module:
    """Build a residual block of two 3x3 convolutions with ``mechanism`` as in its paper, at its default position, or bare."""
    block = CifarBlock(channels, channels, 1)
    if mechanism is None:
        return block
    position = mechanism.default_position
    module = mechanism.build_typical(channels)
    if position == "stage_end":
        return nn.Sequential(block, module)
    setattr(block, "conv2" if position == "replace" else position, module)
    return block
