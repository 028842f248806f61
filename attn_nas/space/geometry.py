"""The geometry of a trunk: blocks, sites and families, from which spaces and canonical forms are derived; no torch here."""

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
    """What an image passes in a block, in order: insertion points by their position, layers by a name.

    ``branch`` and ``shortcut`` lead to the addition, ``after`` comes behind it; ``replace`` stands for the layer
    ``replaced``. Convolutions end in their size (``conv 3x3``), other layers have the name of their torch function
    (``relu``), but ``norm``, ``scale`` and ``h-swish``. Layers may be left out, as in a layout without arguments.

    Raises:
        SpaceError: a position that is missing, there twice, or in another part.

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
    """One block of a trunk: its stage (from 0), its strides and the channels at its insertion points.

    ``mid_channels`` are those of ``inner``, ``replace_channels`` those of the convolution that `replace` takes the place of,
    which is the attribute ``replace_slot`` of the block and has the stride ``replace_stride``. A block without a ``shortcut``
    is its branch alone. ``layout`` is the order of its layers and insertion points, for drawings.
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

        Without a shortcut, ``pre`` and ``post`` would be the ends of the neighbours' branches under another name.
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
    """A place of a trunk that may have a placement: a block, or the end of a stage."""

    index: int
    block: Block
    at_stage_end: bool = False

    @property
    def positions(self) -> tuple[Position, ...]:
        """The insertion points of this site."""
        return ("stage_end",) if self.at_stage_end else self.block.positions

    def stride_at(self, position: Position) -> int:
        """Stride of what sits at ``position``: of the convolution that `replace` takes the place of, else 1."""
        return self.block.replace_stride if position == "replace" else 1

    def slot(self, position: Position) -> str:
        """The attribute of the model that a mechanism at ``position`` fills, with dots."""
        return f"stage_ends.{self.index}" if self.at_stage_end else f"blocks.{self.index}.{self.block.slot(position)}"

    def __str__(self) -> str:
        return f"end of stage {self.index}" if self.at_stage_end else f"block {self.index}"


def _depth_and_width(depth: int, width: int) -> dict[str, Any]:
    return {"depth": depth, "width": width}


@dataclass(frozen=True)
class TrunkFamily:
    """A trunk family: its class, the depths and width it is published with, and the rule for its blocks.

    ``target`` is ``module:Class``, called with ``arguments(depth, width)``, ``num_classes`` and ``in_channels``; a `LazyClass`
    among the arguments stands for the class it names. The module has ``blocks``, each with the slots of its positions, and
    ``stage_ends``, one fewer than stages.
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
