"""`insert`: makes the plan of a genotype's insertion, and applies it to a model."""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

from torch import nn

from attn_nas.errors import SpaceError, UsageError
from attn_nas.models.build import site_call, trunk_call, trunk_without_weights
from attn_nas.models.cifar_resnet import CifarBlock
from attn_nas.models.convnext import ConvNeXtBlock
from attn_nas.models.insertion.block_probe import Geometry, observe
from attn_nas.models.insertion.cifar_hosts import CifarBasicBlock, CifarBottleneck
from attn_nas.models.insertion.hosts import HostBlock
from attn_nas.models.insertion.placing import Insertion, InsertionPlan, insert_mechanisms
from attn_nas.models.insertion.timm_hosts import (
    TimmBasicBlock,
    TimmBottleneck,
    TimmConvNeXtBlock,
    TimmInvertedResidual,
    TimmSeparableBlock,
)
from attn_nas.models.insertion.torchvision_hosts import (
    TorchvisionBasicBlock,
    TorchvisionBottleneck,
    TorchvisionConvNeXtBlock,
    TorchvisionInvertedResidualV2,
    TorchvisionInvertedResidualV3,
)
from attn_nas.models.mobilenet import InvertedResidualV2, InvertedResidualV3
from attn_nas.models.resnet import BasicBlock, Bottleneck
from attn_nas.space.genotype import Genotype, Placement
from attn_nas.space.geometry import Site
from attn_nas.space.trunks import Trunk

HOSTS: dict[type[nn.Module], tuple[type[HostBlock], ...]] = {
    CifarBlock: (TorchvisionBasicBlock, TimmBasicBlock, CifarBasicBlock),
    BasicBlock: (TorchvisionBasicBlock, TimmBasicBlock, CifarBasicBlock),
    Bottleneck: (TorchvisionBottleneck, TimmBottleneck, CifarBottleneck),
    InvertedResidualV2: (TorchvisionInvertedResidualV2, TimmSeparableBlock, TimmInvertedResidual),
    InvertedResidualV3: (TorchvisionInvertedResidualV3, TimmSeparableBlock, TimmInvertedResidual),
    ConvNeXtBlock: (TorchvisionConvNeXtBlock, TimmConvNeXtBlock),
}
"""For each kind of block, the equivalent blocks of other libraries."""


def insert(model: nn.Module, genotype: Genotype | Mapping[str, Any] | str | Path, *, identity_init: bool = False) -> nn.Module:
    """Insert the placements of ``genotype`` into ``model``, in place, and return it.

    All present weights keep their values and names, and the blocks of the model their hooks. New modules are initialised from
    torch's global generator, with the device and data type of their block.

    Args:
        model: a ResNet, ResNeXt, ConvNeXt, MobileNetV2 or V3 of torchvision or timm, a ResNet for CIFAR, a trunk of attn-nas,
            or a model that contains one. It must have the blocks of the genotype's trunk; its width may differ, and dilation
            may take the place of a stride.
        genotype: the genotype, its plain data, or the path of an exported folder or its ``config.json``.
        identity_init: start every mechanism that supports it as the identity, so that pretrained features are unchanged at
            first; overrides the genotype.

    Raises:
        UsageError: the model lacks such blocks; a block differs from the trunk's (the first is named), has attention already,
            has channels that a mechanism cannot have, or does in training what would be lost; the model is pruned,
            parametrised or quantised, or is in a wrapper that has fixed its parameters, such as DistributedDataParallel. The
            model is not changed.
        SpaceError: ``genotype`` is not a genotype.

    Warns:
        UserWarning: convolutions were replaced by mechanisms, and their weights are lost.

    """
    if not isinstance(model, nn.Module):
        raise UsageError(f"model is a {type(model).__name__}: give a torch module first, then a genotype")
    plan = plan_of(read_genotype(genotype))
    every_host = tuple(dict.fromkeys(host for hosts in HOSTS.values() for host in hosts))
    try:
        return insert_mechanisms(model, plan, every_host, identity_init=identity_init)
    except ValueError as error:
        raise UsageError(str(error)) from error


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
    """The plan for ``genotype``: its insertions, and the geometry of its trunk."""
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
