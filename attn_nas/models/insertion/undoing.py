"""Undoes insertions: each changed module keeps what it had before, beside its parameters."""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import Tensor, nn

RECORD = "_before_attention"
"""Attribute of a changed module with the record of its changes, which copies and pickles of the module have too."""


class Before(NamedTuple):
    """What a module had before it was changed.

    ``kind`` is its class in a list, empty if it kept its class. ``modules`` are its submodules by name, None for those that it
    did not have. ``options`` are attributes that it did not have.
    """

    kind: list[type[nn.Module]]
    modules: dict[str, nn.Module | None]
    options: list[str]


def record_of(owner: nn.Module) -> Before:
    """The record of the module ``owner``, empty at first."""
    found: Before = vars(owner).setdefault(RECORD, Before([], {}, []))
    return found


def record_class(owner: nn.Module, kind: type[nn.Module]) -> None:
    """Note that the module ``owner`` had the class ``kind``, unless an earlier class is noted."""
    noted = record_of(owner).kind
    if not noted:
        noted.append(kind)


def record_module(owner: nn.Module, name: str) -> None:
    """Note the submodule ``name`` of ``owner``, or that there is none, unless this is noted already."""
    record_of(owner).modules.setdefault(name, owner._modules.get(name))


def record_option(owner: nn.Module, name: str) -> None:
    """Note that ``owner`` has no attribute ``name``."""
    record_of(owner).options.append(name)


def remove(model: nn.Module) -> nn.Module:
    """Take out of ``model`` all attention that was inserted, in place, and return it.

    Every module has its class, submodules, parameters and hooks of before, with the values that its parameters have now. A
    convolution that a mechanism had replaced is there again, with the weights that it had. A model without inserted attention
    stays as it is, and so does a trunk of this package that was built with attention.
    """
    for module in [*model.modules()]:
        before: Before | None = vars(module).pop(RECORD, None)
        if before is None:
            continue
        for name, earlier in before.modules.items():
            put_back(module, name, earlier)
        for name in before.options:
            delattr(module, name)
        if before.kind:
            module.__class__ = before.kind[0]
    return model


def put_back(owner: nn.Module, name: str, earlier: nn.Module | None) -> None:
    """Give ``owner`` the submodule ``earlier`` again as ``name``; with mode, device and data type of the present one."""
    present: Any = owner._modules.get(name)
    if earlier is None:
        owner._modules.pop(name, None)
        return
    like: Tensor | None = next(present.parameters(), None)
    if like is not None:
        earlier.to(like.device, like.dtype)
    owner._modules[name] = earlier.train(present.training)
