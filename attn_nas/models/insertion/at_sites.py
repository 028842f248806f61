"""Inserts mechanisms at named modules of any model; everything is checked before anything changes."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from inspect import signature
from typing import Any, NamedTuple

from torch import nn

from attn_nas.models.insertion.any_block import give_slots
from attn_nas.models.insertion.derived import Derived
from attn_nas.models.insertion.hosts import HostBlock
from attn_nas.models.insertion.model_kinds import check_no_wrapper, check_plain
from attn_nas.models.insertion.placing import put, settle
from attn_nas.models.insertion.undoing import record_module


class SiteInsertion(NamedTuple):
    """A mechanism at the module ``site`` of a model, which is a ``kind``; it fills the submodule ``slot``.

    ``host`` is the class that gives a block of a known family its slots; None for a module of any other class.
    """

    site: str
    kind: str
    slot: str
    host: type[HostBlock] | None
    mechanism: type[nn.Module]
    channels: int
    arguments: dict[str, Any]
    replaces: bool = False


def insert_at_sites(model: nn.Module, insertions: Sequence[SiteInsertion], *, identity_init: bool = False) -> nn.Module:
    """Insert the mechanisms into ``model``, in place, and return it; all other weights keep their values and names.

    A module that gets a mechanism stays, with its modules, attributes and hooks, and gets a class derived from its own. With
    ``identity_init``, mechanisms that support it start as the identity.

    Raises:
        ValueError: the model has no such module, or one of another class; the module has attention there already, has weights
            that are not plain, or behaviour in training that would be lost; or a wrapper has fixed its parameters. The model
            is not changed.

    """
    check_no_wrapper(model)
    for insertion in insertions:
        check_site(model, insertion)
    replaced = place(model, insertions, identity_init=identity_init)
    if replaced:
        warnings.warn(f"convolutions were replaced, and their weights are lost: {', '.join(replaced)}", stacklevel=3)
    return model


def place(model: nn.Module, insertions: Sequence[SiteInsertion], *, identity_init: bool = False) -> list[str]:
    """Insert the mechanisms into ``model``, which has been checked; returns the paths of the convolutions that they replace.

    Raises:
        ValueError: a mechanism cannot have the channels of its site; the model is not changed.

    """
    like = next(model.parameters(), None)
    modules = [made_for(insertion, identity_init) for insertion in insertions]
    replaced = []
    for insertion, module in zip(insertions, modules, strict=True):
        block = model.get_submodule(insertion.site)
        near = next(block.parameters(), like)
        if near is not None:
            module.to(near.device, near.dtype)
        with_slots(block, insertion.host)
        target = f"{insertion.site}.{insertion.slot}"
        if insertion.host is None and insertion.slot not in block._modules:
            record_module(block, insertion.slot)
            block.add_module(insertion.slot, nn.Identity())
        put(model, target, module.train(block.training))
        if insertion.replaces:
            replaced.append(target)
    return replaced


def check_site(model: nn.Module, insertion: SiteInsertion) -> None:
    """Check that ``model`` has the module of ``insertion``, and that it is free.

    Raises:
        ValueError: it is not; the message names it.

    """
    site = insertion.site
    try:
        block = model.get_submodule(site)
    except AttributeError:
        raise ValueError(f"the model has no module {site}, in which a {insertion.kind} was expected") from None
    if type(block).__name__ != insertion.kind:
        raise ValueError(f"{site} is a {type(block).__name__}; the placements were found for a {insertion.kind}")
    if isinstance(block, Derived):
        filled = dict(block.named_modules()).get(insertion.slot, nn.Identity())
        if not isinstance(filled, nn.Conv2d if insertion.replaces else nn.Identity):
            raise ValueError(f"the model has attention at {site}.{insertion.slot} already: {type(filled).__name__}")
        return
    check_plain(site, block)
    if insertion.host:
        if not insertion.host.fits(block):
            raise ValueError(f"{site} has not the modules of {insertion.host.title}, for which the placements were found")
        settle(site, block, insertion.host)
    elif "forward" in vars(block):
        raise ValueError(f"{site} has a forward method of its own on the object: take off what has wrapped it, then insert")


def with_slots(block: nn.Module, host: type[HostBlock] | None) -> nn.Module:
    """Give ``block`` slots, unless it has them, and return it."""
    if host is None:
        return give_slots(block)
    return block if isinstance(block, Derived) else host.take(block)


def made_for(insertion: SiteInsertion, identity_init: bool) -> nn.Module:
    """The module of ``insertion``.

    Raises:
        ValueError: the mechanism cannot have these channels.

    """
    arguments = insertion.arguments
    if identity_init and "identity_init" in signature(insertion.mechanism).parameters:
        arguments = {**arguments, "identity_init": True}
    try:
        return insertion.mechanism(insertion.channels, **arguments)
    except ValueError as error:
        raise ValueError(f"{insertion.site}.{insertion.slot}: {error}") from None
