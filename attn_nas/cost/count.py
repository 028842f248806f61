"""Counting one model with fvcore, every operator accounted for."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn

from attn_nas.cost.handles import FREE, HANDLES
from attn_nas.errors import CostError
from attn_nas.space.task import Task

CONVENTION = "fvcore multiply-adds, eval mode, batch 1, every operator counted (version 1)"
_MAC_OPERATORS = frozenset({"conv", "linear", "addmm", "mm", "matmul", "bmm", "einsum"})


@dataclass(frozen=True)
class Cost:
    """Cost of one inference at batch 1; one multiply-add is one.

    ``flops`` counts every operator, ``macs`` convolutions, linear layers and matrix products alone (the figure that
    papers print), ``fvcore_default`` what fvcore counts by itself.
    """

    flops: int
    macs: int
    fvcore_default: int
    params: int

    def __add__(self, other: Cost) -> Cost:
        return Cost(*(a + b for a, b in zip(self.astuple(), other.astuple(), strict=True)))

    def __sub__(self, other: Cost) -> Cost:
        return Cost(*(a - b for a, b in zip(self.astuple(), other.astuple(), strict=True)))

    def astuple(self) -> tuple[int, int, int, int]:
        """The four numbers in order."""
        return self.flops, self.macs, self.fvcore_default, self.params

    def to_dict(self) -> dict[str, int]:
        """The four numbers by name."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Cost:
        """The cost that `to_dict` wrote; raises ValueError, TypeError."""
        made = cls(**data)
        if not all(type(number) is int and number >= 0 for number in made.astuple()):
            raise ValueError(f"{made} is no cost: whole numbers are")
        return made


def count_module(module: nn.Module, shape: tuple[int, ...]) -> Cost:
    """Cost of ``module`` on one input ``(1, *shape)``; the module itself is left untouched.

    Raises:
        CostError: an operator that no counter knows.

    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*torch.jit.*", category=DeprecationWarning)
        warnings.filterwarnings("ignore", message=".*torch.jit.*", category=FutureWarning)
        from fvcore.nn import FlopCountAnalysis

        frozen = copy.deepcopy(module).cpu().float().eval()
        analysis = FlopCountAnalysis(frozen, torch.zeros(1, *shape))
        analysis.set_op_handle(**HANDLES, **dict.fromkeys(FREE))
        analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
        counted = {name: round(number) for name, number in analysis.by_operator().items()}
        unknown = analysis.unsupported_ops()
    if unknown:
        raise CostError(f"no cost is known for {', '.join(sorted(unknown))}: add a counter to attn_nas.cost.handles")
    ours = {name.removeprefix("aten::") for name in HANDLES}
    return Cost(
        flops=sum(counted.values()),
        macs=sum(number for name, number in counted.items() if name in _MAC_OPERATORS),
        fvcore_default=sum(number for name, number in counted.items() if name not in ours),
        params=sum(parameter.numel() for parameter in module.parameters()),
    )


def count_cost(model: nn.Module, task: Task) -> Cost:
    """Cost of a whole network for one image of ``task``; raises CostError."""
    return count_module(model, (task.channels, task.height, task.width))
