"""Forward hooks for the duration of a block."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

ForwardHook = Callable[[nn.Module, tuple[Any, ...], Any], Any]
"""Called with module, inputs and output after each forward pass; a result that is not None replaces the output."""


@contextmanager
def forward_hooks(modules: Iterable[nn.Module], watch: ForwardHook) -> Iterator[None]:
    """Call ``watch`` after each forward pass of one of ``modules`` within the block."""
    handles = [module.register_forward_hook(watch) for module in modules]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
