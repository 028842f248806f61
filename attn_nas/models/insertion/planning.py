"""`insert`: finds where placements belong in a model, and inserts them."""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

from torch import nn

from attn_nas.attention.catalog import get_mechanism
from attn_nas.errors import SpaceError, UsageError
from attn_nas.models.build import site_call, trunk_call, trunk_without_weights
from attn_nas.models.insertion.at_sites import insert_at_sites
from attn_nas.models.insertion.block_probe import Geometry, observe
from attn_nas.models.insertion.finding import known_sites
from attn_nas.models.insertion.finding import sites as find_sites
from attn_nas.models.insertion.hosts import HostBlock
from attn_nas.models.insertion.known_blocks import HOSTS, KNOWN_BLOCKS
from attn_nas.models.insertion.placing import Insertion, InsertionPlan, insert_mechanisms
from attn_nas.models.insertion.user_model import site_insertion
from attn_nas.space.genotype import Genotype, Placement
from attn_nas.space.geometry import Site
from attn_nas.space.host import HostSite, usual_position
from attn_nas.space.trunks import Trunk

Placements = Genotype | Mapping[Any, Any] | str | Path
"""What `insert` takes: a genotype, its plain data, the path of an export, or placements by site."""


def _is_genotype(given: Mapping[Any, Any]) -> bool:
    """True for the plain data of a genotype, or of an export that has one; a site may be called trunk or genotype as well."""
    inner = given.get("genotype", given)
    return isinstance(inner, Mapping) and {"trunk", "placements"} <= set(inner)


def insert(model: nn.Module, placements: Placements, *, example: Any = None, identity_init: bool = False) -> nn.Module:
    """Insert attention into ``model``, in place, and return it; `remove` takes it out again.

    All present weights keep their values and names, and the modules of the model their class, attributes and hooks (a module
    that gets attention has a class derived from its own). New modules are initialised from torch's global generator, with the
    device and data type of their block.

    Args:
        model: any module, for placements by site or the genotype of a search on your own model. For the genotype of a trunk a
            ResNet, ResNeXt, ConvNeXt, MobileNetV2 or V3 of torchvision or timm, a ResNet for CIFAR, a trunk of attn-nas, or a
            model that contains one: it must have the blocks of the genotype's trunk; its width may differ, and dilation may
            take the place of a stride.
        placements: placements by site, as ``{"decoder.blocks.*": "se"}``: keys are values of `sites`, or patterns of dotted
            names; values are a `Placement`, its plain data, or the name of a mechanism, which then has the hyperparameters of
            its paper and the first of ``standard`` and ``post`` that the site has. Or a genotype, its plain data, or the path
            of an exported folder or its ``config.json``.
        example: an input of the model as in `sites`; needed where a name is that of a module of no known family.
        identity_init: start every mechanism that supports it as the identity, so that pretrained features are unchanged at
            first; overrides the genotype.

    Raises:
        UsageError: the model lacks such blocks; a block differs from the trunk's (the first is named), has attention already,
            has channels that a mechanism cannot have, or does in training what would be lost; the model is pruned,
            parametrised or quantised, or is in a wrapper that has fixed its parameters, such as DistributedDataParallel. The
            model is not changed.
        SpaceError: ``placements`` are neither placements nor a genotype.

    Warns:
        UserWarning: convolutions were replaced by mechanisms, and their weights are lost.

    """
    if not isinstance(model, nn.Module):
        raise UsageError(f"model is a {type(model).__name__}: give a torch module first, then a genotype or placements")
    if isinstance(placements, Mapping) and not _is_genotype(placements):
        wanted = placements_by_site(model, placements, example)
    else:
        genotype = read_genotype(placements)
        if isinstance(genotype.trunk, Trunk):
            try:
                return insert_mechanisms(model, plan_of(genotype), KNOWN_BLOCKS, identity_init=identity_init)
            except ValueError as error:
                raise UsageError(str(error)) from error
        wanted = [(site, placement) for site, placement in genotype.sites if placement and isinstance(site, HostSite)]
    try:
        return insert_at_sites(
            model, [site_insertion(placement, site) for site, placement in wanted], identity_init=identity_init
        )
    except ValueError as error:
        raise (error if isinstance(error, SpaceError) else UsageError(str(error))) from error


