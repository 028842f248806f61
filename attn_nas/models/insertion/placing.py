"""Inserts mechanisms into a model; all its blocks are found and checked before anything changes."""

import re
import warnings
from collections.abc import Sequence
from inspect import signature
from typing import Any, NamedTuple

from torch import nn

from attn_nas.models.insertion.block_probe import SHORTCUTS, SLOTS, Geometry, difference, idle_rates, observe, twin_of
from attn_nas.models.insertion.hosts import HostBlock
from attn_nas.models.insertion.model_kinds import check_no_wrapper, check_plain
from attn_nas.models.insertion.undoing import record_module

_ATTENTION = re.compile(
    r"Att(?:n|ention|[A-Z]|$)|Excit|SelectiveKernel|GlobalContext|NonLocal|SimAM|^(?:SE|ECA|Eca|CBAM|Cbam|BAM)(?![a-z])"
)
"""Names of classes of attention in timm and in models of others."""


class Insertion(NamedTuple):
    """A mechanism at a position of block ``site``, or after stage ``site`` if the position is ``stage_end``.

    ``replaces`` is the path of the substituted convolution in a block of the trunk itself, for the position ``replace``.
    """

    site: int
    position: str
    mechanism: type[nn.Module]
    arguments: dict[str, Any]
    replaces: str = ""


class InsertionPlan(NamedTuple):
    """The mechanisms to insert, and the trunk they were searched on: its name, blocks per stage, and blocks."""

    trunk: str
    stage_lengths: tuple[int, ...]
    blocks: tuple[Geometry, ...]
    insertions: tuple[Insertion, ...]


class ModelBlock(NamedTuple):
    """A block of the model, with its path.

    ``host`` is the class that gives it slots, None if it has them. ``slotted`` is the block with slots: itself, or a copy
    without weights. ``channels`` are those at its slots.
    """

    path: str
    block: nn.Module
    host: type[HostBlock] | None
    slotted: nn.Module
    geometry: Geometry
    channels: dict[str, int]


def insert_mechanisms(
    model: nn.Module, plan: InsertionPlan, hosts: Sequence[type[HostBlock]], *, identity_init: bool = False
) -> nn.Module:
    """Insert the mechanisms of ``plan`` into ``model``, in place, and return it; other weights keep values and names.

    A block that gets a mechanism stays, with its modules and hooks, and gets the class of a host, which calls them in the same
    order, with the mechanism between them. Blocks are recognised by their structure: those of the trunk itself, and those of
    ``hosts``. Mechanisms have the channels of the model, and the device and data type of their block. With ``identity_init``,
    mechanisms that support it start as the identity.

    Raises:
        ValueError: the model has no such blocks, differs from the trunk, has attention already, has weights that are not plain
            or behaviour in training that would be lost, or has a wrapper that fixed its parameters; it is not changed.

    """
    check_no_wrapper(model)
    found = find_blocks(model, hosts)
    check_number(model, found, plan, hosts)
    targets = [find_target(model, found, plan, insertion) for insertion in plan.insertions]
    check_blocks(found, plan)
    dilated = [
        target
        for target, insertion in zip(targets, plan.insertions, strict=True)
        if insertion.position == "replace" and is_dilated(model.get_submodule(target))
    ]
    modules = [make(insertion, found[block_of(plan, insertion)], identity_init) for insertion in plan.insertions]
    idle = []
    for index in sorted({block_of(plan, insertion) for insertion in plan.insertions}):
        path, block, host, *_ = found[index]
        if host:
            idle += [f"{path}.{name}" for name in idle_rates(block, host.take(twin_of(block)))]
            host.take(block)
    for target, module in zip(targets, modules, strict=True):
        put(model, target, module)
    warn_of_replaced(targets, dilated, plan)
    if idle:
        warnings.warn(
            f"the blocks' own forward methods use {', '.join(idle)}, without effect now; after insertion they are not used, "
            "whatever value they get later",
            stacklevel=3,
        )
    return model


def find_blocks(model: nn.Module, hosts: Sequence[type[HostBlock]]) -> list[ModelBlock]:
    """The blocks of ``model`` from input to output.

    Raises:
        ValueError: a block has weights that are not plain, or behaves unlike its host.

    """
    found: list[ModelBlock] = []
    for path, module in model.named_modules():
        if any(path.startswith(f"{each.path}.") for each in found):
            continue
        if all(isinstance(getattr(module, position, None), nn.Module) for position in SLOTS):
            check_plain(path, module)
            found.append(ModelBlock(path, module, None, module, *observe(module)))
            continue
        for host in hosts:
            if host.fits(module):
                check_plain(path, module)
                found.append(ModelBlock(path, module, host, *settle(path, module, host)))
    return found


