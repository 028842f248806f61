"""The placements everybody would try by hand: they open every study and stay in every table."""

from __future__ import annotations

from collections.abc import Iterable

from attn_nas.errors import SpaceError
from attn_nas.space.encoding import Encoding
from attn_nas.space.genotype import Genotype, Placement
from attn_nas.space.schema import MechanismSettings, SearchSpace

_TYPICAL_REDUCTION = 16
_TYPICAL_KERNEL = 7


def reference_genotypes(space: SearchSpace, encoding: Encoding) -> dict[str, Genotype]:
    """Name to genotype: the bare trunk, each mechanism everywhere, and the first of them in the last stage only.

    Each mechanism takes its first position and the hyperparameters nearest to those its paper uses. References that the
    space cannot express are left out.
    """
    trunk = encoding.trunk
    last = trunk.num_stages - 1
    found = {"none": Genotype.bare(trunk)}
    for settings in space.mechanisms:
        placement = _typical(settings)
        found[f"{settings.name} everywhere"] = Genotype(trunk, (placement,) * len(trunk.blocks))
    first = _typical(space.mechanisms[0])
    found[f"{space.mechanisms[0].name} last stage"] = Genotype(
        trunk, tuple(first if block.stage == last else None for block in trunk.blocks)
    )
    return {name: genotype for name, genotype in found.items() if _expressible(encoding, genotype)}


def _typical(settings: MechanismSettings) -> Placement:
    mechanism = settings.mechanism
    kernel_sizes = settings.kernel_sizes or mechanism.kernel_sizes
    return Placement(
        mechanism.name,
        (settings.positions or [mechanism.default_position])[0],
        _nearest(settings.reductions or mechanism.reductions, _TYPICAL_REDUCTION),
        "adaptive" if "adaptive" in kernel_sizes else _nearest(kernel_sizes, _TYPICAL_KERNEL),
    )


def _nearest(choices: Iterable[int | str], value: int) -> int | None:
    numbers = [choice for choice in choices if isinstance(choice, int)]
    return min(numbers, key=lambda choice: abs(choice - value), default=None)


def _expressible(encoding: Encoding, genotype: Genotype) -> bool:
    try:
        encoding.encode(genotype)
    except SpaceError:
        return False
    return True
