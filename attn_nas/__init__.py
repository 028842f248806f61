"""Neural architecture search over attention placements in CNNs.

The public names load what they need when they are first used, so that importing this package costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from attn_nas.version import __version__

if TYPE_CHECKING:
    from attn_nas.attention.catalog import register_mechanism
    from attn_nas.attention.mechanism import Hyperparameters, Mechanism
    from attn_nas.cost import CostTable, count_cost
    from attn_nas.drawing import draw_svg, draw_text
    from attn_nas.engine.search import search
    from attn_nas.errors import AttnNasError
    from attn_nas.execution.ray_cluster.settings import RayCluster
    from attn_nas.export import export_front
    from attn_nas.models.build import build_model
    from attn_nas.models.insertion import insert
    from attn_nas.models.slots import SlottedBlock, SlottedTrunk
    from attn_nas.plugins.lazy_class import LazyClass
    from attn_nas.runs.run import Run
    from attn_nas.sampling.known_cost import KnownCostSampler
    from attn_nas.space.genotype import Genotype, Placement
    from attn_nas.space.geometry import Block, Layout, TrunkFamily
    from attn_nas.space.loading import load_space
    from attn_nas.space.schema import SearchSpace
    from attn_nas.space.task import Task
    from attn_nas.space.trunks import Trunk, register_trunk

_HOMES = {
    "AttnNasError": "attn_nas.errors",
    "Block": "attn_nas.space.geometry",
    "CostTable": "attn_nas.cost",
    "Genotype": "attn_nas.space.genotype",
    "Hyperparameters": "attn_nas.attention.mechanism",
    "KnownCostSampler": "attn_nas.sampling.known_cost",
    "Layout": "attn_nas.space.geometry",
    "Mechanism": "attn_nas.attention.mechanism",
    "Placement": "attn_nas.space.genotype",
    "RayCluster": "attn_nas.execution.ray_cluster.settings",
    "Run": "attn_nas.runs.run",
    "SearchSpace": "attn_nas.space.schema",
    "SlottedBlock": "attn_nas.models.slots",
    "SlottedTrunk": "attn_nas.models.slots",
    "LazyClass": "attn_nas.plugins.lazy_class",
    "Task": "attn_nas.space.task",
    "Trunk": "attn_nas.space.trunks",
    "TrunkFamily": "attn_nas.space.geometry",
    "build_model": "attn_nas.models.build",
    "count_cost": "attn_nas.cost",
    "draw_svg": "attn_nas.drawing",
    "draw_text": "attn_nas.drawing",
    "export_front": "attn_nas.export",
    "insert": "attn_nas.models.insertion",
    "load_space": "attn_nas.space.loading",
    "register_mechanism": "attn_nas.attention.catalog",
    "register_trunk": "attn_nas.space.trunks",
    "search": "attn_nas.engine.search",
}

__all__ = [
    "AttnNasError",
    "Block",
    "CostTable",
    "Genotype",
    "Hyperparameters",
    "KnownCostSampler",
    "Layout",
    "LazyClass",
    "Mechanism",
    "Placement",
    "RayCluster",
    "Run",
    "SearchSpace",
    "SlottedBlock",
    "SlottedTrunk",
    "Task",
    "Trunk",
    "TrunkFamily",
    "__version__",
    "build_model",
    "count_cost",
    "draw_svg",
    "draw_text",
    "export_front",
    "insert",
    "load_space",
    "register_mechanism",
    "register_trunk",
    "search",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'attn_nas' has no attribute {name!r}")