def settle(path: str, block: nn.Module, host: type[HostBlock]) -> tuple[nn.Module, Geometry, dict[str, int]]:
    """A copy of ``block`` as a host without weights, its geometry and the channels at its slots.

    Raises:
        ValueError: the host would not do the same as the block.

    """
    named = f"{path} has the modules of {host.title}, but"
    if "forward" in vars(block):
        raise ValueError(f"{named} a forward method of its own on the object: take off what has wrapped it, then insert")
    try:
        slotted = host.take(twin_of(block))
        geometry, channels = observe(slotted)
        different = difference(block, slotted)
    except (AttributeError, RuntimeError, TypeError, ValueError) as error:
        raise ValueError(f"{named} cannot be run like it: {error}") from error
    if different:
        raise ValueError(f"{named} {different}")
    return slotted.to("meta"), geometry, channels


def check_number(model: nn.Module, found: list[ModelBlock], plan: InsertionPlan, hosts: Sequence[type[HostBlock]]) -> None:
    """Check that the model has as many blocks as the trunk.

    Raises:
        ValueError: the numbers differ.

    """
    if not found:
        check_plain("", model)
        known = ", ".join([*(host.title for host in hosts), f"the bare {plan.trunk} itself"])
        raise ValueError(
            extended_block(model, hosts)
            or f"{type(model).__name__} has no block of a supported kind{present_attention(model)}: "
            f"supported are those of {known}"
        )
    if len(found) != len(plan.blocks):
        stages = ", ".join(map(str, plan.stage_lengths))
        raise ValueError(
            f"the model has {len(found)} blocks; {plan.trunk}, on which the placements were found, has {len(plan.blocks)} "
            f"(stages of {stages}){present_attention(model)}" + f"; {extended_block(model, hosts)}".rstrip("; ")
        )


def extended_block(model: nn.Module, hosts: Sequence[type[HostBlock]]) -> str:
    """A sentence about the first block of ``model`` with all modules of a host and others, such as attention; else empty."""
    for path, module in model.named_modules():
        alike = [host for host in hosts if host.has_needed(module)]
        if not alike:
            continue
        host = max(alike, key=lambda each: len(each.needed))
        added = [f"{name} ({type(getattr(module, name)).__name__})" for name in host.additions(module)]
        if added:
            return (
                f"{path} has the modules of {host.title}, and {', '.join(added)}: if this is attention, the block has it "
                f"already, so put an nn.Identity in its place first"
            )
    return ""


def present_attention(model: nn.Module) -> str:
    """A clause about the first module of ``model`` whose class is named like attention; empty if there is none."""
    for path, module in model.named_modules():
        kind = type(module)
        if path and _ATTENTION.search(kind.__name__) and not kind.__module__.startswith("torch.nn."):
            return f", and has attention already, {path} ({kind.__name__})"
    return ""


def check_blocks(found: list[ModelBlock], plan: InsertionPlan) -> None:
    """Check that the blocks of the model have the geometry of the trunk's.

    Channels may differ, and therefore shortcuts; and dilation from a block on may take the place of its stride.

    Raises:
        ValueError: a block differs; the message names the first.

    """
    theirs, ours = [each.geometry for each in found], list(plan.blocks)
    for index, (their, our) in enumerate(zip(traits(theirs), traits(ours), strict=True)):
        path, block, *_ = found[index]
        stride = our[0] if their[0] == 1 and any(is_dilated(each.block) for each in found[index:]) else their[0]
        if (stride, *their[1:]) != our:
            gate = own_attention(block) if theirs[index].num_layers > ours[index].num_layers else ""
            raise ValueError(
                f"block {index} ({path}) has {theirs[index]}; in {plan.trunk}, on which the placements were "
                f"found, it has {ours[index]}"
                + (gate and f": it has attention already, {path}.{gate}: put an nn.Identity in its place first")
            )


def is_dilated(block: nn.Module) -> bool:
    """True if a convolution of ``block`` is dilated."""
    return any(isinstance(module, nn.Conv2d) and max(module.dilation) > 1 for module in block.modules())


