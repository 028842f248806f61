"""`insert`: from a genotype to the plan of its insertion, and into the model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from attn_nas.errors import SpaceError, UsageError
from attn_nas.models.build import build_trunk, site_call
from attn_nas.models.cifar_resnet import CifarBlock
from attn_nas.models.convnext import ConvNeXtBlock
from attn_nas.models.insertion.geometry import observe
from attn_nas.models.insertion.hosts import HostBlock
from attn_nas.models.insertion.placing import Place, Plan, insert_places
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
    CifarBlock: (TorchvisionBasicBlock, TimmBasicBlock),
    BasicBlock: (TorchvisionBasicBlock, TimmBasicBlock),
    Bottleneck: (TorchvisionBottleneck, TimmBottleneck),
    InvertedResidualV2: (TorchvisionInvertedResidualV2, TimmSeparableBlock, TimmInvertedResidual),
    InvertedResidualV3: (TorchvisionInvertedResidualV3, TimmSeparableBlock, TimmInvertedResidual),
    ConvNeXtBlock: (TorchvisionConvNeXtBlock, TimmConvNeXtBlock),
}
"""For each kind of block the blocks of other libraries that can stand for it."""


def insert(model: nn.Module, genotype: Genotype | Mapping[str, Any] | str | Path, *, identity_init: bool = False) -> nn.Module:
    """Put the placements of ``genotype`` into ``model``, in place, and return it; its weights and their names stay.

    ``model`` is, or contains, one of torchvision's or timm's ResNets, ConvNeXts, MobileNetV2 or V3, or a trunk of ours, with
    the blocks of the genotype's trunk; it may be wider or narrower, and mechanisms are sized by the channels it has. Fresh
    mechanisms are drawn from torch's global generator, on the device and with the data type of their block; with
    ``identity_init`` all start as the identity that can, whatever the genotype says, as pretrained weights want it.
    ``genotype`` may be given as its plain data or as the path of an exported folder or its ``config.json``.

    Raises:
        UsageError: no such blocks, others than the trunk's (the first that differs is named), attention in the place
            already, or a channel number that a mechanism cannot have; the model is left as it was.
        SpaceError: not a genotype.

    Warns:
        UserWarning: convolutions whose place a mechanism has taken, so that their weights are gone.

    """
    if not isinstance(model, nn.Module):
        raise UsageError(f"insert takes a model and then a genotype, and got {type(model).__name__} for the model")
    plan = plan_of(read_genotype(genotype))
    every_host = tuple(dict.fromkeys(host for hosts in HOSTS.values() for host in hosts))
    try:
        return insert_places(model, plan, every_host, identity_init=identity_init)
    except ValueError as error:
        raise UsageError(str(error)) from error


def read_genotype(given: Genotype | Mapping[str, Any] | str | Path) -> Genotype:
    """The genotype behind what `insert` was given."""
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


def plan_of(genotype: Genotype) -> Plan:
    """What is to be inserted for ``genotype``, and the geometry of its trunk."""
    stages = [block.stage for block in genotype.trunk.blocks]
    return Plan(
        str(genotype.trunk),
        tuple(stages.count(stage) for stage in range(genotype.trunk.num_stages)),
        tuple(observe(block)[0] for block in bare_blocks(genotype.trunk)),
        tuple(place_of(placement, site) for site, placement in genotype.sites if placement is not None),
    )


def place_of(placement: Placement, site: Site) -> Place:
    """Where and what ``placement`` is; the stride of what it replaces is the model's affair."""
    mechanism, _, arguments = site_call(placement, site)
    if placement.position != "replace":
        return Place(site.index, placement.position, mechanism, arguments)
    del arguments["stride"]
    return Place(site.index, "replace", mechanism, arguments, site.block.slot("replace"))


def hosts_of(trunk: Trunk) -> tuple[type[HostBlock], ...]:
    """The blocks of other libraries that can stand for those of ``trunk``; none for a trunk of a plug-in."""
    block = type(bare_blocks(trunk)[0])
    return next((hosts for kind, hosts in HOSTS.items() if issubclass(block, kind)), ())


def bare_blocks(trunk: Trunk) -> list[nn.Module]:
    """The blocks of the bare trunk, without memory for weights."""
    with torch.device("meta"):
        model: Any = build_trunk(trunk, num_classes=1)
    return list(model.blocks)
