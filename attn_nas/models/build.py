"""From genotype to module: make the trunk, fill its slots."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from attn_nas.attention.catalog import get_mechanism
from attn_nas.models.cifar_resnet import CifarResNet
from attn_nas.models.resnet import BasicBlock, Bottleneck, ResNet
from attn_nas.space.genotype import Genotype, Placement
from attn_nas.space.trunks import RESNET_STAGES, Block, Trunk

TrunkCall = tuple[type[nn.Module], dict[str, Any]]


def _cifar_resnet(trunk: Trunk) -> TrunkCall:
    return CifarResNet, {"depth": trunk.depth, "width": trunk.width}


def _resnet(trunk: Trunk) -> TrunkCall:
    block, expansion = (Bottleneck, 4) if trunk.depth >= 50 else (BasicBlock, 1)
    return ResNet, {
        "block": block,
        "expansion": expansion,
        "stage_blocks": RESNET_STAGES[trunk.depth],
        "width": trunk.width,
    }


TRUNK_CALLS: dict[str, Callable[[Trunk], TrunkCall]] = {"cifar_resnet": _cifar_resnet, "resnet": _resnet}


def build_trunk(trunk: Trunk, num_classes: int, in_channels: int = 3) -> nn.Module:
    """The bare trunk, every slot an ``nn.Identity``; ``blocks`` lists its residual blocks."""
    module, arguments = TRUNK_CALLS[trunk.name](trunk)
    return module(**arguments, num_classes=num_classes, in_channels=in_channels)


def site_call(placement: Placement, block: Block) -> tuple[type[nn.Module], int, dict[str, Any]]:
    """Class, channels and keyword arguments of the mechanism of a canonical placement."""
    mechanism = get_mechanism(placement.mechanism)
    stride = block.replace_stride if placement.position == "replace" else 1
    arguments = mechanism.arguments(placement.reduction, placement.kernel_size, stride)
    return mechanism.load(), block.channels_at(placement.position), arguments


def build_site(placement: Placement, block: Block) -> nn.Module:
    """The mechanism of a canonical placement, sized for its block."""
    module, channels, arguments = site_call(placement, block)
    return module(channels, **arguments)


def slot_name(placement: Placement) -> str:
    """The attribute of a residual block that a placement fills."""
    return "conv2" if placement.position == "replace" else placement.position


def build_model(genotype: Genotype, num_classes: int, in_channels: int = 3, seed: int | None = None) -> nn.Module:
    """The network of ``genotype``: images ``(B, in_channels, H, W)`` to logits ``(B, num_classes)``.

    The trunk is initialised from one generator and every site from another, so that with equal seeds two genotypes
    share the same trunk weights, and the same mechanism at the same block the same initial weights. Without a seed one is
    drawn from torch's global generator.
    """
    if seed is None:
        seed = int(torch.randint(2**31, ()))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = build_trunk(genotype.trunk, num_classes, in_channels)
        blocks: list[nn.Module] = list(model.blocks)  # type: ignore[arg-type]
        for index, placement in enumerate(genotype.placements):
            if placement is not None:
                torch.manual_seed((seed + 1) * 1_000_003 + index)
                setattr(blocks[index], slot_name(placement), build_site(placement, genotype.trunk.blocks[index]))
    return model
