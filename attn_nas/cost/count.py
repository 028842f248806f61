"""Counts the cost of a model with fvcore; every operator is counted."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree

from attn_nas.cost.handles import FREE, HANDLES, per_output
from attn_nas.errors import CostError
from attn_nas.space.host import Host
from attn_nas.space.task import Task
from attn_nas.space.trunks import AnyTrunk

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


class _Flat(nn.Module):
    """``network`` with its output as a tuple of tensors: mappings and other objects cannot be traced."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Tensors of the output."""
        return tuple(each for each in _pytree.tree_leaves(self.network(x)) if isinstance(each, Tensor))


def count_module(module: nn.Module, shape: tuple[int, ...], *, of_user: bool = False) -> Cost:
    """Cost of ``module`` for one input ``(1, *shape)``; the module is not changed.

    In a network of the user's own (``of_user``) an operator without a counter costs 1 per element of its output, as elementwise
    arithmetic does; such a network may have outputs other than a tensor.

    Raises:
        CostError: the module has an operator without a counter.

    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*torch.jit.*", category=DeprecationWarning)
        warnings.filterwarnings("ignore", message=".*torch.jit.*", category=FutureWarning)
        from fvcore.nn import FlopCountAnalysis

        frozen = copy.deepcopy(module).cpu().float().eval()
        handles = HANDLES
        for _ in range(2):
            analysis = FlopCountAnalysis(_Flat(frozen) if of_user else frozen, torch.zeros(1, *shape))
            analysis.set_op_handle(**handles, **dict.fromkeys(FREE))
            analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).tracer_warnings("none")
            counted = {name: round(number) for name, number in analysis.by_operator().items()}
            unknown = analysis.unsupported_ops()
            if not (unknown and of_user):
                break
            handles = {**HANDLES, **{name: per_output() for name in unknown}}
    if unknown:
        raise CostError(f"no cost is known for {', '.join(sorted(unknown))}: add a counter to attn_nas.cost.handles")
    ours = {name.removeprefix("aten::") for name in handles}
    return Cost(
        flops=sum(counted.values()),
        macs=sum(number for name, number in counted.items() if name in _MAC_OPERATORS),
        fvcore_default=sum(number for name, number in counted.items() if name not in ours),
        params=sum(parameter.numel() for parameter in module.parameters()),
    )


def count_cost(model: nn.Module, task: Task, *, of_user: bool = False) -> Cost:
    """Cost of a network for one image of ``task``.

    Args:
        model: a network that takes images ``(1, channels, height, width)``; it is not changed.
        task: the shape of the images.
        of_user: whether it is a network of the user's own, see `count_module`.

    Raises:
        CostError: the network has an operator without a counter.

    """
    return count_module(model, (task.channels, task.height, task.width), of_user=of_user)


def count_network(model: nn.Module, trunk: AnyTrunk, task: Task) -> Cost:
    """Cost of ``model``, a network of ``trunk``, for one image of ``task``; see `count_cost` for errors."""
    return count_cost(model, task, of_user=isinstance(trunk, Host))
