"""Measures blocks, and compares them with their hosts, by running copies without hooks: nothing of a block is changed."""

import copy
import random
import sys
from collections import Counter, OrderedDict
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

SLOTS = ("pre", "inner", "pre_norm", "standard", "identity", "post")
SHORTCUTS = ("downsample", "shortcut")
"""Names of the modules in the shortcut of a block."""


class Geometry(NamedTuple):
    """Input and output channels of a block, its stride, presence of a shortcut, and number of weighted layers.

    Layers are convolutions and linear layers; those of the shortcut and of filled slots are not counted.
    """

    in_channels: int
    out_channels: int
    stride: int
    shortcut: bool
    num_layers: int

    def __str__(self) -> str:
        shortcut = "with" if self.shortcut else "without"
        return (
            f"{self.num_layers} layers from {self.in_channels} to {self.out_channels} channels at stride {self.stride} "
            f"{shortcut} a shortcut"
        )


class ChannelRecorder(nn.Module):
    """An identity that records the number of channels of its input, 0 before the first call, and its number of calls."""

    def __init__(self) -> None:
        super().__init__()
        self.channels = self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        """``x`` itself."""
        self.channels = x.shape[1]
        self.calls += 1
        return x


class Step(NamedTuple):
    """A forward and backward pass in training mode: output, states of the random generators afterwards, calls by layer."""

    output: Tensor
    random_states: tuple[bytes, ...]
    calls: Counter[str]


def probe(block: nn.Module, side: int = 8) -> Tensor:
    """Two feature maps ``(2, C_in, side, side)`` that fit ``block``."""
    conv = next(module for module in block.modules() if isinstance(module, nn.Conv2d))
    values = torch.arange(2 * conv.in_channels * side * side, device=conv.weight.device)
    return values.sin().reshape(2, conv.in_channels, side, side).to(conv.weight.dtype)


def twin_of(block: nn.Module) -> nn.Module:
    """A deep copy of ``block`` without the hooks of its modules, which are neither copied nor called."""
    known: dict[int, Any] = {}
    for module in block.modules():
        for name, value in vars(module).items():
            if "_hooks" in name:
                known[id(value)] = OrderedDict()
            elif isinstance(value, Tensor) and not value.is_leaf:
                known[id(value)] = value.detach()
    return copy.deepcopy(block, known)