def own_attention(block: nn.Module) -> str:
    """Path and class of the first module in the branch of ``block`` that is neither a layer of torch nor a sequence of some."""
    for path, module in block.named_modules():
        usual = isinstance(module, (nn.Sequential, nn.Conv2d, nn.modules.batchnorm._BatchNorm)) or not path
        outside = type(module).__module__.startswith("torch.nn.") or path.partition(".")[0] in SHORTCUTS
        if not usual and not outside and any(True for _ in module.parameters()):
            return f"{path} ({type(module).__name__})"
    return ""


def traits(blocks: list[Geometry]) -> list[tuple[int, int, bool]]:
    """Properties that must agree: stride, number of layers, and equality of channels with the block before."""
    before = [blocks[0].in_channels, *(block.out_channels for block in blocks[:-1])]
    return [
        (block.stride, block.num_layers, block.in_channels == channels) for block, channels in zip(blocks, before, strict=True)
    ]


def block_of(plan: InsertionPlan, insertion: Insertion) -> int:
    """Index of the block that contains ``insertion``, or after which it is."""
    return sum(plan.stage_lengths[: insertion.site + 1]) - 1 if insertion.position == "stage_end" else insertion.site


def find_target(model: nn.Module, found: list[ModelBlock], plan: InsertionPlan, insertion: Insertion) -> str:
    """Dotted path of ``insertion`` in the model.

    Raises:
        ValueError: there is attention already, or the block has no shortcut.

    """
    path, _, _, slotted, _, channels = found[block_of(plan, insertion)]
    if insertion.position == "stage_end" and not hasattr(slotted, "stage_end"):
        ends = next(name for name, _ in model.named_modules() if name.rpartition(".")[2] == "stage_ends")
        target, there = f"{ends}.{insertion.site}", model.get_submodule(f"{ends}.{insertion.site}")
    else:
        slot = slot_of(insertion, slotted)
        target, there = f"{path}.{slot}".strip("."), slotted.get_submodule(slot)
    if insertion.position in SLOTS and insertion.position not in channels:
        raise ValueError(f"{path} of the model has no shortcut, and therefore no position {insertion.position}")
    if not isinstance(there, nn.Conv2d if insertion.position == "replace" else nn.Identity):
        raise ValueError(f"the model has attention at {target} already: {type(there).__name__}")
    return target


def slot_of(insertion: Insertion, slotted: nn.Module) -> str:
    """Dotted path of ``insertion`` in a block with slots."""
    return getattr(slotted, "replaced", insertion.replaces) if insertion.position == "replace" else insertion.position


def make(insertion: Insertion, found: ModelBlock, identity_init: bool) -> nn.Module:
    """The module of ``insertion``, sized for its block.

    Raises:
        ValueError: the mechanism cannot have these channels.

    """
    channels, arguments = found.channels.get(insertion.position, found.geometry.out_channels), insertion.arguments
    if identity_init and "identity_init" in signature(insertion.mechanism).parameters:
        arguments = {**arguments, "identity_init": True}
    if insertion.position == "replace":
        conv: Any = found.slotted.get_submodule(slot_of(insertion, found.slotted))
        channels, arguments = conv.in_channels, {**arguments, "stride": conv.stride[0]}
    try:
        module = insertion.mechanism(channels, **arguments)
    except ValueError as error:
        raise ValueError(f"{found.path}.{insertion.position}: {error}") from None
    like = next(found.block.parameters())
    return module.to(like.device, like.dtype).train(found.block.training)


def put(model: nn.Module, path: str, module: nn.Module) -> None:
    """Replace the module at the dotted ``path`` by ``module``, which gets its hooks of forward and backward passes."""
    for name, hooks in vars(model.get_submodule(path)).items():
        if name.startswith(("_forward", "_backward")) and "_hooks" in name:
            setattr(module, name, hooks)
    parent, _, name = path.rpartition(".")
    owner = model.get_submodule(parent)
    record_module(owner, name)
    owner.add_module(name, module)


def warn_of_replaced(targets: list[str], dilated: list[str], plan: InsertionPlan) -> None:
    """Warn about convolutions that were replaced, whose weights are lost, and their dilation if they had it."""
    replaced = [target for target, insertion in zip(targets, plan.insertions, strict=True) if insertion.position == "replace"]
    if replaced:
        more = f"; their substitutes have no dilation as {', '.join(dilated)} had" if dilated else ""
        warnings.warn(f"convolutions were replaced, and their weights are lost: {', '.join(replaced)}{more}", stacklevel=4)
