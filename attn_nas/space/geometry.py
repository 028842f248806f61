"""Geometry of trunks: blocks, sites and families, from which spaces and canonical forms are derived; no torch here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from attn_nas.attention.mechanism import POSITIONS, Position
from attn_nas.errors import SpaceError

_WITHIN_BRANCH: tuple[Position, ...] = ("standard", "inner", "pre_norm", "replace")
_OF_PARTS: dict[str, tuple[Position, ...]] = {
    "branch": ("pre", *_WITHIN_BRANCH),
    "shortcut": ("identity",),
    "after": ("post",),
}


@dataclass(frozen=True)
class Layout:
    """The order of layers and insertion points in a block, for drawings.

    ``branch`` and ``shortcut`` lead to the addition, ``after`` follows it. Each is a tuple of position names and layer names.
    Layers are named ``conv 3x3`` (with the kernel size), after their torch function (``relu``), or ``norm``, ``scale`` and
    ``h-swish``; they may be omitted. The position ``replace`` represents the layer ``replaced``.

    Raises:
        SpaceError: a position is missing, occurs twice, or is in the wrong part.

    """

    branch: tuple[str, ...] = ("pre", "inner", "replace", "pre_norm", "standard")
    shortcut: tuple[str, ...] = ("identity",)
    after: tuple[str, ...] = ("post",)
    replaced: str = "conv"

    def __post_init__(self) -> None:
        for part, positions in _OF_PARTS.items():
            found = [name for name in getattr(self, part) if name in POSITIONS]
            if sorted(found) != sorted(positions):
                raise SpaceError(
                    f"the {part} of a block's layout passes {', '.join(found) or 'no position'}: "
                    f"name each of {', '.join(positions)} once"
                )


@dataclass(frozen=True)
class Block:
    """Geometry of one block of a trunk.

    Args:
        stage: index of its stage, from 0.
        in_channels: channels of its input, and at ``pre``.
        mid_channels: channels at ``inner``.
        replace_channels: channels of the convolution that a mechanism at ``replace`` substitutes.
        out_channels: channels of its output, and at the other positions.
        stride: stride of the block.
        replace_stride: stride of that convolution.
        replace_slot: dotted attribute of that convolution in the block.
        shortcut: False if the block consists of its branch alone.
        layout: order of layers and insertion points, for drawings.

    """

    stage: int
    in_channels: int
    mid_channels: int
    replace_channels: int
    out_channels: int
    stride: int = 1
    replace_stride: int = 1
    replace_slot: str = "conv2"
    shortcut: bool = True
    layout: Layout = Layout()

    @property
    def positions(self) -> tuple[Position, ...]:
        """The insertion points of this block.

        Without a shortcut, ``pre`` and ``post`` would equal positions of the neighbouring blocks, and are left out.
        """
        return tuple(p for p in POSITIONS if p != "stage_end" and (self.shortcut or p in _WITHIN_BRANCH))

    def channels_at(self, position: Position) -> int:
        """Channels of the feature map that a mechanism at ``position`` receives."""
        if position == "pre":
            return self.in_channels
        if position == "replace":
            return self.replace_channels
        return self.mid_channels if position == "inner" else self.out_channels

    def slot(self, position: Position) -> str:
        """The attribute of the block that a mechanism at ``position`` fills, with dots."""
        return self.replace_slot if position == "replace" else position


@dataclass(frozen=True)
class Site:
    """A location of a trunk that can have one placement: a block, or the end of a stage."""

    index: int
    block: Block
    at_stage_end: bool = False

    @property
    def positions(self) -> tuple[Position, ...]:
        """The insertion points of this site."""
        return ("stage_end",) if self.at_stage_end else self.block.positions

    def stride_at(self, position: Position) -> int:
        """Stride of a mechanism at ``position``: that of the substituted convolution at ``replace``, else 1."""
        return self.block.replace_stride if position == "replace" else 1

    @property
    def path(self) -> str:
        """The attribute of the model that is the block, with dots."""
        return f"blocks.{self.index}"

    def slot(self, position: Position) -> str:
        """The attribute of the model that a mechanism at ``position`` fills, with dots."""
        return f"stage_ends.{self.index}" if self.at_stage_end else f"blocks.{self.index}.{self.block.slot(position)}"

    def __str__(self) -> str:
        return f"end of stage {self.index}" if self.at_stage_end else f"block {self.index}"


def _depth_and_width(depth: int, width: int) -> dict[str, Any]:
    return {"depth": depth, "width": width}


@dataclass(frozen=True)
class TrunkFamily:
    """A trunk family: its class, its published depths and width, and the geometry of its blocks.

    Args:
        name: lower-case letters, digits and underscores.
        description: one line with the paper.
        target: ``"module:Class"``. The class is called with ``arguments(depth, width)``, ``num_classes`` and ``in_channels``.
            Its module has ``blocks``, each with a slot for each of its positions, and ``stage_ends``, one fewer than stages
            (see `SlottedTrunk`).
        depths: the depths as text, for messages.
        is_depth: returns True for a valid depth (number of weighted layers).
        blocks: geometry of the blocks for a depth and a width (channels of the first stage).
        arguments: keyword arguments of the class; a `LazyClass` among them is replaced by the class it names.
        default_depth: the depth if none is given; None makes it mandatory.
        default_width: the width if none is given.

    """

    name: str
    description: str
    target: str
    depths: str
    is_depth: Callable[[int], bool]
    blocks: Callable[[int, int], tuple[Block, ...]]
    arguments: Callable[[int, int], dict[str, Any]] = _depth_and_width
    default_depth: int | None = None
    default_width: int = 16
