"""The structure of a drawing: stages, runs of equal blocks, and the steps along a block."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from math import prod

from attn_nas.attention.mechanism import POSITIONS
from attn_nas.space.genotype import Genotype, Placement
from attn_nas.space.geometry import Block
from attn_nas.space.host import HostModule


@dataclass(frozen=True)
class BlockStep:
    """A layer of a block, or a point between two layers; an open point can have a mechanism in this trunk."""

    name: str
    placement: Placement | None = None
    is_point: bool = False
    is_open: bool = False


@dataclass(frozen=True)
class BlockRun:
    """Consecutive blocks of a stage that are drawn as one row: all bare, or with equal geometry and placement."""

    first: int
    blocks: tuple[Block, ...]
    placement: Placement | None

    @property
    def name(self) -> str:
        """``block 3``, or ``blocks 3-5``; in a network of the user's own the names of the first and the last module."""
        head, tail = self.blocks[0], self.blocks[-1]
        if isinstance(head, HostModule) and isinstance(tail, HostModule):
            return head.name if head is tail else f"{head.name} … {tail.name.rpartition('.')[2]}"
        last = self.first + len(self.blocks) - 1
        return f"block {last}" if last == self.first else f"blocks {self.first}-{last}"

    @property
    def shape(self) -> str:
        """Channels and stride over all its blocks."""
        return shape(self.blocks)

    @property
    def branch(self) -> list[BlockStep]:
        """The steps of the branch, up to the addition."""
        return self._steps(self.blocks[0].layout.branch)

    @property
    def after(self) -> list[BlockStep]:
        """The steps after the addition."""
        return self._steps(self.blocks[0].layout.after)

    @property
    def has_shortcut(self) -> bool:
        """True if a shortcut is added to the branch."""
        return self.blocks[0].shortcut

    @property
    def shortcut(self) -> list[BlockStep]:
        """The steps of the shortcut."""
        return self._steps(self.blocks[0].layout.shortcut)

    def _steps(self, names: tuple[str, ...]) -> list[BlockStep]:
        block = self.blocks[0]
        steps = []
        for name in names:
            placement = self.placement if self.placement and self.placement.position == name else None
            if name == "replace":
                steps.append(BlockStep(block.layout.replaced, placement))
            else:
                steps.append(BlockStep(name, placement, name in POSITIONS, name in block.positions))
        return steps


@dataclass(frozen=True)
class Stage:
    """A stage: its runs, and the placement between it and the next stage."""

    number: int
    name: str
    runs: tuple[BlockRun, ...]
    end: Placement | None

    @property
    def blocks(self) -> tuple[Block, ...]:
        """All blocks of the stage."""
        return tuple(block for run in self.runs for block in run.blocks)


def shape(blocks: tuple[Block, ...], unit: str = "") -> str:
    """Channels and stride over consecutive blocks: ``16 → 32, stride 2``, or ``16`` if both are unchanged.

    Modules of the user's own network follow one another in the list, not always in the network: theirs is the last output.
    """
    if isinstance(blocks[0], HostModule):
        return f"{blocks[-1].out_channels}{unit}"
    before, after = blocks[0].in_channels, blocks[-1].out_channels
    stride = prod(block.stride for block in blocks)
    channels = f"{after}{unit}" if before == after else f"{before} → {after}{unit}"
    return channels if stride == 1 else f"{channels}, stride {stride}"


def stages(genotype: Genotype) -> list[Stage]:
    """The stages of a genotype from input to output."""
    runs = list(_runs(genotype))
    trunk = genotype.trunk
    ends = (*(genotype.stage_ends or (None,) * (trunk.num_stages - 1)), None)
    by_stage = groupby(runs, key=lambda run: run.blocks[0].stage)
    return [Stage(number, trunk.stage_name(number), tuple(found), ends[number]) for number, found in by_stage]


def _runs(genotype: Genotype) -> Iterator[BlockRun]:
    numbered = enumerate(zip(genotype.trunk.blocks, genotype.placements, strict=True))
    for _, found in groupby(numbered, key=lambda each: _kind(*each[1])):
        members = list(found)
        first, (_, placement) = members[0]
        yield BlockRun(first, tuple(block for _, (block, _) in members), placement)


def _kind(block: Block, placement: Placement | None) -> tuple[object, ...]:
    """Group key; equal for consecutive blocks that are drawn as one row."""
    return (block, placement) if placement else (block.stage,)


def headline(genotype: Genotype) -> str:
    """The trunk, and the number of its sites with attention."""
    attended = f"attention at {genotype.num_attended} of {len(genotype.trunk.sites)} sites"
    return f"{genotype.trunk}: {attended if genotype.num_attended else 'no attention'}"
