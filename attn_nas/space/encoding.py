"""Between genotypes and flat parameters: every gene always has its four parameters, and decoding drops what is unused.

Conditional parameters would be resampled at random by several samplers; a flat encoding is what they can learn from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import log
from typing import Any

import numpy as np

from attn_nas.attention.catalog import KernelSize, Position
from attn_nas.attention.sizes import adaptive_kernel
from attn_nas.errors import SpaceError
from attn_nas.space.genotype import Genotype, Placement
from attn_nas.space.schema import MechanismSettings, SearchSpace
from attn_nas.space.trunks import Trunk

NONE = "none"
Choices = dict[str, tuple[str | int, ...]]


@dataclass(frozen=True)
class _Option:
    """What one mechanism of the space may have."""

    name: str
    reductions: tuple[int, ...]
    kernel_sizes: tuple[KernelSize, ...]
    positions: tuple[Position, ...]

    @classmethod
    def of(cls, settings: MechanismSettings) -> _Option:
        mechanism = settings.mechanism
        return cls(
            mechanism.name,
            tuple(settings.reductions or mechanism.reductions),
            tuple(settings.kernel_sizes or mechanism.kernel_sizes),
            tuple(settings.positions or [mechanism.default_position]),
        )

    def decode(self, position: str, reduction: int | str, kernel_size: int | str) -> Placement:
        """The placement for these raw choices; one that this mechanism does not have becomes its nearest."""
        legal = next((choice for choice in self.positions if choice == position), self.positions[0])
        return Placement(self.name, legal, _nearest(self.reductions, reduction), _nearest(self.kernel_sizes, kernel_size))


class Encoding:
    """The flat parameters of a search space: four categoricals per gene, a gene being a block or a tied stage."""

    def __init__(self, space: SearchSpace) -> None:
        self.trunk: Trunk = space.trunk.trunk()
        self._options = {option.name: option for option in map(_Option.of, space.mechanisms)}
        self._genes: dict[str, list[int]] = {}
        for index, block in enumerate(self.trunk.blocks):
            tied = space.granularity == "per_stage"
            self._genes.setdefault(f"stage{block.stage}" if tied else f"block{index}", []).append(index)
        options = self._options.values()
        per_gene: Choices = {
            "mechanism": (NONE, *self._options),
            "position": tuple(dict.fromkeys(p for option in options for p in option.positions)),
            "reduction": tuple(sorted({r for option in options for r in option.reductions})) or (0,),
            "kernel_size": tuple(sorted({k for option in options for k in option.kernel_sizes}, key=_order)) or (0,),
        }
        self.choices: Choices = {f"{gene}.{name}": values for gene in self._genes for name, values in per_gene.items()}

    def decode(self, params: Mapping[str, Any]) -> Genotype:
        """The genotype of a full set of parameters."""
        placements: list[Placement | None] = [None] * len(self.trunk.blocks)
        for gene, indices in self._genes.items():
            for index in indices:
                placements[index] = self._decode_gene(gene, params)
        return Genotype(self.trunk, tuple(placements))

    def _decode_gene(self, gene: str, params: Mapping[str, Any]) -> Placement | None:
        name = params[f"{gene}.mechanism"]
        if name == NONE:
            return None
        return self._options[name].decode(
            params[f"{gene}.position"], params[f"{gene}.reduction"], params[f"{gene}.kernel_size"]
        )

    def encode(self, genotype: Genotype) -> dict[str, str | int]:
        """Parameters that decode to ``genotype``; unused ones take their first choice.

        Raises:
            SpaceError: the genotype is not in the space.

        """
        params = {name: values[0] for name, values in self.choices.items()}
        for gene, indices in self._genes.items():
            wanted = {index: genotype.placements[index] for index in indices}
            if any(wanted.values()):
                params.update(self._encode_gene(gene, wanted))
        return params

    def _encode_gene(self, gene: str, wanted: Mapping[int, Placement | None]) -> dict[str, str | int]:
        index, first = next(iter(wanted.items()))
        option = self._options.get(first.mechanism) if first else None
        if first and option:
            for reduction in option.reductions or self.choices[f"{gene}.reduction"][:1]:
                for kernel_size in option.kernel_sizes or self.choices[f"{gene}.kernel_size"][:1]:
                    decoded = option.decode(first.position, reduction, kernel_size)
                    if all(decoded.canonical(self.trunk.blocks[i]) == placement for i, placement in wanted.items()):
                        return {
                            f"{gene}.mechanism": first.mechanism,
                            f"{gene}.position": first.position,
                            f"{gene}.reduction": reduction,
                            f"{gene}.kernel_size": kernel_size,
                        }
        raise SpaceError(f"block {index}: {first} is not in the search space, or its stage is tied to another choice")

    def thinned(self, params: Mapping[str, Any], random: np.random.Generator) -> dict[str, Any] | None:
        """``params`` with the mechanism of one gene, drawn at random, taken away; None if there is none left."""
        attended = [gene for gene in self._genes if params[f"{gene}.mechanism"] != NONE]
        if not attended:
            return None
        return {**params, f"{attended[random.integers(len(attended))]}.mechanism": NONE}

    def dearest(self, index: int) -> list[Placement]:
        """For each mechanism and position, the placement of block ``index`` with most hidden units and largest kernel."""
        block = self.trunk.blocks[index]
        return [
            Placement(
                option.name,
                position,
                min(option.reductions, default=None),
                max(
                    (adaptive_kernel(block.channels_at(position)) if k == "adaptive" else k for k in option.kernel_sizes),
                    default=None,
                ),
            ).canonical(block)
            for option in self._options.values()
            for position in option.positions
        ]

    @property
    def num_genes(self) -> int:
        """Number of independent choices of a placement."""
        return len(self._genes)


def _order(kernel_size: int | str) -> int:
    return 0 if kernel_size == "adaptive" else int(kernel_size)


def _nearest(legal: tuple[Any, ...], value: int | str) -> Any:
    """``value`` itself if legal, else the legal number nearest in ratio, else the first; None where nothing is legal."""
    if not legal or value in legal:
        return value if legal else None
    numbers = [choice for choice in legal if isinstance(choice, int)]
    if not numbers or not isinstance(value, int):
        return legal[0]
    return min(numbers, key=lambda choice: abs(log(choice / value)))
