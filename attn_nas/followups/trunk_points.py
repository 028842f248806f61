"""Trained trunks without attention, at several widths and depths: accuracy against FLOPs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import isfinite, nan
from typing import Any

from attn_nas.cost import Cost
from attn_nas.runs.run import Run
from attn_nas.space.genotype import Genotype
from attn_nas.space.host import Host
from attn_nas.space.metric import ACCURACY, Metric
from attn_nas.space.trunks import Trunk
from attn_nas.stats.uncertainty import Mean

DOCUMENT = "plain.json"
_COSTS = ("flops", "macs", "fvcore_default", "params")


def trunk_name(trunk: Trunk) -> str:
    """Name a trunk within its family, as ``depth 8 width 17``."""
    return f"depth {trunk.depth} width {trunk.width}"


@dataclass(frozen=True)
class TrunkPoint:
    """A trunk without attention, trained by the settings of the run's candidates.

    ``by_seed`` maps seeds to validation accuracies (0 to 1), or to scores of another metric. ``accuracy`` is their mean; its
    standard error uses one variance pooled over all trunks, since a few seeds of one trunk do not suffice. ``added_flops`` are
    relative to the run's own trunk.
    """

    trunk: Trunk
    by_seed: Mapping[int, float]
    accuracy: Mean
    cost: Cost
    added_flops: int

    @property
    def name(self) -> str:
        """The trunk's name, as ``depth 8 width 17``."""
        return trunk_name(self.trunk)

    @property
    def key(self) -> str:
        """Key of the network's genotype."""
        return Genotype.bare(self.trunk).key

    @property
    def seeds(self) -> tuple[int, ...]:
        """Seeds of the trainings."""
        return tuple(self.by_seed)

    @property
    def flops(self) -> int:
        """FLOPs of one image: multiply-adds of all operators."""
        return self.cost.flops

    @property
    def macs(self) -> int:
        """Multiply-adds of one image in convolutions and linear layers only."""
        return self.cost.macs

    @property
    def params(self) -> int:
        """Number of parameters."""
        return self.cost.params

    def to_dict(self, metric: Metric = ACCURACY) -> dict[str, Any]:
        """Return JSON-ready data in values of the ``metric``; `from_dict` reads it."""
        return {
            "key": self.key,
            "name": self.name,
            "depth": self.trunk.depth,
            "width": self.trunk.width,
            metric.name: replace(self.accuracy, value=metric.value(self.accuracy.value)).to_dict(),
            "by_seed": {str(seed): metric.value(score) for seed, score in self.by_seed.items()},
            **self.cost.to_dict(),
            "added_flops": self.added_flops,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], family: Trunk, metric: Metric = ACCURACY) -> TrunkPoint:
        """Read the data of `to_dict`; ``family`` is any trunk of the same family.

        Raises:
            ValueError, TypeError, KeyError, AttributeError: the data is damaged.

        """
        mean, error = float(data[metric.name]["mean"]), data[metric.name]["standard_error"]
        if not isfinite(mean):
            raise ValueError(f"{metric.name} {mean}")
        return cls(
            replace(family, depth=data["depth"], width=data["width"]),
            {int(seed): metric.score(float(value)) for seed, value in data["by_seed"].items()},
            Mean(metric.score(mean), nan if error is None else float(error)),
            Cost(*(int(data[name]) for name in _COSTS)),
            int(data["added_flops"]),
        )


def read_trunk_points(run: Run) -> tuple[TrunkPoint, ...]:
    """Read the result of the last ``attn-nas baseline`` of ``run``, by rising FLOPs; empty if it is missing or damaged."""
    family = run.space.network
    if isinstance(family, Host):
        return ()
    try:
        document = json.loads((run.folder.path / DOCUMENT).read_text(encoding="utf-8"))
        found = [TrunkPoint.from_dict(each, family, run.metric) for each in document["points"]]
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return ()
    return tuple(sorted(found, key=lambda point: point.flops))
