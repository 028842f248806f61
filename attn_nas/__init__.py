"""Neural architecture search over attention placements in convolutional networks.

::

    import attn_nas as an

    search = an.Search(an.SearchSpace(trunk="resnet18", mechanisms=["se", "eca", "cbam"]), data="cifar10")
    search.optimize(n_trials=50)
    print(search.run.front)

The public names below are loaded when they are first used, so that importing this package takes no time. Everything else is
imported from its subpackage, such as `attn_nas.cost` or `attn_nas.models.slots`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from attn_nas.version import __version__

if TYPE_CHECKING:
    from attn_nas.attention.catalog import register_mechanism
    from attn_nas.attention.mechanism import Mechanism
    from attn_nas.data.own import OwnData
    from attn_nas.engine.search import Search, search
    from attn_nas.errors import AttnNasError
    from attn_nas.execution.settings import Local, Ray
    from attn_nas.models.build import build_model
    from attn_nas.models.insertion import insert, remove, sites
    from attn_nas.runs.run import Run
    from attn_nas.space.data_settings import ImageFolder
    from attn_nas.space.data_sources import register_dataset
    from attn_nas.space.genotype import Genotype, Placement
    from attn_nas.space.metric import Metric
    from attn_nas.space.schema import SearchSpace
    from attn_nas.space.trunks import Trunk, register_trunk
    from attn_nas.torchvision_operators import declare_torchvision_operators
    from attn_nas.training.objective import TrainingPaused, Trial

__all__ = [
    "AttnNasError",
    "Genotype",
    "ImageFolder",
    "Local",
    "Mechanism",
    "Metric",
    "OwnData",
    "Placement",
    "Ray",
    "Run",
    "Search",
    "SearchSpace",
    "TrainingPaused",
    "Trial",
    "Trunk",
    "__version__",
    "build_model",
    "declare_torchvision_operators",
    "insert",
    "register_dataset",
    "register_mechanism",
    "register_trunk",
    "remove",
    "search",
    "sites",
]

_PUBLIC = {
    "AttnNasError": "attn_nas.errors",
    "Genotype": "attn_nas.space.genotype",
    "ImageFolder": "attn_nas.space.data_settings",
    "Local": "attn_nas.execution.settings",
    "Mechanism": "attn_nas.attention.mechanism",
    "Metric": "attn_nas.space.metric",
    "OwnData": "attn_nas.data.own",
    "Placement": "attn_nas.space.genotype",
    "Ray": "attn_nas.execution.settings",
    "Run": "attn_nas.runs.run",
    "Search": "attn_nas.engine.search",
    "SearchSpace": "attn_nas.space.schema",
    "TrainingPaused": "attn_nas.training.objective",
    "Trial": "attn_nas.training.objective",
    "Trunk": "attn_nas.space.trunks",
    "build_model": "attn_nas.models.build",
    "declare_torchvision_operators": "attn_nas.torchvision_operators",
    "insert": "attn_nas.models.insertion",
    "register_dataset": "attn_nas.space.data_sources",
    "register_mechanism": "attn_nas.attention.catalog",
    "register_trunk": "attn_nas.space.trunks",
    "remove": "attn_nas.models.insertion",
    "search": "attn_nas.engine.search",
    "sites": "attn_nas.models.insertion",
}
_OF_OLDER_PLUGINS = {
    "Block": ("attn_nas.space.geometry", "Block"),
    "Hyperparameters": ("attn_nas.attention.mechanism", "Hyperparameters"),
    "Layout": ("attn_nas.space.geometry", "Layout"),
    "SlottedBlock": ("attn_nas.models.slots", "SlottedBlock"),
    "SlottedTrunk": ("attn_nas.models.slots", "SlottedTrunk"),
    "CostTable": ("attn_nas.cost", "CostTable"),
    "Task": ("attn_nas.space.task", "Task"),
    "count_cost": ("attn_nas.cost", "count_cost"),
    "Target": ("attn_nas.plugins.lazy_class", "LazyClass"),
    "TrunkFamily": ("attn_nas.space.geometry", "TrunkFamily"),
}
"""Names that plug-ins of older versions import from here; runs keep such plug-ins."""


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    if name in _OF_OLDER_PLUGINS:
        room, attribute = _OF_OLDER_PLUGINS[name]
        return getattr(import_module(room), attribute)
    raise AttributeError(f"module 'attn_nas' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
