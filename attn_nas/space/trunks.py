"""Trunks, and the registry of trunk families."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from attn_nas.errors import SpaceError
from attn_nas.plugins.registry import Registry
from attn_nas.space.families import FAMILIES
from attn_nas.space.geometry import Block, Site, TrunkFamily
from attn_nas.space.host import Host

MAX_LAYERS, MAX_CHANNELS = 2000, 4096
"""Limits of depth and width, larger than those of published trunks; typing errors are refused before memory is allocated."""

_FAMILIES: Registry[TrunkFamily] = Registry("trunk", {family.name: family for family in FAMILIES})


def register_trunk(family: TrunkFamily) -> TrunkFamily:
    """Add a trunk family to the registry, and return it.

    Raises:
        SpaceError: the name is taken or invalid.

    """
    _FAMILIES.add(family, family.name)
    return family


def trunk_names() -> list[str]:
    """Names of all registered families in order of registration, including those of installed plug-ins."""
    return _FAMILIES.names()


def get_family(name: str) -> TrunkFamily:
    """The family of this name.

    Raises:
        SpaceError: the name is unknown; the message lists all names.

    """
    return _FAMILIES.get(name)


@dataclass(frozen=True)
class Trunk:
    """A convolutional trunk without attention.

    Args:
        name: name of its family (`trunk_names`).
        depth: number of weighted layers, as in ResNet-20.
        width: channels of the first stage.

    Raises:
        SpaceError: the family is unknown, or does not have this depth or width.

    """

    name: str
    depth: int
    width: int

    def __post_init__(self) -> None:
        family = get_family(self.name)
        for name, value, most in (("depth", self.depth, MAX_LAYERS), ("width", self.width, MAX_CHANNELS)):
            if type(value) is not int:
                raise SpaceError(f"trunk {name} {value!r}: choose an integer")
            if value > most:
                raise SpaceError(f"trunk {name} {value}: choose at most {most}")
        if not family.is_depth(self.depth):
            raise SpaceError(f"{self.name} has no depth {self.depth}: choose from {family.depths}")
        if self.width < 1:
            raise SpaceError(f"trunk width {self.width}: choose an integer of at least 1")

    @property
    def family(self) -> TrunkFamily:
        """The record of the family."""
        return get_family(self.name)

    @property
    def blocks(self) -> tuple[Block, ...]:
        """The blocks from input to output."""
        return _blocks(self.family.blocks, self.depth, self.width)

    @property
    def num_stages(self) -> int:
        """Number of stages."""
        return self.blocks[-1].stage + 1

    def stage_name(self, stage: int) -> str:
        """How drawings and tables name a stage."""
        return f"stage {stage}"

    @property
    def sites(self) -> tuple[Site, ...]:
        """One site per block, then one between each two stages."""
        return _sites(self.family.blocks, self.depth, self.width)

    def __str__(self) -> str:
        return f"{self.name} depth {self.depth} width {self.width}"


AnyTrunk = Trunk | Host
"""A trunk of a family, or a network of the user's own."""
Geometry = Callable[[int, int], tuple[Block, ...]]
"""The blocks for a depth and a width, as a family has them: a plug-in that is loaded again has another function."""


@lru_cache(maxsize=256)
def _blocks(geometry: Geometry, depth: int, width: int) -> tuple[Block, ...]:
    return geometry(depth, width)


@lru_cache(maxsize=256)
def _sites(geometry: Geometry, depth: int, width: int) -> tuple[Site, ...]:
    blocks = _blocks(geometry, depth, width)
    last = {block.stage: block for block in blocks}
    return (
        *(Site(index, block) for index, block in enumerate(blocks)),
        *(Site(stage, last[stage], at_stage_end=True) for stage in range(blocks[-1].stage)),
    )
