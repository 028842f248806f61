"""The catalogue of mechanisms: the only registry. Reading it does not import torch.

The entries that come with the package are in ``attn_nas.attention.records``; a plug-in adds its own with
`register_mechanism`.
"""

from __future__ import annotations

from attn_nas import plugins
from attn_nas.attention.mechanism import POSITIONS, Mechanism
from attn_nas.attention.records import RECORDS
from attn_nas.errors import SpaceError, unknown

_CATALOG: dict[str, Mechanism] = {}
_ALIASES: dict[str, str] = {}


def register_mechanism(mechanism: Mechanism) -> Mechanism:
    """Add a mechanism to the catalogue.

    Raises:
        SpaceError: its name or one of its aliases is taken, or is the reserved word ``none``; it has no legal position.

    """
    for name in (mechanism.name, *mechanism.aliases):
        if name in _CATALOG or name in _ALIASES or name == "none":
            raise SpaceError(f"mechanism name {name!r} is taken: choose another")
    wrong = [position for position in mechanism.positions if position not in POSITIONS]
    if wrong or not mechanism.positions:
        raise SpaceError(f"{mechanism.name} has positions {mechanism.positions}: choose from {', '.join(POSITIONS)}")
    _CATALOG[mechanism.name] = mechanism
    _ALIASES.update(dict.fromkeys(mechanism.aliases, mechanism.name))
    return mechanism


def mechanism_names() -> list[str]:
    """All registered names, in order of registration; those of installed plug-ins included."""
    plugins.load_installed()
    return list(_CATALOG)


def get_mechanism(name: str) -> Mechanism:
    """The record for a name or an alias.

    Raises:
        SpaceError: no such mechanism.

    """
    plugins.load_installed()
    resolved = _ALIASES.get(name, name)
    if resolved not in _CATALOG:
        raise SpaceError(unknown("mechanism", name, _CATALOG))
    return _CATALOG[resolved]


for _record in RECORDS:
    register_mechanism(_record)
