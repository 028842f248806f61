"""What a module costs in time: a training step and an inference, timed in turns so that ratios hold on a noisy machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median

import torch
from torch import Tensor, nn

from attn_nas.attention.mechanism import Mechanism
from attn_nas.models.cifar_resnet import CifarBlock
from attn_nas.proxy.device import Numerics


@dataclass(frozen=True)
class Timing:
    """Median seconds of a training step (forward and backward) and of an inference of one batch."""

    step: float
    inference: float


def time_modules(
    modules: Mapping[str, nn.Module], shape: tuple[int, int, int], batch: int, numerics: Numerics, rounds: int = 7
) -> dict[str, Timing]:
    """Time each module on ``batch`` inputs of ``shape`` ``(C, H, W)``, one after the other in every round.

    The first round warms up and is not counted. Inputs have the memory layout of ``numerics``.
    """
    x = torch.randn(batch, *shape, device=numerics.device).contiguous(memory_format=numerics.memory_format)
    ready = {}
    for name, module in modules.items():
        ready[name] = module.to(numerics.device, memory_format=numerics.memory_format)  # type: ignore[call-overload]
    steps: dict[str, list[float]] = {name: [] for name in modules}
    inferences: dict[str, list[float]] = {name: [] for name in modules}
    for turn in range(rounds + 1):
        for name, module in ready.items():
            step = _seconds(lambda module=module: _train(module.train(), x, numerics), numerics)  # type: ignore[misc]
            inference = _seconds(lambda module=module: _infer(module.eval(), x, numerics), numerics)  # type: ignore[misc]
            if turn:
                steps[name].append(step)
                inferences[name].append(inference)
    return {name: Timing(median(steps[name]), median(inferences[name])) for name in modules}


def attended_block(mechanism: Mechanism | None, channels: int) -> nn.Module:
    """A residual block of two 3x3 convolutions with ``mechanism``, as in its paper, at its first position; bare for None."""
    block = CifarBlock(channels, channels, 1)
    if mechanism is None:
        return block
    position = mechanism.default_position
    module = mechanism.build_typical(channels)
    if position == "stage_end":
        return nn.Sequential(block, module)
    setattr(block, "conv2" if position == "replace" else position, module)
    return block


def _seconds(call: Callable[[], None], numerics: Numerics) -> float:
    start = time.perf_counter()
    call()
    if numerics.device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def _train(module: nn.Module, x: Tensor, numerics: Numerics) -> None:
    module.zero_grad(set_to_none=True)
    inputs = x.detach().requires_grad_()
    with numerics.autocast():
        outputs = module(inputs)
    outputs.sum().backward()


def _infer(module: nn.Module, x: Tensor, numerics: Numerics) -> None:
    with torch.inference_mode(), numerics.autocast():
        module(x)
