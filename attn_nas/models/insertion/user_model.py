"""Networks of the user's own with attention: makes them, gives their modules slots, and fills these."""

from __future__ import annotations

import inspect
import json
from typing import Any

import torch
from torch import nn

from attn_nas.attention.catalog import get_mechanism
from attn_nas.errors import SpaceError, first_line
from attn_nas.models.insertion.at_sites import SiteInsertion, place, with_slots
from attn_nas.models.insertion.finding import check_names, find_modules
from attn_nas.models.insertion.known_blocks import KNOWN_BLOCKS
from attn_nas.plugins.user_code import UserCode
from attn_nas.space.genotype import Placement
from attn_nas.space.host import Host, HostModule, HostSite

NUM_CLASSES = ("num_classes", "n_classes", "classes", "num_labels", "nc")
"""Parameters of a function that makes a model to which the number of classes of the data is passed."""


def make_host(host: Host, num_classes: int | None = None) -> nn.Module:
    """The bare network of ``host``, made by the user's function.

    ``num_classes``, if it is known, is passed if the function has such a parameter that ``host.arguments`` does not set.

    Raises:
        SpaceError: the function is unknown, fails, or makes another network than the one whose sites were found.

    """
    maker = host.maker()
    function = maker.load() if isinstance(maker, UserCode) else maker
    model = call_maker(host.code, function, json.loads(host.arguments), num_classes or None)
    try:
        check_names(model, host.modules)
    except SpaceError as error:
        raise SpaceError(f"{host.code} makes another network than when its sites were found: {error}") from None
    return model


def found_in(
    code: str, function: Any, arguments: dict[str, Any], example: tuple[int, int, int], patterns: list[str] | None
) -> tuple[HostModule, ...]:
    """The modules of the network that ``function`` makes that may receive attention.

    Raises:
        SpaceError: the function fails.
        UsageError: the network has no such modules (see `attn_nas.sites`).

    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        return find_modules(call_maker(code, function, arguments), example, patterns)


def call_maker(code: str, function: Any, arguments: dict[str, Any], num_classes: int | None = None) -> nn.Module:
    """The module that ``function`` makes from ``arguments`` and, if it has a parameter for it, the number of classes.

    Raises:
        SpaceError: the function fails, or returns something else.

    """
    passed = dict(arguments)
    name = None if num_classes is None else class_parameter(function)
    if name and name not in passed:
        passed[name] = num_classes
    try:
        made = function(**passed)
    except Exception as error:
        given = ", ".join(f"{key}={value!r}" for key, value in passed.items())
        raise SpaceError(f"{code}({given}) fails: {type(error).__name__}: {first_line(error)}") from error
    if not isinstance(made, nn.Module):
        raise SpaceError(f"{code} returns a {type(made).__name__}: let it return a torch module")
    return made


def class_parameter(function: Any) -> str | None:
    """The parameter of ``function`` for the number of classes; ``num_classes`` if it passes keywords on; None without one."""
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):
        return None
    found = next((name for name in NUM_CLASSES if name in parameters), None)
    passes_on = any(each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters.values())
    return found or ("num_classes" if passes_on else None)


def with_all_slots(model: nn.Module, host: Host) -> nn.Module:
    """Give every module of ``host`` in ``model`` its slots, empty, and return the model."""
    for site in host.sites:
        block = with_slots(model.get_submodule(site.name), slots_class(site.block))
        for position in site.positions:
            name = site.block.slot(position)
            if not site.block.family and name not in block._modules:
                block.add_module(name, nn.Identity().train(block.training))
    return model


def slots_class(module: HostModule) -> Any:
    """The class that gives a block of a known family its slots; None for a module of any other class.

    Raises:
        SpaceError: no such family is known.

    """
    if not module.family:
        return None
    found = next((host for host in KNOWN_BLOCKS if host.title == module.family), None)
    if found is None:
        raise SpaceError(f"{module.name} was recognised as a block of {module.family}, which this version does not know")
    return found


def site_insertion(placement: Placement, site: HostSite) -> SiteInsertion:
    """The insertion of a canonical ``placement`` at ``site``."""
    mechanism = get_mechanism(placement.mechanism)
    arguments = mechanism.arguments(
        placement.hyperparameters,
        identity_init=placement.identity_init,
        stride=site.stride_at(placement.position),
    )
    return SiteInsertion(
        site.name,
        site.kind,
        site.block.slot(placement.position),
        slots_class(site.block),
        mechanism.load(),
        site.block.channels_at(placement.position),
        arguments,
        placement.position == "replace",
    )


def fill_site(model: nn.Module, placement: Placement, site: HostSite) -> None:
    """Insert a canonical ``placement`` at ``site`` of ``model``.

    Raises:
        SpaceError: the module cannot take it.

    """
    try:
        place(model, [site_insertion(placement, site)])
    except ValueError as error:
        raise SpaceError(str(error)) from None