def placements_by_site(model: nn.Module, given: Mapping[Any, Any], example: Any) -> list[tuple[HostSite, Placement]]:
    """Each site of ``given`` with its canonical placement.

    Raises:
        UsageError: a key fits no module of ``model``, or needs an example; or a site has two placements.
        SpaceError: a placement is invalid at its site.

    """
    found: dict[str, tuple[HostSite, Placement]] = {}
    for key, value in given.items():
        for site in [key] if isinstance(key, HostSite) else named_sites(model, key, example):
            if site.name in found:
                raise UsageError(f"{site.name} has two placements: leave one out")
            try:
                found[site.name] = site, placement_at(site, value).canonical(site)
            except SpaceError as error:
                raise SpaceError(f"{site}: {error}") from None
    return [*found.values()]


def named_sites(model: nn.Module, pattern: object, example: Any) -> list[HostSite]:
    """The sites whose names fit ``pattern``; raises UsageError."""
    if not isinstance(pattern, str):
        raise UsageError(f"placements: {pattern!r} is neither a site nor a name: give values of sites(), or dotted names")
    found = find_sites(model, example, sites=[pattern]) if example is not None else known_sites(model, pattern)
    if not found:
        raise UsageError(
            f"placements: no block of a known family has a name that fits {pattern!r}: give an example of the model's input "
            "(example=), so that the maps of other modules are known"
        )
    return found


def placement_at(site: HostSite, value: object) -> Placement:
    """The placement that a value of a mapping stands for at ``site``; raises SpaceError."""
    if isinstance(value, Placement):
        return value
    if isinstance(value, Mapping):
        try:
            return Placement(**{"position": usual_position(get_mechanism(value["mechanism"]), site), **value})
        except (KeyError, TypeError) as error:
            raise SpaceError(
                f"{dict(value)!r} is no placement: {error}; give mechanism, position and hyperparameters"
            ) from None
    if not isinstance(value, str):
        raise SpaceError(f"{value!r} is no placement: give a Placement, or the name of a mechanism")
    mechanism = get_mechanism(value)
    position = usual_position(mechanism, site)
    return Placement(mechanism.name, position, **vars(mechanism.typical_at(site.block.channels_at(position))))


def read_genotype(given: Genotype | Mapping[str, Any] | str | Path) -> Genotype:
    """The genotype of an argument of `insert`.

    Raises:
        UsageError: a file cannot be read.
        SpaceError: it is not JSON, or not a genotype.

    """
    if isinstance(given, Genotype):
        return given
    if isinstance(given, Mapping):
        return Genotype.from_dict(given.get("genotype", given))
    path = Path(given)
    try:
        text = (path / "config.json" if path.is_dir() else path).read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}: give an exported folder or its config.json") from None
    try:
        return read_genotype(json.loads(text))
    except json.JSONDecodeError as error:
        raise SpaceError(f"{path} is not JSON: {error}") from None


def plan_of(genotype: Genotype) -> InsertionPlan:
    """The plan for ``genotype`` of a trunk: its insertions, and the geometry of the trunk."""
    assert isinstance(genotype.trunk, Trunk)
    stages = [block.stage for block in genotype.trunk.blocks]
    return InsertionPlan(
        str(genotype.trunk),
        tuple(stages.count(stage) for stage in range(genotype.trunk.num_stages)),
        tuple(geometry for _, geometry in bare_blocks(genotype.trunk)),
        tuple(insertion_of(placement, site) for site, placement in genotype.sites if placement is not None),
    )


def insertion_of(placement: Placement, site: Site) -> Insertion:
    """The insertion of ``placement``; the stride at ``replace`` is taken from the model later."""
    mechanism, _, arguments = site_call(placement, site)
    if placement.position != "replace":
        return Insertion(site.index, placement.position, mechanism, arguments)
    del arguments["stride"]
    return Insertion(site.index, "replace", mechanism, arguments, site.block.slot("replace"))


def hosts_of(trunk: Trunk) -> tuple[type[HostBlock], ...]:
    """The blocks of other libraries that are equivalent to those of ``trunk``; empty for trunks of plug-ins."""
    block, _ = bare_blocks(trunk)[0]
    return next((hosts for kind, hosts in HOSTS.items() if issubclass(block, kind)), ())


def bare_blocks(trunk: Trunk) -> tuple[tuple[type[nn.Module], Geometry], ...]:
    """Class and geometry of each block of the bare trunk, which is built on the meta device and allocates no weights."""
    return _bare_blocks(trunk, cast("Hashable", trunk_call(trunk)[0]))


@lru_cache(maxsize=256)
def _bare_blocks(trunk: Trunk, module: Hashable) -> tuple[tuple[type[nn.Module], Geometry], ...]:
    """`bare_blocks` of a trunk whose class is ``module``: a plug-in that is loaded again has another one."""
    model: Any = trunk_without_weights(trunk)
    return tuple((type(block), observe(block)[0]) for block in model.blocks)
