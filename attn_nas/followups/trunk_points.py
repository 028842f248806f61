"""Trunks without attention, at other widths and depths than a run's own, and what they reached."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import isfinite, nan
from typing import Any

from attn_nas.cost import Cost
from attn_nas.runs.run import Run
from attn_nas.space.genotype import Genotype
from attn_nas.space.trunks import Trunk
from attn_nas.stats.uncertainty import Mean

DOCUMENT = "plain.json"
_COSTS = ("flops", "macs", "fvcore_default", "params")


def trunk_name(trunk: Trunk) -> str:
    """A trunk within its family: ``depth 8 width 17``."""
    return f"depth {trunk.depth} width {trunk.width}"


@dataclass(frozen=True)
class PlainPoint:
    """A trunk without attention, trained as the run's candidates were.

    ``by_seed`` are validation accuracies, shares of 1. ``accuracy`` is their mean; its standard error follows from the
    deviation over seeds that all trunks of the curve share, for a few seeds alone say little. ``added_flops`` are those over
    the run's bare trunk.
    """

    trunk: Trunk
    by_seed: Mapping[int, float]
    accuracy: Mean
    cost: Cost
    added_flops: int

    @property
    def name(self) -> str:
        """``depth 8 width 17``."""
        return trunk_name(self.trunk)

    @property
    def key(self) -> str:
        """That of the network."""
        return Genotype.bare(self.trunk).key

    @property
    def seeds(self) -> tuple[int, ...]:
        """With which it was trained."""
        return tuple(self.by_seed)

    @property
    def flops(self) -> int:
        """Of one image, in multiply-adds, every operator counted."""
        return self.cost.flops

    @property
    def macs(self) -> int:
        """Multiply-adds of convolutions and linear layers."""
        return self.cost.macs

    @property
    def params(self) -> int:
        """Number of parameters."""
        return self.cost.params

    def to_dict(self) -> dict[str, Any]:
        """Plain data, the inverse of `from_dict`."""
        return {
            "key": self.key,
            "name": self.name,
            "depth": self.trunk.depth,
            "width": self.trunk.width,
            "accuracy": self.accuracy.to_dict(),
            "by_seed": {str(seed): accuracy for seed, accuracy in self.by_seed.items()},
            **self.cost.to_dict(),
            "added_flops": self.added_flops,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], family: Trunk) -> PlainPoint:
        """The point that `to_dict` wrote, of the family of a trunk; raises ValueError, TypeError, KeyError, AttributeError."""
        mean, error = float(data["accuracy"]["mean"]), data["accuracy"]["standard_error"]
        if not isfinite(mean):
            raise ValueError(f"accuracy {mean}")
        return cls(
            replace(family, depth=data["depth"], width=data["width"]),
            {int(seed): float(share) for seed, share in data["by_seed"].items()},
            Mean(mean, nan if error is None else float(error)),
            Cost(*(int(data[name]) for name in _COSTS)),
            int(data["added_flops"]),
        )


def plain_points(run: Run) -> tuple[PlainPoint, ...]:
    """What the last ``attn-nas plain`` of ``run`` left, by rising FLOPs; nothing if that is missing or damaged."""
    family = run.space.trunk.trunk()
    try:
        document = json.loads((run.folder.path / DOCUMENT).read_text(encoding="utf-8"))
        found = [PlainPoint.from_dict(each, family) for each in document["points"]]
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return ()
    return tuple(sorted(found, key=lambda point: point.flops))
