"""Values of the partial evaluation of source: what is known when a file is written, and expressions of what is not."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from torch import nn

_SCALARS = (int, float, bool, str, type(None))
_FEWEST_ROLLED = 3
"""So many equal items in a row are written as a loop."""


class UnclearError(Exception):
    """Source that the partial evaluation does not understand; it is copied as it is."""


@dataclass(frozen=True, eq=False)
class Known:
    """An object that is known; ``source`` is the expression that it comes from, for what has no literal."""

    value: Any
    source: ast.expr | None = None


@dataclass(frozen=True, eq=False)
class Part:
    """A module of the network, at the expression ``path``; ``parent`` and ``index`` where it is an item of a sequence."""

    module: nn.Module
    path: ast.expr
    parent: Part | None = None
    index: int = 0

    def children(self) -> list[Part]:
        """The items of a sequence or list."""
        modules = [*self.module.children()]
        return [Part(each, subscript(self.path, number), self, number) for number, each in enumerate(modules)]

    @property
    def is_sequence(self) -> bool:
        """True for a ``Sequential``, which can be called, and whose items can be called instead."""
        return type(self.module) is nn.Sequential


@dataclass(eq=False)
class Items:
    """A list or tuple of values, some of which may not be known."""

    values: list[Value] = field(default_factory=list)
    kind: type = list


@dataclass(frozen=True, eq=False)
class Own:
    """The module whose method is evaluated."""


Value: TypeAlias = Known | Part | Items | Own | ast.expr


def name(text: str) -> ast.Name:
    """The expression of a variable."""
    return ast.Name(text, ast.Load())


def own(attribute: str) -> ast.Attribute:
    """The expression ``self.ATTRIBUTE``."""
    return ast.Attribute(name("self"), attribute, ast.Load())


def subscript(value: ast.expr, index: int) -> ast.Subscript:
    """The expression ``value[index]``."""
    return ast.Subscript(value, literal(index), ast.Load())


def some_items(sequence: ast.expr, part: ast.Slice) -> ast.expr:
    """The expression of successive items of a ``Sequential``, as a list: type checkers know no slice of it."""
    return ast.Subscript(ast.Call(name("list"), [sequence], []), part, ast.Load())


def is_literal(value: Any) -> bool:
    """True if ``value`` can be written as a literal."""
    if isinstance(value, tuple | list):
        return all(map(is_literal, value))
    if isinstance(value, dict):
        return all(is_literal(each) for item in value.items() for each in item)
    return type(value) in _SCALARS


def literal(value: Any) -> ast.expr:
    """The literal of a value for which `is_literal` is true."""
    return ast.parse(repr(value), mode="eval").body


def concrete(value: Value) -> tuple[Any] | None:
    """The object of a value in a tuple; None if it is not known as a whole."""
    if isinstance(value, Known):
        return (value.value,)
    if isinstance(value, Items):
        found = [concrete(each) for each in value.values]
        if all(each is not None for each in found):
            return (value.kind(each[0] for each in found if each),)
    return None


def elements(value: Value) -> list[Value] | None:
    """The items of a value that can be iterated over; None if they are not known."""
    match value:
        case Items():
            return None if any(isinstance(each, ast.Starred) for each in value.values) else [*value.values]
        case Part() if isinstance(value.module, nn.Sequential | nn.ModuleList):
            return [*value.children()]
        case Known(value=tuple() | list() | range() | dict() | str() | zip() | enumerate() as found):
            return [Known(each) for each in found]
        case _:
            return None


def lifted(value: Value) -> ast.expr:
    """The expression of a value.

    Raises:
        UnclearError: there is none.

    """
    match value:
        case Known():
            if value.source is not None and not (isinstance(value.source, ast.Name) and type(value.value) in _SCALARS):
                return value.source
            if not is_literal(value.value):
                raise UnclearError(f"{value.value!r} has no literal")
            return literal(value.value)
        case Part():
            return value.path
        case Items():
            written = rolled(map(lifted, value.values))
            if value.kind is tuple:
                return ast.Tuple(written, ast.Load())
            return ast.List(written, ast.Load())
        case Own():
            return name("self")
        case _:
            return value


def rolled(items: Iterable[ast.expr]) -> list[ast.expr]:
    """Expressions of ``items``, in which several equal calls in a row are a loop."""
    groups: list[tuple[str, list[ast.expr]]] = []
    for item in items:
        text = ast.dump(item)
        if groups and groups[-1][0] == text and isinstance(item, ast.Call):
            groups[-1][1].append(item)
        else:
            groups.append((text, [item]))
    found: list[ast.expr] = []
    for _, equal in groups:
        if len(equal) < _FEWEST_ROLLED:
            found += equal
            continue
        times = ast.Call(name("range"), [literal(len(equal))], [])
        loop = ast.comprehension(ast.Name("_", ast.Store()), times, [], 0)
        found.append(ast.Starred(ast.GeneratorExp(equal[0], [loop]), ast.Load()))
    return found
