"""Trunks, and the registry of their families."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from attn_nas.errors import SpaceError
from attn_nas.plugins.registry import Registry
from attn_nas.space.families import FAMILIES
from attn_nas.space.geometry import Block, Site, TrunkFamily

MOST_LAYERS, MOST_CHANNELS = 2000, 4096
"""Beyond any trunk that was ever trained: a slip of the keyboard is told before it fills the memory."""

_FAMILIES: Registry[TrunkFamily] = Registry("trunk", {family.name: family for family in FAMILIES})


def register_trunk(family: TrunkFamily) -> TrunkFamily:
    """Add a trunk family.

    Raises:
        SpaceError: its name is taken, or is none.

    """
    if not re.fullmatch(r"[a-z][a-z0-9_]*", family.name):
        raise SpaceError(f"trunk name {family.name!r}: choose lower-case letters, digits and underscores")
    _FAMILIES.add(family, family.name)
    return family


def trunk_names() -> list[str]:
    """All registered families, in order of registration; those of installed plug-ins included."""
    return _FAMILIES.names()


def get_family(name: str) -> TrunkFamily:
    """The family of this name.

    Raises:
        SpaceError: there is none.

    """
    return _FAMILIES.get(name)


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
        family = get_family(self.name)
        for what, value, most in (("depth", self.depth, MOST_LAYERS), ("width", self.width, MOST_CHANNELS)):
            if type(value) is not int:
                raise SpaceError(f"trunk {what} {value!r}: choose an integer")
            if value > most:
                raise SpaceError(f"trunk {what} {value}: choose at most {most}")
        if not family.is_depth(self.depth):
            raise SpaceError(f"{self.name} has no depth {self.depth}: choose from {family.depths}")
        if self.width < 1:
            raise SpaceError(f"trunk width {self.width}: choose an integer of at least 1")

    @property
    def family(self) -> TrunkFamily:
        """The record of its family."""
        return get_family(self.name)

    @property
    def blocks(self) -> tuple[Block, ...]:
        """The blocks from input to output."""
        return _blocks(self)

    @property
    def num_stages(self) -> int:
        """Number of stages."""
        return self.blocks[-1].stage + 1

    @property
    def sites(self) -> tuple[Site, ...]:
        """One site per block, then one between each two stages."""
        return _sites(self)

    def __str__(self) -> str:
        return f"{self.name} depth {self.depth} width {self.width}"


@lru_cache(maxsize=256)
def _blocks(trunk: Trunk) -> tuple[Block, ...]:
    return trunk.family.blocks(trunk.depth, trunk.width)


@lru_cache(maxsize=256)
def _sites(trunk: Trunk) -> tuple[Site, ...]:
    blocks = trunk.blocks
    last = {block.stage: block for block in blocks}
    return (
        *(Site(index, block) for index, block in enumerate(blocks)),
        *(Site(stage, last[stage], at_stage_end=True) for stage in range(trunk.num_stages - 1)),
    )
