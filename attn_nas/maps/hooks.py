"""Watching modules while a network computes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

Watch = Callable[[nn.Module, tuple[Any, ...], Any], Any]
"""Told a watched module, its inputs and its output; what it returns, unless None, takes the place of the output."""


@contextmanager
def watching(modules: Iterable[nn.Module], watch: Watch) -> Iterator[None]:
    """Call ``watch`` whenever one of ``modules`` has computed something in the block."""
    handles = [module.register_forward_hook(watch) for module in modules]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