def observe(block: nn.Module) -> tuple[Geometry, dict[str, int]]:
    """The geometry of a block with slots, and the channels at each slot that is used; the block is not changed."""
    twin = twin_of(block).eval()
    with torch.no_grad():
        if any(weight.is_meta for weight in twin.parameters()):  # on which torch would load its compiler, for a second
            for tensor in (*twin.to_empty(device="cpu").parameters(), *twin.buffers()):
                tensor.zero_()
    witnesses = {position: ChannelRecorder() for position in (*SLOTS, "stage_end")}
    for position, witness in witnesses.items():
        setattr(twin, position, witness)
    x = probe(twin)
    with torch.no_grad():
        y = twin(x)
    num_layers = sum(
        isinstance(module, (nn.Conv1d, nn.Conv2d, nn.Linear))
        for path, module in twin.named_modules()
        if path.partition(".")[0] not in SHORTCUTS
    )
    seen = {position: witness.channels for position, witness in witnesses.items() if witness.channels}
    return Geometry(x.shape[1], y.shape[1], x.shape[2] // y.shape[2], "identity" in seen, num_layers), seen


def difference(block: nn.Module, host: nn.Module) -> str:
    """What ``block`` does unlike ``host``, as the end of a sentence; empty if they behave the same.

    Copies of both run on the same feature maps in eval mode, then forward and backward in training mode from the same state
    of the random generators, which is restored. Outputs, random draws and the calls of each layer with weights must agree.
    Scales that are zero, such as those of the last norm of a branch, are set to one in the copies, so that the branch has an
    effect. Blocks on the meta device cannot be compared.
    """
    x = probe(block)
    if x.is_meta:
        return ""
    with torch.inference_mode(False), torch.enable_grad():
        twins = [with_effect(twin_of(each)) for each in (block, host)]
        with torch.no_grad():
            outputs = [twin.eval()(x.clone()) for twin in twins]
        if not is_close(*outputs):
            return (
                "gives other outputs: its forward method applies them in another order, or does more, which would be lost. "
                "Insert into a model with the blocks of the library"
            )
        theirs, ours = (train_step(twin, x) for twin in twins)
    if theirs.calls != ours.calls:
        return (
            "runs its layers another number of times in training, as with checkpointing in its forward method, which would be "
            "lost: checkpoint the call of the block instead, in the forward method of the model"
        )
    if theirs.random_states != ours.random_states or not is_close(theirs.output, ours.output):
        return (
            "gives other outputs in training mode, as with dropout or stochastic depth in its forward method, which would be "
            "lost: use the block of the library, and add the dropout as a forward hook of the layer that it follows "
            "(insertion keeps hooks), or around the call of the block"
        )
    return ""


def idle_rates(block: nn.Module, host: nn.Module) -> list[str]:
    """Names of the numbers of ``block`` that have no effect now, as a dropout of 0, but would have one that ``host`` lacks.

    They are attributes of the block itself that are 0 or 1; in copies of both they are 0.5.
    """
    names = [
        name
        for name, value in vars(block).items()
        if value in ((0, 1) if type(value) is float else (0,) if type(value) is int and "drop" in name else ())
    ]
    x = probe(block)
    if not names or x.is_meta:
        return []
    found = []
    with torch.inference_mode(False), torch.enable_grad():
        for name in names:
            twins = [with_effect(twin_of(each)) for each in (block, host)]
            for twin in twins:
                setattr(twin, name, 0.5)
            theirs, ours = (train_step(twin, x) for twin in twins)
            if theirs.random_states != ours.random_states or not is_close(theirs.output, ours.output):
                found.append(name)
    return found


def with_effect(block: nn.Module) -> nn.Module:
    """``block`` with scales and biases that are all zero set to one."""
    with torch.no_grad():
        for parameter in block.parameters():
            if parameter.ndim == 1 and not parameter.any():
                parameter.fill_(1.0)
    return block


def is_close(y: Tensor, z: Tensor) -> bool:
    """True if two outputs are equal but for rounding."""
    return y.shape == z.shape and torch.allclose(y, z, rtol=1e-2, atol=1e-5, equal_nan=True)


def train_step(block: nn.Module, x: Tensor) -> Step:
    """Run ``block`` forward and backward on a copy of ``x`` in training mode.

    The random generators of torch, Python and NumPy, if it is loaded, are restored.
    """
    calls: Counter[str] = Counter()
    for path, module in block.named_modules():
        if path.partition(".")[0] not in (*SLOTS, "stage_end") and any(True for _ in module.parameters(recurse=False)):
            module.register_forward_hook(lambda *_, path=path: calls.update([path]))
    python, numpy = random.getstate(), sys.modules.get("numpy")
    of_numpy = numpy.random.get_state() if numpy else None
    places = [] if x.device.type == "cpu" else [x.device]
    try:
        with torch.random.fork_rng(places, device_type=x.device.type if places else "cuda"):
            output = block.train()(x.clone().requires_grad_() * 1)
            if output.requires_grad:
                output.sum().backward()
            states = [torch.get_rng_state(), *(torch.get_device_module(x.device).get_rng_state(place) for place in places)]
            _, values, *rest = numpy.random.get_state() if numpy else ("", [])
            others = repr((random.getstate(), list(values), rest)).encode()
            drawn = (others, *(bytes(state.tolist()) for state in states))
    finally:
        random.setstate(python)
        if numpy:
            numpy.random.set_state(of_numpy)
    return Step(output.detach(), drawn, calls)
