"""Slots before and after a module of any class."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from torch import nn

from attn_nas.models.insertion.derived import Derived, derived
from attn_nas.models.insertion.undoing import record_class
from attn_nas.space.host import PREFIX


class AnyBlock(Derived):
    """A module of any class with slots: its first input passes ``attention_pre``, its output the other two.

    Only the slots that are needed are there. The module keeps its own ``forward``, attributes, parameters and hooks.
    """

    def forward(self, *inputs: Any, **named: Any) -> Any:
        """Takes what the module takes, and gives what it gives."""
        return self.through_slots(super().forward, inputs, named)  # type: ignore[misc]

    def through_slots(self, forward: Callable[..., Any], inputs: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """See `Derived`."""
        slots = self._modules  # type: ignore[attr-defined]
        if f"{PREFIX}pre" in slots:
            inputs = (slots[f"{PREFIX}pre"](inputs[0]), *inputs[1:])
        output = forward(*inputs, **named)
        for position in ("post", "stage_end"):
            if PREFIX + position in slots:
                output = slots[PREFIX + position](output)
        return output


class AnyContainer(AnyBlock):
    """A container with slots, which are not among its items."""

    @property
    def own_modules(self) -> dict[str, nn.Module]:
        """The items of the container by name."""
        return {name: each for name, each in self._modules.items() if not name.startswith(PREFIX)}  # type: ignore[attr-defined]

    def __len__(self) -> int:
        return len(self.own_modules)


class AnySequence(AnyContainer):
    """A ``Sequential`` or a list with slots."""

    def __iter__(self) -> Iterator[nn.Module]:
        return iter(self.own_modules.values())

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            items = [*self.own_modules.items()][index]
            made = self.bare.__new__(self.bare)
            nn.Module.__init__(made)
            for name, module in items:
                made.add_module(name, module)
            return made
        position = range(len(self))[index]
        return next(islice(iter(self), position, None))

    def __delitem__(self, index: Any) -> None:
        slots = self._taken_slots()
        try:
            super().__delitem__(index)  # type: ignore[misc]
        finally:
            self._modules.update(slots)  # type: ignore[attr-defined]

    def insert(self, index: int, module: nn.Module) -> Any:
        """Insert an item before ``index``."""
        slots = self._taken_slots()
        try:
            return super().insert(index, module)  # type: ignore[misc]
        finally:
            self._modules.update(slots)  # type: ignore[attr-defined]

    def _taken_slots(self) -> dict[str, nn.Module]:
        """Take the slots out of the container, which numbers its items anew."""
        return {name: self._modules.pop(name) for name in [*self._modules] if name.startswith(PREFIX)}  # type: ignore[attr-defined]


class AnyDict(AnyContainer):
    """A ``ModuleDict`` with slots."""

    def __iter__(self) -> Iterator[str]:
        return iter(self.own_modules)

    def keys(self) -> Any:
        """Names of the items."""
        return self.own_modules.keys()

    def values(self) -> Any:
        """The items."""
        return self.own_modules.values()

    def items(self) -> Any:
        """Names and items."""
        return self.own_modules.items()


def give_slots(module: nn.Module) -> nn.Module:
    """Make ``module`` a module whose slots are called, in place, and return it; it has no slots yet.

    Raises:
        TypeError: objects of its class cannot change their class.

    """
    if not isinstance(module, AnyBlock):
        slots: type = AnyBlock
        if isinstance(module, nn.Sequential | nn.ModuleList):
            slots = AnySequence
        elif isinstance(module, nn.ModuleDict):
            slots = AnyDict
        bare = type(module)
        module.__class__ = derived(slots, bare)
        record_class(module, bare)
    return module
