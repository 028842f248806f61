"""Putting mechanisms into a model: its blocks found and checked first, and only then anything changed."""

import warnings
from collections.abc import Sequence
from inspect import signature
from typing import Any, NamedTuple

from torch import nn

from attn_nas.models.insertion.geometry import SLOTS, Geometry, computes_the_same, observe
from attn_nas.models.insertion.hosts import HostBlock


class Place(NamedTuple):
    """A mechanism at a position of block ``site``, or, at ``stage_end``, behind stage ``site``.

    ``replaces`` is the path of the convolution whose place it takes in a block of the trunk itself.
    """

    site: int
    position: str
    mechanism: type[nn.Module]
    arguments: dict[str, Any]
    replaces: str = ""


class Plan(NamedTuple):
    """What is to be inserted, and the trunk on which it was found: its name, stages and blocks."""

    trunk: str
    stage_lengths: tuple[int, ...]
    blocks: tuple[Geometry, ...]
    places: tuple[Place, ...]


class Found(NamedTuple):
    """A block of the model: its path, itself, and itself with slots, which are its own or a host's."""

    path: str
    block: nn.Module
    slotted: nn.Module
    geometry: Geometry
    channels: dict[str, int]


def insert_places(model: nn.Module, plan: Plan, hosts: Sequence[type[HostBlock]], *, identity_init: bool = False) -> nn.Module:
    """Put the mechanisms of ``plan`` into ``model``, in place, and return it; all else keeps its weights and their names.

    A block that gets a mechanism is replaced by a host, which takes over its modules. Blocks are known by their structure:
    those of the trunk itself, and those of ``hosts``. Mechanisms are made for the channels that the model has, on the device
    and with the data type of their block; with ``identity_init``, those that can start as the identity.

    Raises:
        ValueError: the model is not made of such blocks, differs from the trunk, or has attention where some is to go;
            it is left as it was.

    """
    found = find_blocks(model, hosts)
    check_number(model, found, plan, hosts)
    targets = [find_target(model, found, plan, place) for place in plan.places]
    check_blocks(found, plan)
    modules = [make(place, found[block_of(plan, place)], identity_init) for place in plan.places]
    for index in sorted({block_of(plan, place) for place in plan.places}):
        put(model, found[index].path, found[index].slotted)
    for target, module in zip(targets, modules, strict=True):
        put(model, target, module)
    warn_of_replaced(targets, plan)
    return model


def find_blocks(model: nn.Module, hosts: Sequence[type[HostBlock]]) -> list[Found]:
    """The blocks of ``model`` from input to output."""
    found: list[Found] = []
    for path, module in model.named_modules():
        if any(path.startswith(f"{each.path}.") for each in found):
            continue
        if all(isinstance(getattr(module, position, None), nn.Module) for position in SLOTS):
            found.append(Found(path, module, module, *observe(module)))
        for host in hosts:
            if host.fits(module):
                found.append(Found(path, module, *settle(path, module, host)))
    return found


def settle(path: str, block: nn.Module, host: type[HostBlock]) -> tuple[nn.Module, Geometry, dict[str, int]]:
    """The host of ``block``, its geometry and the channels at its slots."""
    slotted = host(block)
    try:
        geometry, channels = observe(slotted)
        same = computes_the_same(block, slotted)
    except (AttributeError, RuntimeError, TypeError, ValueError) as error:
        raise ValueError(f"{path} has the modules of {host.title}, but does not work like it: {error}") from error
    if not same:
        raise ValueError(f"{path} has the modules of {host.title}, but computes something else")
    return slotted, geometry, channels


def check_number(model: nn.Module, found: list[Found], plan: Plan, hosts: Sequence[type[HostBlock]]) -> None:
    """Raise ValueError unless the model has as many blocks as the trunk."""
    if not found:
        known = ", ".join([*(host.title for host in hosts), f"the bare {plan.trunk} itself"])
        raise ValueError(f"no block of a known kind in {type(model).__name__}: known are those of {known}")
    if len(found) != len(plan.blocks):
        stages = ", ".join(map(str, plan.stage_lengths))
        raise ValueError(
            f"the model has {len(found)} blocks; {plan.trunk}, on which the placements were found, "
            f"has {len(plan.blocks)} (stages of {stages})"
        )


