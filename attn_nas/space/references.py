"""Reference placements: manual baselines that every search trains first and lists in every table."""

from __future__ import annotations

from collections.abc import Container

from attn_nas.errors import SpaceError
from attn_nas.space.encoding import Encoding, nearest
from attn_nas.space.genotype import Genotype, Placement
from attn_nas.space.mechanism_settings import MechanismSettings
from attn_nas.space.schema import SearchSpace
from attn_nas.space.trunks import AnyTrunk


def reference_genotypes(space: SearchSpace, encoding: Encoding) -> dict[str, Genotype]:
    """References by name: the bare trunk, each mechanism everywhere, and the first mechanism in the last stage.

    Each mechanism has its first position and the hyperparameters nearest to those of its paper. Everywhere means at every
    block, or at all stage ends for a mechanism that is placed between stages. References that the space cannot express, or
    that equal the bare trunk, are left out.
    """
    trunk = encoding.trunk
    last = trunk.num_stages - 1
    found = {"none": Genotype.bare(trunk)}
    for settings in space.mechanisms:
        found[f"{settings.name} everywhere"] = _everywhere(trunk, _typical(settings, trunk), range(trunk.num_stages))
    first = space.mechanisms[0]
    found[f"{first.name} last stage"] = _everywhere(trunk, _typical(first, trunk), (last,))
    return {
        name: genotype
        for name, genotype in found.items()
        if name == "none" or (genotype.num_attended and _expressible(encoding, genotype))
    }


def _everywhere(trunk: AnyTrunk, placement: Placement, stages: Container[int]) -> Genotype:
    """The trunk with ``placement`` at every site of ``stages`` that has its position."""
    return Genotype.of_sites(
        trunk,
        [placement if placement.position in s.positions and s.block.stage in stages else None for s in trunk.sites],
    )


def _typical(settings: MechanismSettings, trunk: AnyTrunk) -> Placement:
    mechanism = settings.mechanism
    return Placement(
        mechanism.name,
        settings.legal_positions[0],
        nearest(settings.reductions or mechanism.reductions, mechanism.typical.reduction),
        nearest(settings.kernel_sizes or mechanism.kernel_sizes, mechanism.typical.kernel_size),
        nearest(settings.groups or settings.legal_groups(trunk), mechanism.typical.groups),
        settings.identity_init,
    )


def _expressible(encoding: Encoding, genotype: Genotype) -> bool:
    try:
        encoding.encode(genotype)
    except SpaceError:
        return False
    return True
