"""The catalogue of mechanisms; reading it does not import torch.

The built-in entries are in ``attn_nas.attention.records``; plug-ins add theirs with `register_mechanism`.
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
    """Add a mechanism to the catalogue, and return it.

    Raises:
        SpaceError: the name or one of the aliases is taken.

    """
    _CATALOG.add(mechanism, mechanism.name, mechanism.aliases)
    return mechanism


def mechanism_names() -> list[str]:
    """All registered names in order of registration, including those of installed plug-ins."""
    return _CATALOG.names()


def get_mechanism(name: str) -> Mechanism:
    """The record for a name or an alias.

    Raises:
        SpaceError: the name is unknown; the message lists all names.

    """
    return _CATALOG.get(name)