def check_blocks(found: list[Found], plan: Plan) -> None:
    """Raise ValueError for the first block that is another than the trunk's.

    Channels may differ, and with them whether there is a shortcut.
    """
    theirs, ours = [each.geometry for each in found], list(plan.blocks)
    for index, (their, our) in enumerate(zip(traits(theirs), traits(ours), strict=True)):
        if their != our:
            more = theirs[index].num_layers > ours[index].num_layers
            raise ValueError(
                f"block {index} ({found[index].path}) has {theirs[index]}; in {plan.trunk}, on which the placements were "
                f"found, it has {ours[index]}"
                + more
                * ": if it has attention of its own, put an nn.Identity in its place first"
            )


def traits(blocks: list[Geometry]) -> list[tuple[int, int, bool]]:
    """What must agree: stride, number of layers, and whether the channels change between two blocks."""
    before = [blocks[0].in_channels, *(block.out_channels for block in blocks[:-1])]
    return [
        (block.stride, block.num_layers, block.in_channels == channels) for block, channels in zip(blocks, before, strict=True)
    ]


def block_of(plan: Plan, place: Place) -> int:
    """The index of the block that ``place`` is in or behind."""
    return sum(plan.stage_lengths[: place.site + 1]) - 1 if place.position == "stage_end" else place.site


def find_target(model: nn.Module, found: list[Found], plan: Plan, place: Place) -> str:
    """The path in the model at which ``place`` will be; raises ValueError if there is attention already."""
    path, _, slotted, _, channels = found[block_of(plan, place)]
    if place.position == "stage_end" and not hasattr(slotted, "stage_end"):
        ends = next(name for name, _ in model.named_modules() if name.rpartition(".")[2] == "stage_ends")
        target, there = f"{ends}.{place.site}", model.get_submodule(f"{ends}.{place.site}")
    else:
        slot = slot_of(place, slotted)
        target, there = f"{path}.{slot}", slotted.get_submodule(slot)
    if place.position in SLOTS and place.position not in channels:
        raise ValueError(f"{path} of the model has no shortcut, and so no place for a mechanism at {place.position}")
    if not isinstance(there, nn.Conv2d if place.position == "replace" else nn.Identity):
        raise ValueError(f"the model has attention at {target} already: {type(there).__name__}")
    return target


def slot_of(place: Place, slotted: nn.Module) -> str:
    """The path in a block with slots at which ``place`` is."""
    return getattr(slotted, "replaced", place.replaces) if place.position == "replace" else place.position


def make(place: Place, found: Found, identity_init: bool) -> nn.Module:
    """The mechanism of ``place``, sized for its block."""
    channels, arguments = found.channels.get(place.position, found.geometry.out_channels), place.arguments
    if identity_init and "identity_init" in signature(place.mechanism).parameters:
        arguments = {**arguments, "identity_init": True}
    if place.position == "replace":
        conv: Any = found.slotted.get_submodule(slot_of(place, found.slotted))
        channels, arguments = conv.in_channels, {**arguments, "stride": conv.stride[0]}
    try:
        module = place.mechanism(channels, **arguments)
    except ValueError as error:
        raise ValueError(f"{found.path}.{place.position}: {error}") from None
    like = next(found.block.parameters())
    return module.to(like.device, like.dtype).train(found.block.training)


def put(model: nn.Module, path: str, module: nn.Module) -> None:
    """Let ``module`` be the one at the dotted ``path``."""
    parent, _, name = path.rpartition(".")
    setattr(model.get_submodule(parent), name, module)


def warn_of_replaced(targets: list[str], plan: Plan) -> None:
    """Say which convolutions have lost their weights."""
    replaced = [target for target, place in zip(targets, plan.places, strict=True) if place.position == "replace"]
    if replaced:
        warnings.warn(f"convolutions replaced, their weights are gone: {', '.join(replaced)}", stacklevel=4)
