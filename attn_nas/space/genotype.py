"""The genotype: a trunk and one placement, or none, for every block; always in canonical form."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from typing import Any

from attn_nas.attention.catalog import POSITIONS, KernelSize, Position, get_mechanism
from attn_nas.errors import SpaceError, choose_from, unknown
from attn_nas.space.trunks import Block, Trunk


@dataclass(frozen=True)
class Placement:
    """One mechanism at one insertion point of a block, with the hyperparameters it has (the others are None)."""

    mechanism: str
    position: Position = "standard"
    reduction: int | None = None
    kernel_size: KernelSize | None = None

    def canonical(self, block: Block) -> Placement:
        """The placement that stands for all which give the same network at ``block``.

        Aliases are resolved, unused hyperparameters dropped, reductions of equal hidden width made one and an adaptive
        kernel resolved.

        Raises:
            SpaceError: unknown mechanism or position, an illegal pair, an impossible hyperparameter.

        """
        mechanism = get_mechanism(self.mechanism)
        if self.position not in POSITIONS:
            raise SpaceError(unknown("position", self.position, POSITIONS))
        mechanism.check_position(self.position)
        channels = block.channels_at(self.position)
        return Placement(
            mechanism.name,
            self.position,
            mechanism.canonical_reduction(channels, self.reduction),
            mechanism.canonical_kernel(channels, self.kernel_size),
        )

    def __str__(self) -> str:
        reduction = f" r{self.reduction}" if self.reduction is not None else ""
        kernel = f" k{self.kernel_size}" if self.kernel_size is not None else ""
        position = "" if self.position == "standard" else f"@{self.position}"
        return f"{self.mechanism}{reduction}{kernel}{position}"


def _check_fields(kind: str, given: Mapping[str, Any], wanted: type[Trunk | Placement]) -> None:
    known = [field.name for field in fields(wanted)]
    for name in given:
        if name not in known:
            raise SpaceError(f"{kind} has no field {name!r}: {choose_from(name, known)}")


@dataclass(frozen=True)
class Genotype:
    """A candidate network: hashable, equal to every other description of the same network.

    Raises:
        SpaceError: not one placement (or None) per block, or a placement that its block cannot have.

    """

    trunk: Trunk
    placements: tuple[Placement | None, ...]

    def __post_init__(self) -> None:
        blocks = self.trunk.blocks
        if len(self.placements) != len(blocks):
            raise SpaceError(
                f"{self.trunk} has {len(blocks)} blocks, but {len(self.placements)} placements were given: "
                "give one (or None) per block"
            )
        canonical = []
        for index, (placement, block) in enumerate(zip(self.placements, blocks, strict=True)):
            try:
                canonical.append(placement.canonical(block) if placement else None)
            except SpaceError as error:
                raise SpaceError(f"block {index}: {error}") from None
        object.__setattr__(self, "placements", tuple(canonical))

    @classmethod
    def bare(cls, trunk: Trunk) -> Genotype:
        """The trunk without attention."""
        return cls(trunk, (None,) * len(trunk.blocks))

    @cached_property
    def key(self) -> str:
        """Twelve hexadecimal digits that name the network everywhere."""
        text = json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    @property
    def num_attended(self) -> int:
        """Number of blocks with a mechanism."""
        return sum(placement is not None for placement in self.placements)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, the inverse of `from_dict`."""
        return {
            "trunk": asdict(self.trunk),
            "placements": [
                placement and {name: value for name, value in asdict(placement).items() if value is not None}
                for placement in self.placements
            ],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Genotype:
        """The genotype that `to_dict` wrote.

        Raises:
            SpaceError: missing or unknown fields, or a network that cannot be.

        """
        try:
            placements: Sequence[Mapping[str, Any] | None] = data["placements"]
            _check_fields("trunk", data["trunk"], Trunk)
            for placement in placements:
                _check_fields("placement", placement or {}, Placement)
            trunk = Trunk(**data["trunk"])
            return cls(trunk, tuple(Placement(**placement) if placement else None for placement in placements))
        except (KeyError, TypeError) as error:
            raise SpaceError(f"not a genotype: {error}; expected trunk and placements, as to_dict writes them") from None

    def to_json(self) -> str:
        """`to_dict` as one line of JSON."""
        return json.dumps(self.to_dict())

    @classmethod
    def from_json(cls, text: str) -> Genotype:
        """The genotype that `to_json` wrote; raises SpaceError."""
        try:
            data = json.loads(text)
        except json.JSONDecodeError as error:
            raise SpaceError(f"not a genotype: {error}") from None
        return cls.from_dict(data)

    def __str__(self) -> str:
        """The placements, stages separated by bars: ``se r4 | - | gsop r2@pre``; a stage of equal blocks as ``se r4 x3``."""
        stages: list[list[str]] = [[] for _ in range(self.trunk.num_stages)]
        for block, placement in zip(self.trunk.blocks, self.placements, strict=True):
            stages[block.stage].append(str(placement) if placement else "-")
        return " | ".join(
            f"{names[0]} x{len(names)}" if len(set(names)) == 1 < len(names) else ", ".join(names) for names in stages
        )
