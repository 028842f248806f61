"""Axes of placements: the mechanism at each site, or the number of sites with attention in each stage of a deep trunk."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from attn_nas.format import written
from attn_nas.space.genotype import Genotype

_MAX_SITES = 12
NO_MECHANISM = "none"


class GeneAxes:
    """The axes of ``genotypes``, which have one trunk.

    There is one axis for each site, with the mechanisms in the order in which they first occur; new genotypes only add to its
    end. A trunk with more than twelve sites has one axis for each stage, with the number of its sites that have attention.
    """

    def __init__(self, genotypes: Sequence[Genotype]) -> None:
        self._genotypes = genotypes
        self._sites = genotypes[0].trunk.sites if genotypes else ()
        self._by_stage = len(self._sites) > _MAX_SITES

    @cached_property
    def names(self) -> list[str]:
        """Name of each axis."""
        if self._by_stage:
            return [f"sites in stage {stage}" for stage in dict.fromkeys(self._stages)]
        return [str(site) for site in self._sites]

    @cached_property
    def choices(self) -> list[list[str]]:
        """Text of each level of each axis, the lowest first."""
        if self._by_stage:
            return [[str(number) for number in range(self._stages.count(stage) + 1)] for stage in dict.fromkeys(self._stages)]
        return [[NO_MECHANISM, *map(written, self._numbers)]] * len(self._sites)

    def levels(self, genotype: Genotype) -> tuple[int, ...]:
        """Return the level of a genotype on each axis, an index into `choices`."""
        if self._by_stage:
            attended = [site.block.stage for site, placement in genotype.sites if placement]
            return tuple(attended.count(stage) for stage in dict.fromkeys(self._stages))
        return tuple(self._numbers[placement.mechanism] if placement else 0 for _, placement in genotype.sites)

    @cached_property
    def _stages(self) -> list[int]:
        """The stage of each site."""
        return [site.block.stage for site, _ in self._genotypes[0].sites] if self._genotypes else []

    @cached_property
    def _numbers(self) -> dict[str, int]:
        """The level of each mechanism."""
        found = (placement.mechanism for genotype in self._genotypes for _, placement in genotype.sites if placement)
        return {mechanism: level for level, mechanism in enumerate(dict.fromkeys(found), start=1)}
