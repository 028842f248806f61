"""Observes one forward pass of a model: which modules run, how often, and with maps of which shapes."""

from __future__ import annotations

import random
import sys
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

Shape = tuple[int, ...]


class Call(NamedTuple):
    """One call of a module: shape of its first input and of its output; None for what is not a map ``(B, C, H, W)``."""

    entered: Shape | None
    left: Shape | None
    output: str


@dataclass
class Passed:
    """The calls of one module in a forward pass; ``ends_with`` are the modules in it that gave the very same output.

    A tensor that was changed in place since, such as by the addition of a shortcut, is another output.
    """

    calls: list[Call] = field(default_factory=list)
    ends_with: set[str] = field(default_factory=set)


def shape_of(value: object) -> Shape | None:
    """The shape of a map ``(B, C, H, W)``; None for other values."""
    return tuple(value.shape) if isinstance(value, Tensor) and value.ndim == 4 and value.is_floating_point() else None


def described(value: object) -> str:
    """The type of an output and, if it is a tensor, its shape."""
    if isinstance(value, Tensor):
        return f"a tensor of shape {tuple(value.shape)}"
    name = type(value).__name__
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"


def inputs_of(model: nn.Module, example: Any, *, noise: bool = False) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Arguments for ``model`` from an ``example``: a tensor, a shape ``(C, H, W)``, a tuple of tensors, or a mapping of them.

    They are on the model's device. With ``noise``, tensors of floating point are replaced by normal noise of the same shape.
    """
    device = next((each.device for each in (*model.parameters(), *model.buffers())), torch.device("cpu"))
    generator = torch.Generator().manual_seed(0)

    def ready(value: Any) -> Any:
        if not isinstance(value, Tensor):
            return value
        if noise and value.is_floating_point():
            value = torch.randn(value.shape, generator=generator).to(value.dtype)
        return value.to(device)

    if isinstance(example, Tensor):
        return (ready(example),), {}
    if isinstance(example, Mapping):
        return (), {name: ready(value) for name, value in example.items()}
    if all(type(number) is int for number in example):
        return (ready(torch.zeros(1, *example)),), {}
    return tuple(map(ready, example)), {}


@contextmanager
def unchanged(model: nn.Module) -> Iterator[None]:
    """Run the block in evaluation mode without gradients; restore modes and the random generators afterwards."""
    modes = [(module, module.training) for module in model.modules()]
    python, numpy = random.getstate(), sys.modules.get("numpy")
    of_numpy = numpy.random.get_state() if numpy else None
    try:
        with torch.random.fork_rng(), torch.no_grad():
            model.eval()
            yield
    finally:
        for module, training in modes:
            module.training = training
        random.setstate(python)
        if numpy:
            numpy.random.set_state(of_numpy)


def passed_through(model: nn.Module, example: Any, *, noise: bool = False) -> tuple[dict[str, Passed], Any]:
    """The calls of all modules of ``model`` that run, by dotted name in the order in which they end, and the output.

    Hooks are removed afterwards. What the model raises passes through.
    """
    found: dict[str, Passed] = {}
    made_by: dict[tuple[int, int], tuple[Callable[[], Tensor | None], list[str]]] = {}

    def hook(name: str) -> Callable[..., None]:
        def note(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            passed = found.pop(name, None) or Passed()
            found[name] = passed  # at the end: in the order of the last calls
            passed.calls.append(Call(shape_of(inputs[0]) if inputs else None, shape_of(output), described(output)))
            if isinstance(output, Tensor):
                key = id(output), output._version
                reference, names = made_by.get(key, (lambda: None, []))
                if reference() is not output:
                    names = []
                    made_by[key] = (weakref.ref(output), names)
                passed.ends_with.update(each for each in names if each.startswith(f"{name}."))
                names.append(name)

        return note

    inputs, named = inputs_of(model, example, noise=noise)
    handles = [module.register_forward_hook(hook(name)) for name, module in model.named_modules() if name]
    try:
        with unchanged(model):
            output = model(*inputs, **named)
    finally:
        for handle in handles:
            handle.remove()
    return found, output
