"""Converts genotypes to flat categorical parameters and back.

Every gene always has all its parameters; decoding ignores those that its mechanism does not use. With conditional parameters,
several of Optuna's samplers would draw at random instead of learning.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from math import log, prod
from typing import Any

import numpy as np

from attn_nas.attention.mechanism import KernelSize, Position
from attn_nas.attention.sizes import adaptive_kernel
from attn_nas.errors import SpaceError
from attn_nas.space.genotype import Genotype, Placement
from attn_nas.space.geometry import Site
from attn_nas.space.mechanism_settings import MechanismSettings
from attn_nas.space.schema import SearchSpace
from attn_nas.space.trunks import AnyTrunk

NONE = "none"
_CHOSEN = ("position", "reduction", "kernel_size", "groups")
Choices = dict[str, tuple[str | int, ...]]


@dataclass(frozen=True)
class _Option:
    """The choices of one mechanism of the space."""

    name: str
    reductions: tuple[int, ...]
    kernel_sizes: tuple[KernelSize, ...]
    groups: tuple[int, ...]
    positions: tuple[Position, ...]
    identity_init: bool

    @classmethod
    def of(cls, settings: MechanismSettings, trunk: AnyTrunk) -> _Option:
        mechanism = settings.mechanism
        return cls(
            mechanism.name,
            tuple(settings.reductions or mechanism.reductions),
            tuple(settings.kernel_sizes or mechanism.kernel_sizes),
            tuple(settings.groups or settings.legal_groups(trunk)),
            settings.legal_positions,
            settings.identity_init,
        )

    def decode(self, site: Site, raw: Mapping[str, Any]) -> Placement | None:
        """The placement of ``raw`` choices at ``site``.

        Values that the mechanism lacks become the nearest legal ones; None if no position of the site is legal.
        """
        legal = [choice for choice in self.positions if choice in site.positions]
        if not legal:
            return None
        return Placement(
            self.name,
            next((choice for choice in legal if choice == raw["position"]), legal[0]),
            nearest(self.reductions, raw["reduction"]),
            nearest(self.kernel_sizes, raw["kernel_size"]),
            nearest(self.groups, raw.get("groups")),
            self.identity_init,
        )

    def raw_choices(self, choices: Choices, gene: str) -> Iterator[dict[str, str | int]]:
        """Every set of parameters that selects this mechanism for a gene; unused parameters take their first choice."""
        own = (self.positions, self.reductions, self.kernel_sizes, self.groups)
        used = {name: values for name, values in zip(_CHOSEN, own, strict=True) if f"{gene}.{name}" in choices}
        for values in product(*(values or choices[f"{gene}.{name}"][:1] for name, values in used.items())):
            yield {"mechanism": self.name, **dict(zip(used, values, strict=True))}


class Encoding:
    """The flat parameters of a search space.

    A gene is a block, a stage whose blocks share one choice, or a stage end. It has four categorical parameters, ``mechanism``,
    ``position``, ``reduction`` and ``kernel_size``, and a fifth, ``groups``, if a mechanism has groups. Stage ends have genes
    only if a mechanism of the space may be placed there.
    """

    def __init__(self, space: SearchSpace) -> None:
        self.trunk: AnyTrunk = space.network
        self._options = {settings.name: _Option.of(settings, self.trunk) for settings in space.mechanisms}
        self._genes: dict[str, list[int]] = {}
        self.choices: Choices = {}
        self._rows_of_params: dict[str, dict[tuple[Any, ...], int]] = {}
        for index, site in enumerate(self.trunk.sites):
            gene = f"block{site.index}"
            if site.at_stage_end:
                gene = f"end{site.index}"
            elif space.granularity == "per_stage":
                gene = f"stage{site.block.stage}"
            self._genes.setdefault(gene, []).append(index)
        for gene, indices in [*self._genes.items()]:
            positions = {position for index in indices for position in self.trunk.sites[index].positions}
            options = [option for option in self._options.values() if positions.intersection(option.positions)]
            if options:
                choices = _gene_choices(options, positions)
                self.choices.update({f"{gene}.{name}": values for name, values in choices.items()})
            else:
                del self._genes[gene]

    def decode(self, params: Mapping[str, Any]) -> Genotype:
        """The genotype of a full set of parameters, by ``gene.parameter``."""
        placements: list[Placement | None] = [None] * len(self.trunk.sites)
        for gene, indices in self._genes.items():
            raw = {name: params.get(f"{gene}.{name}") for name in ("mechanism", *_CHOSEN)}
            for index in indices:
                placements[index] = self._decode_site(self.trunk.sites[index], raw)
        return Genotype.of_sites(self.trunk, placements)

    def _decode_site(self, site: Site, raw: Mapping[str, Any]) -> Placement | None:
        if raw["mechanism"] == NONE:
            return None
        return self._options[raw["mechanism"]].decode(site, raw)

    def encode(self, genotype: Genotype) -> dict[str, str | int]:
        """Parameters that decode to ``genotype``; unused parameters take their first choice.

        Raises:
            SpaceError: the genotype is not in the space.

        """
        params = {name: values[0] for name, values in self.choices.items()}
        wanted = [placement for _, placement in genotype.sites]
        covered = {index for indices in self._genes.values() for index in indices}
        for index, placement in enumerate(wanted):
            if placement and index not in covered:
                raise SpaceError(f"{self.trunk.sites[index]}: {placement} is not in the search space")
        for gene, indices in self._genes.items():
            if any(wanted[index] for index in indices):
                chosen = self._encode_gene(gene, {index: wanted[index] for index in indices})
                params.update({f"{gene}.{name}": value for name, value in chosen.items()})
        return params

    def _encode_gene(self, gene: str, wanted: Mapping[int, Placement | None]) -> dict[str, str | int]:
        index, first = next((index, placement) for index, placement in wanted.items() if placement)
        option = self._options.get(first.mechanism)
        for raw in option.raw_choices(self.choices, gene) if option else ():
            if all(self._decodes_to(self.trunk.sites[i], raw, placement) for i, placement in wanted.items()):
                return raw
        site = self.trunk.sites[index]
        raise SpaceError(f"{site}: {first} is not in the search space, or its stage is tied to another choice")

    def _decodes_to(self, site: Site, raw: Mapping[str, Any], placement: Placement | None) -> bool:
        decoded = self._decode_site(site, raw)
        return (decoded.canonical(site) if decoded else None) == placement

    @property
    def num_genotypes(self) -> int:
        """Number of distinct networks in the space."""
        return prod(len(options) for options in self.options)

    def genotypes(self) -> Iterator[Genotype]:
        """Every distinct network of the space once, the bare trunk first; for small spaces."""
        for row in product(*(range(len(options)) for options in self.options)):
            yield self.from_row(row)

    @cached_property
    def options(self) -> list[list[tuple[Placement | None, ...]]]:
        """For each gene, every distinct combination of placements at its `sites`; the first is no attention."""
        found = []
        for gene, sites in zip(self._genes, self.sites, strict=True):
            options: dict[tuple[Placement | None, ...], None] = {(None,) * len(sites): None}
            for option in self._options.values():
                for raw in option.raw_choices(self.choices, gene):
                    placements = [option.decode(site, raw) for site in sites]
                    options[
                        tuple(
                            placement.canonical(site) if placement else None
                            for site, placement in zip(sites, placements, strict=True)
                        )
                    ] = None
            found.append([*options])
        return found

    def random(self, rng: np.random.Generator) -> dict[str, Any]:
        """A full set of parameters, each drawn uniformly from its choices."""
        return {name: values[rng.integers(len(values))] for name, values in self.choices.items()}

    @property
    def sites(self) -> list[list[Site]]:
        """For each gene, the sites that it determines."""
        return [[self.trunk.sites[index] for index in indices] for indices in self._genes.values()]

    def from_row(self, row: Sequence[int]) -> Genotype:
        """The network whose gene ``i`` has option ``row[i]`` of `options`; equal networks have equal rows."""
        placements: list[Placement | None] = [None] * len(self.trunk.sites)
        for indices, options, number in zip(self._genes.values(), self.options, row, strict=True):
            for index, placement in zip(indices, options[number], strict=True):
                placements[index] = placement
        return Genotype.of_sites(self.trunk, placements)

    def params_to_row(self, params: Mapping[str, Any]) -> list[int]:
        """The row of the network that ``params`` decode to; faster than `decode`."""
        found = []
        for gene, indices, numbers in zip(self._genes, self._genes.values(), self._numbers, strict=True):
            raw = tuple(params.get(f"{gene}.{name}") for name in ("mechanism", *_CHOSEN))
            known = self._rows_of_params.setdefault(gene, {})
            if raw not in known:
                decoded = self.decode(params)
                placements = [placement for _, placement in decoded.sites]
                known[raw] = numbers[tuple(placements[index] for index in indices)]
            found.append(known[raw])
        return found

    def to_row(self, genotype: Genotype) -> list[int] | None:
        """The row of ``genotype``, the inverse of `from_row`; None if it is not in the space."""
        wanted = [placement for _, placement in genotype.sites]
        covered = {index for indices in self._genes.values() for index in indices}
        if genotype.trunk != self.trunk or any(wanted[index] for index in range(len(wanted)) if index not in covered):
            return None
        taken = [tuple(wanted[index] for index in indices) for indices in self._genes.values()]
        numbers = [numbered.get(each) for numbered, each in zip(self._numbers, taken, strict=True)]
        return None if None in numbers else [number for number in numbers if number is not None]

    @cached_property
    def _numbers(self) -> list[dict[tuple[Placement | None, ...], int]]:
        return [{option: number for number, option in enumerate(options)} for options in self.options]

    def without_a_mechanism(self, params: Mapping[str, Any], random: np.random.Generator) -> dict[str, Any] | None:
        """``params`` with the mechanism of a random gene removed; None if no gene has one."""
        attended = [gene for gene in self._genes if params[f"{gene}.mechanism"] != NONE]
        if not attended:
            return None
        return {**params, f"{attended[random.integers(len(attended))]}.mechanism": NONE}

    def costliest_placements(self, site: Site) -> list[Placement]:
        """The most costly placements at ``site`` for each mechanism and position.

        They have the smallest reduction, the largest kernel and each number of groups.
        """
        return [
            Placement(
                option.name,
                position,
                min(option.reductions, default=None),
                max(
                    (adaptive_kernel(site.block.channels_at(position)) if k == "adaptive" else k for k in option.kernel_sizes),
                    default=None,
                ),
                groups,
                option.identity_init,
            ).canonical(site)
            for option in self._options.values()
            for position in option.positions
            if position in site.positions
            for groups in option.groups or (None,)
        ]

    @property
    def num_genes(self) -> int:
        """Number of genes."""
        return len(self._genes)


def _gene_choices(options: list[_Option], positions: set[Position]) -> Choices:
    """The choices of one gene by parameter; positions are limited to ``positions``."""

    def collected(of: Callable[[_Option], tuple[Any, ...]]) -> list[Any]:
        return list(dict.fromkeys(value for option in options for value in of(option)))

    choices: Choices = {
        "mechanism": (NONE, *(option.name for option in options)),
        "position": tuple(p for p in collected(lambda option: option.positions) if p in positions),
        "reduction": tuple(sorted(collected(lambda option: option.reductions))) or (0,),
        "kernel_size": tuple(sorted(collected(lambda option: option.kernel_sizes), key=_order)) or (0,),
    }
    groups = tuple(sorted(collected(lambda option: option.groups)))
    return {**choices, "groups": groups} if groups else choices


def _order(kernel_size: int | str) -> int:
    return 0 if kernel_size == "adaptive" else int(kernel_size)


def nearest(legal: Sequence[Any], value: object) -> Any:
    """``value`` if legal, else the legal number nearest in ratio, else the first choice; None without legal choices."""
    if not legal or value in legal:
        return value if legal else None
    numbers = [choice for choice in legal if isinstance(choice, int)]
    if not numbers or not isinstance(value, int) or value < 1:
        return legal[0]
    return min(numbers, key=lambda choice: abs(log(choice / value)))
