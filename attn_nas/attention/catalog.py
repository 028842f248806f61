"""The catalogue of mechanisms: the only registry. Reading it does not import torch.

The entries that come with the package are in ``attn_nas.attention.records``; a plug-in adds its own with
`register_mechanism`.
"""

from __future__ import annotations

from attn_nas.attention.mechanism import Mechanism
from attn_nas.attention.records import RECORDS
from attn_nas.plugins.registry import Registry

_CATALOG: Registry[Mechanism] = Registry(
    "mechanism",
    {record.name: record for record in RECORDS},
    {alias: record.name for record in RECORDS for alias in record.aliases},
)


def register_mechanism(mechanism: Mechanism) -> Mechanism:
    """Add a mechanism to the catalogue.

    Raises:
        SpaceError: its name or one of its aliases is taken.

    """
    _CATALOG.add(mechanism, mechanism.name, mechanism.aliases)
    return mechanism


def mechanism_names() -> list[str]:
    """All registered names, in order of registration; those of installed plug-ins included."""
    return _CATALOG.names()


def get_mechanism(name: str) -> Mechanism:
    """The record for a name or an alias.

    Raises:
        SpaceError: no such mechanism.

    """
    return _CATALOG.get(name)
