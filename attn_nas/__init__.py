"""Neural architecture search over attention placements in CNNs.

The public names load what they need when they are first used, so that importing this package costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from attn_nas.version import __version__

if TYPE_CHECKING:
    from attn_nas.cost import CostTable, count_cost
    from attn_nas.errors import AttnNasError
    from attn_nas.export import export_front
    from attn_nas.models.build import build_model
    from attn_nas.space.genotype import Genotype, Placement
    from attn_nas.space.loading import load_space
    from attn_nas.space.trunks import Trunk
    from attn_nas.study.results import Run
    from attn_nas.study.search import search

_HOMES = {
    "AttnNasError": "attn_nas.errors",
    "CostTable": "attn_nas.cost",
    "Genotype": "attn_nas.space.genotype",
    "Placement": "attn_nas.space.genotype",
    "Run": "attn_nas.study.results",
    "Trunk": "attn_nas.space.trunks",
    "build_model": "attn_nas.models.build",
    "count_cost": "attn_nas.cost",
    "export_front": "attn_nas.export",
    "load_space": "attn_nas.space.loading",
    "search": "attn_nas.study.search",
}

__all__ = [
    "AttnNasError",
    "CostTable",
    "Genotype",
    "Placement",
    "Run",
    "Trunk",
    "__version__",
    "build_model",
    "count_cost",
    "export_front",
    "load_space",
    "search",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'attn_nas' has no attribute {name!r}")
