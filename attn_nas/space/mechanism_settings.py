"""The settings of one mechanism of a search space, and their check against a trunk."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, field_validator

from attn_nas.attention.catalog import get_mechanism, mechanism_names
from attn_nas.attention.mechanism import POSITIONS, KernelSize, Mechanism, Position
from attn_nas.errors import SpaceError, choose_from
from attn_nas.space.fields import Count, SettingsSection, Text, Truth, choice, suggested
from attn_nas.space.genotype import Placement
from attn_nas.space.geometry import Site
from attn_nas.space.trunks import AnyTrunk
from attn_nas.space.values import integer, numeral_mistake


def _kernel_size(value: object) -> object:
    if value == "adaptive":
        return value
    if not isinstance(value, str) or numeral_mistake(value):
        value = integer(value)
        if value >= 1 and value % 2:
            return value
    raise SpaceError("choose an odd integer such as 3, 5 or 7, or adaptive where the mechanism has it")


def _resolve(value: object) -> object:
    return get_mechanism(value).name if isinstance(value, str) else value


def _legal(field: str) -> AfterValidator:
    """Validator: text (a position, or ``adaptive``) must be in ``field`` of the mechanism of the same mapping."""

    def check(value: object, info: ValidationInfo) -> object:
        name = info.data.get("name")
        legal = getattr(get_mechanism(name), field) if name else ()
        if isinstance(value, str) and legal and value not in legal:
            raise SpaceError(f"{name} cannot have {value}: {choose_from(value, legal)}")
        return value

    return AfterValidator(check)


class MechanismSettings(SettingsSection):
    """One mechanism of the space; omitted hyperparameters take the choices of the catalogue."""

    name: Annotated[Text, BeforeValidator(_resolve)] = Field(
        description="Name in the catalogue.", json_schema_extra=suggested(mechanism_names)
    )
    reductions: list[Count] | None = Field(None, min_length=1, description="Reduction ratios to choose from.")
    kernel_sizes: list[Annotated[KernelSize, BeforeValidator(_kernel_size), _legal("kernel_sizes")]] | None = Field(
        None, min_length=1, description="Odd kernel sizes to choose from, or adaptive (ECA)."
    )
    groups: list[Count] | None = Field(
        None, min_length=1, description="Numbers of groups (heads, frequencies) to choose from; they must divide the channels."
    )
    positions: list[Annotated[Position, choice(POSITIONS), _legal("positions")]] | None = Field(
        None, min_length=1, description="Insertion points to choose from; by default standard, if the mechanism can have it."
    )
    identity_init: Truth = Field(False, description="Start the mechanism as the identity; only for mechanisms that support it.")

    @field_validator("reductions", "kernel_sizes", "groups", "positions")
    @classmethod
    def _fits(cls, values: list[object] | None, info: ValidationInfo) -> list[object] | None:
        name, field = info.data.get("name"), str(info.field_name)
        if values and name and not getattr(get_mechanism(name), field):
            raise SpaceError(f"{name} has no {field.replace('_', ' ')}: leave it out")
        if values and len(set(values)) < len(values):
            raise SpaceError("a value appears twice")
        return values

    @field_validator("identity_init")
    @classmethod
    def _can_start_there(cls, wanted: bool, info: ValidationInfo) -> bool:
        name = info.data.get("name")
        if wanted and name and not get_mechanism(name).identity_init:
            raise SpaceError(f"{name} has no identity_init: leave it out")
        return wanted

    @property
    def mechanism(self) -> Mechanism:
        """The record of the mechanism in the catalogue."""
        return get_mechanism(self.name)

    @property
    def legal_positions(self) -> tuple[Position, ...]:
        """The insertion points to choose from; the default position if none are given."""
        return tuple(self.positions or [self.mechanism.default_position])

    def with_positions_of(self, trunk: AnyTrunk) -> MechanismSettings:
        """These settings with positions: if none are given, ``standard`` where all sites of ``trunk`` have it, else ``post``.

        A mechanism that can have neither at all sites gets all its positions.
        """
        if self.positions:
            return self
        usual = (self.mechanism.default_position, "post")
        everywhere = [p for p in usual if p in self.mechanism.positions and all(p in site.positions for site in trunk.sites)]
        return self.model_copy(update={"positions": everywhere[:1] or [*self.mechanism.positions]})

    def problems(self, trunk: AnyTrunk) -> Iterator[tuple[tuple[str, int], str]]:
        """Hyperparameters that are invalid for ``trunk``: the path of each, and the reason."""
        typical = {"reduction": 1, "kernel_size": next(iter(self.mechanism.kernel_sizes), None), "groups": 1}
        for field, name in (("reductions", "reduction"), ("kernel_sizes", "kernel_size"), ("groups", "groups")):
            for index, value in enumerate(getattr(self, field) or ()):
                why = self._refusal(trunk, {**typical, name: value})
                if why:
                    yield (field, index), why

    def legal_groups(self, trunk: AnyTrunk) -> tuple[int, ...]:
        """The catalogue's numbers of groups that are valid at all sites of ``trunk``."""
        legal = [
            self.mechanism.legal_groups(site.block.channels_at(position)) for site, position in self._sites_and_positions(trunk)
        ]
        return tuple(number for number in self.mechanism.groups if all(number in found for found in legal))

    def _refusal(self, trunk: AnyTrunk, hyperparameters: dict[str, Any]) -> str | None:
        for site, position in self._sites_and_positions(trunk):
            try:
                Placement(self.name, position, **hyperparameters).canonical(site)
            except SpaceError as error:
                return f"{error} ({site})"
        return None

    def _sites_and_positions(self, trunk: AnyTrunk) -> Iterator[tuple[Site, Position]]:
        """Every pair of a site of ``trunk`` and a position of the site that these settings allow."""
        return ((site, position) for site in trunk.sites for position in self.legal_positions if position in site.positions)
