"""Genotypes: a trunk with a placement or None for every block and stage end, in canonical form."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from typing import Any

from attn_nas.attention.catalog import get_mechanism
from attn_nas.attention.mechanism import POSITIONS, Hyperparameters, KernelSize, Position
from attn_nas.errors import SpaceError, choose_from, unknown
from attn_nas.space.geometry import Site
from attn_nas.space.host import Host
from attn_nas.space.trunks import AnyTrunk, Trunk


@dataclass(frozen=True)
class Placement:
    """One mechanism at one insertion point.

    Args:
        mechanism: name or alias in the catalogue.
        position: insertion point within the block: ``standard``, ``pre``, ``inner``, ``pre_norm``, ``identity``, ``post``,
            ``replace`` (in the place of a convolution), or ``stage_end`` (between stages).
        reduction: reduction ratio ``C / h`` of a hidden layer; None if the mechanism has none.
        kernel_size: odd size in pixels, or ``"adaptive"``; None if the mechanism has none.
        groups: number of groups, heads or frequencies; None if the mechanism has none.
        identity_init: start the gate at the identity.

    """

    mechanism: str
    position: Position = "standard"
    reduction: int | None = None
    kernel_size: KernelSize | None = None
    groups: int | None = None
    identity_init: bool = False

    @property
    def hyperparameters(self) -> Hyperparameters:
        """Reduction, kernel size and groups."""
        return Hyperparameters(self.reduction, self.kernel_size, self.groups)

    def canonical(self, site: Site) -> Placement:
        """The canonical form: equal for all placements that give the same network at ``site``.

        Aliases and adaptive kernels are resolved, unused hyperparameters are removed, and reductions of equal hidden width
        become one.

        Raises:
            SpaceError: the mechanism or position is unknown, the mechanism cannot have the position, or a hyperparameter is
                invalid for the channels of the site.

        """
        mechanism = get_mechanism(self.mechanism)
        if self.position not in POSITIONS:
            raise SpaceError(unknown("position", self.position, POSITIONS))
        mechanism.check_position(self.position)
        if self.position not in site.positions:
            raise SpaceError(f"this site has no position {self.position!r}: choose from {', '.join(site.positions)}")
        if not isinstance(self.identity_init, bool):
            raise SpaceError(f"{mechanism.name}: identity_init = {self.identity_init!r}: choose true or false")
        if self.identity_init and not mechanism.identity_init:
            raise SpaceError(f"{mechanism.name} has no identity_init: leave it out")
        chosen = mechanism.canonical(site.block.channels_at(self.position), self.hyperparameters)
        return Placement(mechanism.name, self.position, **vars(chosen), identity_init=self.identity_init)

    def to_dict(self) -> dict[str, Any]:
        """The fields that are set, as plain data."""
        return {name: value for name, value in asdict(self).items() if value is not None and value is not False}

    @property
    def label(self) -> str:
        """Mechanism and hyperparameters without the position: ``gsop r2``."""
        parts = [self.mechanism]
        for letter, value in (("r", self.reduction), ("k", self.kernel_size), ("g", self.groups)):
            if value is not None:
                parts.append(f"{letter}{value}")
        if self.identity_init:
            parts.append("init=1")
        return " ".join(parts)

    def __str__(self) -> str:
        return self.label if self.position in ("standard", "stage_end") else f"{self.label}@{self.position}"


def _check_fields(kind: str, given: Mapping[str, Any], wanted: type[Trunk | Placement | Genotype]) -> None:
    known = [field.name for field in fields(wanted)]
    for name in given:
        if name not in known:
            raise SpaceError(f"{kind} has no field {name!r}: {choose_from(name, known)}")


@dataclass(frozen=True)
class Genotype:
    """A candidate network as a frozen, hashable value; genotypes of the same network are equal.

    Args:
        trunk: the trunk, or the host: a network of your own.
        placements: one placement or None for each block of the trunk, in order.
        stage_ends: one placement or None for each gap between two stages; all None by default.

    Raises:
        SpaceError: the number of entries is wrong, or a placement is invalid at its site.

    """

    trunk: AnyTrunk
    placements: tuple[Placement | None, ...]
    stage_ends: tuple[Placement | None, ...] = ()

    def __post_init__(self) -> None:
        trunk = self.trunk
        num_blocks, num_ends = len(trunk.blocks), len(trunk.sites) - len(trunk.blocks)
        ends = self.stage_ends or (None,) * num_ends
        for kind, given, wanted in (("blocks", self.placements, num_blocks), ("stage ends", ends, num_ends)):
            if len(given) != wanted:
                raise SpaceError(
                    f"{trunk} has {wanted} {kind}, but {len(given)} placements were given: give one (or None) for each"
                )
        canonical = []
        for site, placement in zip(trunk.sites, (*self.placements, *ends), strict=True):
            try:
                canonical.append(placement.canonical(site) if placement else None)
            except SpaceError as error:
                raise SpaceError(f"{site}: {error}") from None
        object.__setattr__(self, "placements", tuple(canonical[:num_blocks]))
        object.__setattr__(self, "stage_ends", tuple(canonical[num_blocks:]))

    @property
    def sites(self) -> Iterator[tuple[Site, Placement | None]]:
        """Every site of the trunk with its placement or None: blocks first, then stage ends."""
        return zip(self.trunk.sites, (*self.placements, *self.stage_ends), strict=True)

    @classmethod
    def of_sites(cls, trunk: AnyTrunk, placements: Sequence[Placement | None]) -> Genotype:
        """The genotype with one placement (or None) for each of the trunk's sites, in their order."""
        number = len(trunk.blocks)
        return cls(trunk, tuple(placements[:number]), tuple(placements[number:]))

    @classmethod
    def bare(cls, trunk: AnyTrunk) -> Genotype:
        """The trunk without attention."""
        return cls(trunk, (None,) * len(trunk.blocks))

    @cached_property
    def key(self) -> str:
        """Identifier of the network: twelve hexadecimal digits of a SHA-256 digest."""
        text = json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    @property
    def num_attended(self) -> int:
        """Number of sites with a mechanism."""
        return sum(placement is not None for _, placement in self.sites)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, the inverse of `from_dict`; ``stage_ends`` is present only if one has a placement."""
        found = {
            "trunk": self.trunk.to_dict() if isinstance(self.trunk, Host) else asdict(self.trunk),
            "placements": [placement and placement.to_dict() for placement in self.placements],
        }
        if any(self.stage_ends):
            found["stage_ends"] = [placement and placement.to_dict() for placement in self.stage_ends]
        return found

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Genotype:
        """The genotype that `to_dict` wrote.

        Raises:
            SpaceError: fields are missing or unknown, or the network is invalid.

        """
        try:
            lists: list[Sequence[Mapping[str, Any] | None]] = [data["placements"], data.get("stage_ends", ())]
            _check_fields("genotype", data, Genotype)
            is_host = "model" in data["trunk"]
            if not is_host:
                _check_fields("trunk", data["trunk"], Trunk)
            for placement in (*lists[0], *lists[1]):
                _check_fields("placement", placement or {}, Placement)
            blocks, ends = (tuple(Placement(**found) if found else None for found in each) for each in lists)
            return cls(Host.from_dict(data["trunk"]) if is_host else Trunk(**data["trunk"]), blocks, ends)
        except (KeyError, TypeError, AttributeError) as error:
            raise SpaceError(f"not a genotype: {error}; expected trunk and placements, as to_dict writes them") from None

    def to_json(self) -> str:
        """`to_dict` as one line of JSON."""
        return json.dumps(self.to_dict())

    @classmethod
    def from_json(cls, text: str) -> Genotype:
        """The genotype that `to_json` wrote.

        Raises:
            SpaceError: the text is not JSON, or not a genotype.

        """
        try:
            data = json.loads(text)
        except json.JSONDecodeError as error:
            raise SpaceError(f"not a genotype: {error}") from None
        return cls.from_dict(data)

    def __str__(self) -> str:
        """The placements, stages separated by bars: ``se r4 | - | gsop r2@pre``.

        A stage of equal blocks is written ``se r4 x3``, a placement between two stages ``se r4 |bam r16| -``.
        """
        stages: list[list[str]] = [[] for _ in range(self.trunk.num_stages)]
        for block, placement in zip(self.trunk.blocks, self.placements, strict=True):
            stages[block.stage].append(str(placement) if placement else "-")
        ends = self.stage_ends or (None,) * (self.trunk.num_stages - 1)
        bars = [f" |{placement}| " if placement else " | " for placement in ends]
        texts = [f"{names[0]} x{len(names)}" if len(set(names)) == 1 < len(names) else ", ".join(names) for names in stages]
        return "".join(part for pair in zip(texts, (*bars, ""), strict=True) for part in pair)
