"""The layers and slots that an image passes in a block of a trunk, by the names that layouts use."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from attn_nas.attention.mechanism import POSITIONS
from attn_nas.models.build import get_slot
from attn_nas.space.geometry import Block
from attn_nas.space.task import Task
from attn_nas.space.trunks import Trunk

if TYPE_CHECKING:
    from torch import nn

_NAMES = {
    "add": "+",
    "mul": "scale",
    "hardswish": "h-swish",
    "hardtanh": "relu6",
    "batch_norm": "norm",
    "group_norm": "norm",
    "instance_norm": "norm",
    "layer_norm": "norm",
    "rms_norm": "norm",
}


def in_order(block: Block) -> list[list[str]]:
    """Return the names that `passages` must find in this order: along the branch, and along the shortcut if there is one.

    Layers whose names are not torch functions are left out.
    """
    layout = block.layout
    after = ["+", *layout.after] if block.shortcut else []
    paths = [[*layout.branch, *after]] + ([[*layout.shortcut, *after]] if block.shortcut else [])
    return [[known for name in path for known in _known_names(name, block)] for path in paths]


def _known_names(name: str, block: Block) -> list[str]:
    if name in POSITIONS:
        slot = [name] if name in block.positions else []
        return slot + (_known_names(block.layout.replaced, block) if name == "replace" else [])
    from torch.nn import functional

    last = name.rpartition(" ")[2]
    known = last in _NAMES.values() or re.fullmatch(r"\d+x\d+", last) or hasattr(functional, last)
    return [last] if known else []


def passages(model: nn.Module, trunk: Trunk, task: Task) -> list[list[str]]:
    """Return for each block the slots and torch functions that one image of ``task`` passes, by the names of layouts.

    A convolution is named by the size of its kernel, such as ``3x3``.
    """
    import torch
    from torch.overrides import TorchFunctionMode

    found: list[list[str]] = []
    within: list[str] | None = None

    class Recorded(TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if within is not None:
                within.append(_layout_name(func, args, kwargs or {}))
            return func(*args, **(kwargs or {}))

    def begin(*_: object) -> None:
        nonlocal within
        within = []

    def end(*_: object) -> None:
        nonlocal within
        found.append(within or [])
        within = None

    def note(position: str) -> Callable[..., None]:
        return lambda *_: within.append(position) if within is not None else None

    hooks = []
    for index, block in enumerate(trunk.blocks):
        module = get_slot(model, f"blocks.{index}")
        hooks += [module.register_forward_pre_hook(begin), module.register_forward_hook(end)]
        for position in block.positions:
            hooks.append(get_slot(module, block.slot(position)).register_forward_pre_hook(note(position)))
    with torch.no_grad(), Recorded():
        model.eval()(torch.zeros(1, task.channels, task.height, task.width))
    for hook in hooks:
        hook.remove()
    return found


def _layout_name(func: Any, args: tuple[Any, ...], named: dict[str, Any]) -> str:
    name = func.__name__.strip("_")
    if name == "conv2d":
        weight = args[1] if len(args) > 1 else named["weight"]
        return "x".join(map(str, weight.shape[2:]))
    return _NAMES.get(name, name)
