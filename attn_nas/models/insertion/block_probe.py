"""Measures the geometry of a block by running a copy of it on a feature map."""

import copy
from typing import NamedTuple

import torch
from torch import Tensor, nn

SLOTS = ("pre", "inner", "pre_norm", "standard", "identity", "post")


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
    """An identity that records the number of channels of its input; 0 before the first call."""

    def __init__(self) -> None:
        super().__init__()
        self.channels = 0

    def forward(self, x: Tensor) -> Tensor:
        """``x`` itself."""
        self.channels = x.shape[1]
        return x


def probe(block: nn.Module, side: int = 8) -> Tensor:
    """A feature map ``(1, C_in, side, side)`` that fits ``block``."""
    conv = next(module for module in block.modules() if isinstance(module, nn.Conv2d))
    insertions = torch.arange(conv.in_channels * side * side, device=conv.weight.device)
    return insertions.sin().reshape(1, conv.in_channels, side, side).to(conv.weight.dtype)


def observe(block: nn.Module) -> tuple[Geometry, dict[str, int]]:
    """The geometry of a block with slots, and the channels at each slot that is used; the block is not changed."""
    twin = copy.deepcopy(block).eval()
    witnesses = {position: ChannelRecorder() for position in (*SLOTS, "stage_end")}
    for position, witness in witnesses.items():
        setattr(twin, position, witness)
    x = probe(twin)
    with torch.no_grad():
        y = twin(x)
    num_layers = sum(
        isinstance(module, (nn.Conv1d, nn.Conv2d, nn.Linear))
        for path, module in twin.named_modules()
        if path.partition(".")[0] != "downsample"
    )
    seen = {position: witness.channels for position, witness in witnesses.items() if witness.channels}
    return Geometry(x.shape[1], y.shape[1], x.shape[2] // y.shape[2], "identity" in seen, num_layers), seen


def computes_the_same(block: nn.Module, other: nn.Module) -> bool:
    """True if copies of two blocks give equal outputs for the same feature map in eval mode.

    Scales that are zero, such as those of the last norm of a branch, are set to one in the copies, so that the branch has an
    effect.
    """
    x = probe(block)
    twins = [copy.deepcopy(each).eval() for each in (block, other)]
    with torch.no_grad():
        for parameter in (parameter for twin in twins for parameter in twin.parameters()):
            if parameter.ndim == 1 and not parameter.is_meta and not parameter.any():
                parameter.fill_(1.0)
        y, z = (twin(x) for twin in twins)
    return x.is_meta or torch.allclose(y, z, rtol=1e-2, atol=1e-5, equal_nan=True)
