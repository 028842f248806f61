"""Trunk families and the geometry of their blocks, from which sites, canonical forms and costs are derived."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from attn_nas.attention.catalog import Position
from attn_nas.errors import SpaceError, unknown


@dataclass(frozen=True)
class Block:
    """One residual block: channel counts at its insertion points, its stride, and its stage (from 0).

    ``reduction`` is how many input pixels one pixel of the block's input stands for, along one side.
    """

    stage: int
    in_channels: int
    mid_channels: int
    out_channels: int
    stride: int
    replace_stride: int
    reduction: int

    def channels_at(self, position: Position) -> int:
        """Channels of the feature map that a mechanism at ``position`` receives."""
        if position == "pre":
            return self.in_channels
        return self.mid_channels if position in ("inner", "replace") else self.out_channels

    def size_at(self, position: Position, height: int, width: int) -> tuple[int, int]:
        """Height and width of that feature map for an image of ``height x width`` pixels."""
        at_input = position == "pre" or (position == "replace" and self.replace_stride > 1)
        factor = self.reduction if at_input else self.reduction * self.stride
        return -(-height // factor), -(-width // factor)


@dataclass(frozen=True)
class Family:
    """A trunk family: the depths and width it is published with, and the rule for its blocks."""

    description: str
    depths: str
    is_depth: Callable[[int], bool]
    default_width: int
    blocks: Callable[[int, int], tuple[Block, ...]]


def _cifar_blocks(depth: int, width: int) -> tuple[Block, ...]:
    blocks = []
    channels = width
    for stage in range(3):
        out = width << stage
        for index in range((depth - 2) // 6):
            stride = 2 if stage and not index else 1
            blocks.append(Block(stage, channels, out, out, stride, 1, (1 << stage) // stride))
            channels = out
    return tuple(blocks)


RESNET_STAGES = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}


def _resnet_blocks(depth: int, width: int) -> tuple[Block, ...]:
    bottleneck = depth >= 50
    blocks = []
    channels = width
    for stage, count in enumerate(RESNET_STAGES[depth]):
        mid = width << stage
        out = mid * 4 if bottleneck else mid
        for index in range(count):
            stride = 2 if stage and not index else 1
            blocks.append(Block(stage, channels, mid, out, stride, stride if bottleneck else 1, 4 * (1 << stage) // stride))
            channels = out
    return tuple(blocks)


FAMILIES: dict[str, Family] = {
    "cifar_resnet": Family(
        "ResNet of He et al. for small images, parameter-free shortcuts (arXiv 1512.03385, section 4.2)",
        "6n + 2: 8, 14, 20, 32, 44, 56, 110, ...",
        lambda depth: depth >= 8 and depth % 6 == 2,
        16,
        _cifar_blocks,
    ),
    "resnet": Family(
        "ResNet of He et al. for large images, with torchvision's parameter names (arXiv 1512.03385)",
        ", ".join(map(str, RESNET_STAGES)),
        lambda depth: depth in RESNET_STAGES,
        64,
        _resnet_blocks,
    ),
}


@dataclass(frozen=True)
class Trunk:
    """A convolutional trunk by family, depth and width (channels of the first stage).

    Raises:
        SpaceError: no such family, or the family has no such depth or width.

    """

    name: str
    depth: int
    width: int

    def __post_init__(self) -> None:
        if self.name not in FAMILIES:
            raise SpaceError(unknown("trunk", self.name, FAMILIES))
        if not FAMILIES[self.name].is_depth(self.depth):
            raise SpaceError(f"{self.name} has no depth {self.depth}: choose from {FAMILIES[self.name].depths}")
        if self.width < 1:
            raise SpaceError(f"trunk width {self.width}: choose an integer of at least 1")

    @property
    def blocks(self) -> tuple[Block, ...]:
        """The blocks from input to output."""
        return _blocks(self)

    @property
    def num_stages(self) -> int:
        """Number of stages."""
        return self.blocks[-1].stage + 1

    def __str__(self) -> str:
        return f"{self.name} depth {self.depth} width {self.width}"


@lru_cache(maxsize=256)
def _blocks(trunk: Trunk) -> tuple[Block, ...]:
    return FAMILIES[trunk.name].blocks(trunk.depth, trunk.width)
