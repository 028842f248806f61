"""`sites`: the modules of any model that may receive attention, found by a forward pass."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils import _pytree

from attn_nas.attention.mechanism import GATE_POSITIONS, Position
from attn_nas.errors import SpaceError, UsageError, choose_from, first_line
from attn_nas.models.insertion.any_block import give_slots
from attn_nas.models.insertion.block_probe import ChannelRecorder, is_close, twin_of
from attn_nas.models.insertion.derived import Derived
from attn_nas.models.insertion.hosts import HostBlock
from attn_nas.models.insertion.known_blocks import KNOWN_BLOCKS
from attn_nas.models.insertion.model_kinds import alterations, check_no_wrapper
from attn_nas.models.insertion.passing import Call, Passed, passed_through
from attn_nas.models.insertion.placing import settle
from attn_nas.space.host import PREFIX, HostModule, HostSite, host_layout, host_sites, in_stages

_LEAST_LAYERS = 2
"""A block has at least as many layers with weights; a unit, such as a convolution with its norm, has one."""
_MOST_NAMED = 8
"""Number of names that a message lists."""


def sites(model: nn.Module, example: Any, *, sites: Sequence[str] | None = None) -> list[HostSite]:
    """The modules of ``model`` that may receive attention, in the order in which they run.

    By default these are its repeated blocks: modules of a class that occurs twice or more, with at least two layers, whose
    output is a map ``(B, C, H, W)``; without any, repeated units of one layer; without those, activations. A module whose
    output is that of its last block, such as a stage, is not a block itself. Blocks of known families (ResNets, MobileNets and
    ConvNeXts of torchvision and timm, and copies of them) have all their insertion points, other modules ``pre`` and ``post``.

    The model runs twice in evaluation mode, with the example and with noise of its shape, and once as a copy with slots. Its
    modes, parameters, hooks and the random generators are as before.

    Args:
        model: any module; it is not changed.
        example: an input: a tensor, the shape ``(channels, height, width)`` of one image, a tuple of several inputs, or a
            mapping of keyword arguments.
        sites: patterns of dotted names, as in ``model.named_modules()``, in the place of the repeated blocks: ``*`` stands for
            one part of a name or a piece of it, ``**`` for any number of parts. A pattern takes the modules whose output is a
            map.

    Returns:
        Values with ``name``, ``kind`` (the class), ``shape`` ``(C, H, W)`` of the output and ``positions``.

    Raises:
        UsageError: the model is no module, is wrapped, is in half precision, cannot run on the example, or depends on the
            values of its input; or no module fits. The message names the module and what to do.

    """
    return list(host_sites(find_modules(model, example, sites)))


def known_sites(model: nn.Module, pattern: str) -> list[HostSite]:
    """The blocks of known families whose names fit ``pattern``, found without running the model; raises UsageError."""
    _check(model)
    names = [name for name, _ in model.named_modules() if name and pattern_matches(pattern, name)]
    found = {name: known for name in names if (known := _known(model, name, names))}
    return list(host_sites([_known_module(model, name, known) for name, known in found.items()]))


def find_modules(model: nn.Module, example: Any, patterns: Sequence[str] | None = None) -> tuple[HostModule, ...]:
    """The modules of `sites`, with their geometry and stages; raises UsageError."""
    _check(model)
    passed, _ = _run(model, example, noise=False)
    noisy, expected = _run(model, example, noise=True)
    _check_flow(f"the network {type(model).__name__}", passed, noisy)
    chosen = _named(model, passed, patterns) if patterns is not None else _repeated(model, passed)
    for name in chosen:
        reason = next((f"{name}.{inner}".strip(".") + f" {why}" for inner, why in alterations(model.get_submodule(name))), None)
        if reason:
            raise UsageError(reason)
    known = {name: found for name in chosen if (found := _known(model, name, chosen))}
    return in_stages(_examined(model, example, expected, passed, chosen, known))


def _check(model: object) -> None:
    """Raise UsageError for what is not a plain model in single precision."""
    if not isinstance(model, nn.Module):
        raise UsageError(f"model is a {type(model).__name__}: give a torch module first, then an example of its input")
    try:
        check_no_wrapper(model)
    except ValueError as error:
        raise UsageError(str(error)) from None
    attended = next((name for name, each in model.named_modules() if isinstance(each, Derived)), None)
    if attended is not None:
        raise UsageError(f"attention was inserted at {attended} already: call attn_nas.remove(model) first")
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        if tensor.is_meta:
            raise UsageError(f"{name} is on the meta device and has no values: make the model on the CPU, or call to_empty")
        if tensor.dtype in (torch.float16, torch.bfloat16):
            kind = str(tensor.dtype).removeprefix("torch.")
            raise UsageError(f"{name} is in half precision ({kind}): call model.float(); trainings choose their own precision")


def _run(model: nn.Module, example: Any, *, noise: bool) -> tuple[dict[str, Passed], Any]:
    try:
        return passed_through(model, example, noise=noise)
    except (KeyboardInterrupt, SystemExit):
        raise
    except Exception as error:
        given = f"of shape {tuple(example)}" if isinstance(example, list | tuple | torch.Size) else "given"
        raise UsageError(
            f"the network {type(model).__name__} cannot run on the example {given}: {type(error).__name__}: "
            f"{first_line(error)}. Give an example with the channels and the size that it takes"
        ) from error


def pattern_matches(pattern: str, name: str) -> bool:
    """True if the dotted ``name`` fits ``pattern``, in which ``*`` is one part or a piece of it and ``**`` any parts."""
    pattern = re.sub(r"\*\*(\.\*\*)+", "**", pattern)
    parts = [re.escape(part).replace(r"\*", "[^.]*") if part != "**" else "**" for part in pattern.split(".")]
    text = r"\.".join(parts).replace(r"**\.", r"(?:[^.]+\.)*").replace(r"\.**", r"(?:\.[^.]+)*").replace("**", ".*")
    return re.fullmatch(text, name) is not None


def _named(model: nn.Module, passed: dict[str, Passed], patterns: Sequence[str]) -> list[str]:
    """The names that fit ``patterns`` and are maps; raises UsageError for a pattern without any."""
    if isinstance(patterns, str) or not patterns or not all(isinstance(each, str) for each in patterns):
        raise UsageError(f"sites = {patterns!r}: give a list of patterns, such as ['decoder.blocks.*']")
    every = [name for name, _ in model.named_modules() if name]
    chosen: dict[str, None] = {}
    for pattern in patterns:
        matching = [name for name in every if pattern_matches(pattern, name)]
        reasons = {name: why for name in matching if (why := _unfit(passed.get(name), model.get_submodule(name)))}
        fitting = [name for name in matching if name not in reasons]
        if not matching:
            near = choose_from(pattern, every) if len(every) <= _MOST_NAMED else _nearest(pattern, every)
            raise UsageError(f"sites: no module has a name that fits {pattern!r}: {near}")
        if not fitting:
            listed = "; ".join(f"{name} {why}" for name, why in [*reasons.items()][:_MOST_NAMED])
            raise UsageError(f"sites: {pattern!r} fits no module whose output is a map (B, C, H, W): {listed}")
        chosen.update(dict.fromkeys(fitting))
    return [name for name in passed if name in chosen]


def _nearest(pattern: str, names: Sequence[str]) -> str:
    hint = choose_from(pattern, names).rpartition(" (did you mean ")[2]
    near = f"did you mean {hint.rstrip(')')} " if hint.endswith("?)") else ""
    return f"{near}attn-nas sites, or model.named_modules(), lists the names".strip()


def _unfit(passed: Passed | None, module: nn.Module) -> str:
    """Why a module cannot be a site, as the end of a sentence; empty if it can."""
    if passed is None:
        return "does not run in evaluation mode"
    wrong = next((call for call in passed.calls if call.left is None), None)
    if wrong:
        return f"gives {wrong.output}"
    channels = {call.left[1] for call in passed.calls if call.left}
    if len(channels) > 1:
        return f"runs {len(passed.calls)} times, with {' and '.join(map(str, sorted(channels)))} channels"
    if any(_channels_last(call, module) for call in passed.calls):
        return "gives a map with its channels last, (B, H, W, C)"
    return ""


def _channels_last(call: Call, module: nn.Module) -> bool:
    """True if the last axis of the output has the channels: linear layers or layer norms have its size, convolutions not."""
    assert call.left is not None
    _, channels, _, last = call.left
    if channels == last:
        return False
    sizes = [each.normalized_shape[-1] for each in module.modules() if isinstance(each, nn.LayerNorm)]
    sizes += [each.out_features for each in module.modules() if isinstance(each, nn.Linear)]
    maps = [each.out_channels for each in module.modules() if isinstance(each, nn.Conv2d)]
    return last in sizes and channels not in (*sizes, *maps)


def _repeated(model: nn.Module, passed: dict[str, Passed]) -> list[str]:
    """Names of the repeated blocks, else of repeated units, else of activations; raises UsageError without any."""
    usable = [name for name in passed if not _unfit(passed[name], model.get_submodule(name))]
    for least, plain in ((_LEAST_LAYERS, False), (1, True)):
        blocks = _outermost(model, passed, _of_repeated_classes(model, usable, least, plain=plain))
        if blocks:
            return [name for name in passed if name in blocks]
    widths = {each.out_channels for each in model.modules() if isinstance(each, nn.Conv2d)}
    activations = [name for name in usable if type(model.get_submodule(name)).__module__ == "torch.nn.modules.activation"]
    once = [name for name in activations if len(passed[name].calls) == 1 and _width(passed[name]) in widths]
    if once:
        return once
    example = f"; these have one: {', '.join(usable[:_MOST_NAMED])}" if usable else ""
    raise UsageError(
        f"the network {type(model).__name__} has no repeated blocks whose output is a map (B, C, H, W) with its channels second"
        + (f": name modules with sites=[...]{example}" if usable else ": attention for maps has no place in it")
    )


def _width(passed: Passed) -> int:
    """Channels of the output."""
    left = passed.calls[0].left
    return left[1] if left else 0


def _of_repeated_classes(model: nn.Module, names: Sequence[str], least: int, *, plain: bool) -> set[str]:
    """Names of modules whose class occurs twice or more, with at least ``least`` layers; with ``plain``, sequences too."""
    kinds = {name: type(model.get_submodule(name)) for name in names}
    fitting = [
        name
        for name, kind in kinds.items()
        if (not kind.__module__.startswith("torch.nn.") or (plain and kind is nn.Sequential))
        and _num_layers(model.get_submodule(name)) >= least
    ]
    number = Counter(kinds[name] for name in fitting)
    return {name for name in fitting if number[kinds[name]] > 1}


def _num_layers(module: nn.Module) -> int:
    """Number of layers with weights of two or more axes: convolutions and linear layers."""
    return sum(any(weight.ndim > 1 for weight in each.parameters(recurse=False)) for each in module.modules())


def _outermost(model: nn.Module, passed: dict[str, Passed], blocks: set[str]) -> set[str]:
    """The outermost of ``blocks`` that are not stages, which end with one of the others."""
    stages = {name for name in blocks if passed[name].ends_with & blocks}
    kept = blocks - stages
    return {name for name in kept if not any(name.startswith(f"{other}.") for other in kept)}


class _Known(NamedTuple):
    """A block of a known family: its class with slots, the channels at its slots, and its convolution to be replaced."""

    host: type[HostBlock]
    channels: dict[Position, int]
    stride: int
    replaced: str
    conv: nn.Conv2d | None


def _known(model: nn.Module, name: str, chosen: Sequence[str]) -> _Known | None:
    """The block ``name`` as one of a known family; None if it is not, or has other sites in it."""
    block = model.get_submodule(name)
    if any(other.startswith(f"{name}.") for other in chosen):
        return None
    for host in KNOWN_BLOCKS:
        if host.fits(block):
            try:
                slotted, geometry, channels = settle(name, block, host)
            except ValueError:
                continue
            replaced = str(getattr(slotted, "replaced", ""))
            used = {position: channels[position] for position in GATE_POSITIONS if position in channels}
            return _Known(host, used, geometry.stride, replaced, _replaceable(block, replaced))
    return None


def _replaceable(block: nn.Module, path: str) -> nn.Conv2d | None:
    """The convolution at ``path`` if a mechanism can take its place: it keeps the channels and halves or keeps the size."""
    conv = block.get_submodule(path)
    if not isinstance(conv, nn.Conv2d) or conv.in_channels != conv.out_channels or conv.stride[0] != conv.stride[1]:
        return None
    kept = all(
        pad == size // 2 and size % 2 and step == 1
        for pad, size, step in zip(conv.padding, conv.kernel_size, conv.dilation, strict=True)
        if isinstance(pad, int)
    )
    return conv if kept and not isinstance(conv.padding, str) else None


def _check_flow(kind: str, passed: dict[str, Passed], noisy: dict[str, Passed]) -> None:
    """Raise UsageError if other modules run on noise than on the example, or with maps of other sizes."""
    different = [name for name in {**passed, **noisy} if _differ(passed.get(name), noisy.get(name))]
    if different:
        changed = min(different, key=lambda name: name.count("."))
        times = [len(each[changed].calls) if changed in each else 0 for each in (passed, noisy)]
        raise UsageError(
            f"{kind} depends on the values of its input: {changed} runs {times[0]} times on the example and {times[1]} on "
            "noise, or gives maps of other sizes. Costs cannot be counted for such a model; take the choice out of its forward"
        )


def _examined(
    model: nn.Module,
    example: Any,
    expected: Any,
    passed: dict[str, Passed],
    chosen: Sequence[str],
    known: dict[str, _Known],
) -> list[HostModule]:
    """The geometry of the chosen modules, from a pass of a copy with slots on noise, for which the model gave ``expected``.

    Raises:
        UsageError: the copy cannot be made, or gives another output.

    """
    kind = f"the network {type(model).__name__}"
    try:
        copied = twin_of(model)
        recorders = {name: _with_recorders(copied, name, known.get(name), passed[name]) for name in chosen}
    except (TypeError, RuntimeError, ValueError, AttributeError) as error:
        raise UsageError(
            f"{kind} cannot be copied and given slots: {type(error).__name__}: {first_line(error)}. Leave out the module that "
            "it names, with sites=[...]"
        ) from error
    _, found = passed_through(copied, example, noise=True)
    if not _equal(expected, found):
        raise UsageError(f"{kind} does not give the same output twice in evaluation mode: make it deterministic after eval()")
    return [_module(model, name, passed[name], known.get(name), recorders[name]) for name in chosen]


def _with_recorders(model: nn.Module, name: str, known: _Known | None, passed: Passed) -> dict[Position, ChannelRecorder]:
    """Give the module ``name`` of ``model`` slots that record channels, at all positions it may have."""
    module = model.get_submodule(name)
    recorders: dict[Position, ChannelRecorder] = {}
    if known:
        known.host.take(module)
        for position in GATE_POSITIONS:
            recorders[position] = ChannelRecorder()
            setattr(module, position, recorders[position])
        return recorders
    give_slots(module)
    positions: tuple[Position, ...] = ("pre", "post") if all(call.entered for call in passed.calls) else ("post",)
    for position in positions:
        recorders[position] = ChannelRecorder()
        module.add_module(f"{PREFIX}{position}", recorders[position])
    return recorders


def _differ(one: Passed | None, other: Passed | None) -> bool:
    return one is None or other is None or [call[:2] for call in one.calls] != [call[:2] for call in other.calls]


def _equal(one: Any, other: Any) -> bool:
    """True if two outputs have equal tensors but for rounding."""
    pairs = zip(_pytree.tree_leaves(one), _pytree.tree_leaves(other), strict=False)
    return all(is_close(a, b) for a, b in pairs if isinstance(a, Tensor) and isinstance(b, Tensor))


def _module(
    model: nn.Module, name: str, passed: Passed, known: _Known | None, recorders: dict[Position, ChannelRecorder]
) -> HostModule:
    """The geometry of the module ``name``; a slot that was not called, or not once per call, is no position."""
    calls = passed.calls
    channels = {
        position: recorder.channels
        for position, recorder in recorders.items()
        if recorder.channels and recorder.calls == len(calls)
    }
    if not channels:
        raise UsageError(f"{name} runs its own submodules in a way in which attention cannot be added: leave it out")
    left, entered = calls[0].left, calls[0].entered
    assert left is not None
    made = _known_module(model, name, known) if known else None
    kind = type(model.get_submodule(name)).__name__
    stride = max(1, round(entered[2] / left[2])) if entered else 1
    described: dict[str, Any] = {"shape": left[1:], "calls": len(calls), "stride": stride}
    if made:
        return replace(made, **described, at=tuple(p for p in made.at if p == "replace" or p in channels))
    widths = channels.get("pre", left[1]), left[1], left[1], left[1]
    layout = host_layout(kind, known=False)
    return HostModule(0, *widths, shortcut=False, layout=layout, name=name, kind=kind, at=(*channels,), **described)


def _known_module(model: nn.Module, name: str, known: _Known) -> HostModule:
    """The geometry of a block of a known family, but for the size of its output."""
    block, channels, conv = model.get_submodule(name), known.channels, known.conv
    out = channels["standard"]
    return HostModule(
        0,
        channels["pre"],
        channels["inner"],
        conv.in_channels if conv else out,
        out,
        known.stride,
        int(conv.stride[0]) if conv else 1,
        known.replaced,
        "identity" in channels,
        host_layout(type(block).__name__, known=True),
        name=name,
        kind=type(block).__name__,
        shape=(out, 0, 0),
        at=(*channels, *(("replace",) if conv else ())),
        family=known.host.title,
    )


def check_names(model: nn.Module, modules: Sequence[HostModule]) -> None:
    """Check that ``model`` has ``modules`` by name and class; raises SpaceError with the first that is missing."""
    for module in modules:
        try:
            found = model.get_submodule(module.name)
        except AttributeError:
            raise SpaceError(f"the model has no module {module.name}, at which it had a {module.kind} before") from None
        if type(found).__name__ != module.kind:
            raise SpaceError(f"{module.name} is a {type(found).__name__} now, and was a {module.kind} before")
