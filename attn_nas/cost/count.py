"""Counts the cost of a model with fvcore; every operator is counted."""

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
    """Cost of one inference with batch size 1; the unit of the first three is one multiply-add.

    Args:
        flops: all operators (complete FLOPs).
        macs: convolutions, linear layers and matrix products only, as papers report.
        fvcore_default: the operators that fvcore counts without additional handlers.
        params: number of parameters.

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
        """The cost that `to_dict` wrote.

        Raises:
            TypeError: fields are missing or unknown.
            ValueError: a field is not a whole number of at least 0.

        """
        made = cls(**data)
        if not all(type(number) is int and number >= 0 for number in made.astuple()):
            raise ValueError(f"{made} is not a cost: choose whole numbers of at least 0")
        return made


def count_module(module: nn.Module, shape: tuple[int, ...]) -> Cost:
    """Cost of ``module`` for one input ``(1, *shape)``; the module is not changed.

    Raises:
        CostError: the module has an operator without a counter.

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
    """Cost of a network for one image of ``task``.

    Args:
        model: a network that takes images ``(1, channels, height, width)``; it is not changed.
        task: the shape of the images.

    Raises:
        CostError: the network has an operator without a counter.

    """
    return count_module(model, (task.channels, task.height, task.width))
