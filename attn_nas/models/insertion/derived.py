"""Classes for modules that get slots: derived from the module's own class, so that its methods and kind stay."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from torch import nn

FORWARDS = ("forward_fuse", "forward_split")
"""Methods that ultralytics puts in the place of ``forward`` when it fuses layers or exports a model."""


class Derived:
    """Base of the classes that `derived` makes: they are pickled and copied by ``slots`` and ``bare``, which have names."""

    slots: ClassVar[type]
    bare: ClassVar[type[nn.Module]]
    known: ClassVar[dict[tuple[type, type[nn.Module]], type[nn.Module]]] = {}

    def __reduce_ex__(self, protocol: Any) -> Any:
        parts: Any = super().__reduce_ex__(protocol)
        return (without_state, (self.slots, self.bare), *parts[2:])

    def through_slots(self, forward: Callable[..., Any], inputs: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """The output of ``forward`` and of the slots around it; a class whose own ``forward`` calls its slots has none."""
        return forward(*inputs, **named)


def derived(slots: type, bare: type[nn.Module]) -> type[nn.Module]:
    """The class with the methods of ``slots``, then those of ``bare``; it has the name of ``bare``."""
    if (slots, bare) in Derived.known:
        return Derived.known[slots, bare]

    def through(name: str) -> Callable[..., Any]:
        def method(self: Any, *inputs: Any, **named: Any) -> Any:
            return self.through_slots(getattr(super(made, self), name), inputs, named)

        return method

    own = {name: through(name) for name in FORWARDS if hasattr(bare, name)}
    bases = (slots, bare) if issubclass(slots, Derived) else (Derived, slots, bare)
    made = type(bare.__name__, bases, {"__module__": bare.__module__, "slots": slots, "bare": bare, **own})
    Derived.known[slots, bare] = made
    return made


def without_state(slots: type, bare: type[nn.Module]) -> nn.Module:
    """A module of the class that `derived` makes, before its state is set; pickles call this."""
    kind = derived(slots, bare)
    return kind.__new__(kind)


def bare_class(module: nn.Module) -> type[nn.Module]:
    """The class of ``module`` before it got slots."""
    kind: type[nn.Module] = module.bare if isinstance(module, Derived) else type(module)
    return kind
