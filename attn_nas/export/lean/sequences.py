"""Calls of the items of a ``Sequential``: one after another, as a whole, or in a loop."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from attn_nas.export.lean.values import (
    Part,
    literal,
    name,
    own,
    some_items,
)
from attn_nas.models.convnext import Permute

_FEWEST_LOOPED = 3
"""So many successive items of a sequence are called in a loop: torch.fx and torch.jit cannot call a part of a sequence."""


@dataclass(frozen=True)
class Span:
    """A call of the ``items`` ``start`` to ``stop`` of the sequence ``container``, one after another, on ``inner``."""

    container: Part
    start: int
    stop: int
    inner: ast.expr
    items: ast.expr


def called_part(part: Part, given: ast.expr, is_root: bool) -> ast.expr:
    """The call of a module; of successive items of a sequence it is the call of the sequence, or of a part of it."""
    container = part.parent
    if container is None or not container.is_sequence:
        return ast.Call(part.path, [given], [])
    start, inner, before = part.index, given, getattr(given, "span", None)
    if before and before.stop == before.start + 1 and _undoes(before.container.children()[before.start].module, part.module):
        undone: ast.expr = before.inner
        return undone
    if before and before.stop == start and ast.dump(before.container.path) == ast.dump(container.path):
        start, inner = before.start, before.inner
    return called(container, start, part.index + 1, inner, is_root)


def called(container: Part, start: int, stop: int, inner: ast.expr, is_root: bool) -> ast.expr:
    """The call of items of a sequence on ``inner``, one after another.

    Indices are counted from the nearer end, so that sequences of several lengths are treated alike; in the network itself,
    of which there is one, from the start.
    """
    number = len(container.children())
    if (start, stop) == (0, number):
        return called_part(container, inner, is_root)
    made = inner
    for index in range(start, stop):
        item = index if is_root or not index else index - number
        made = ast.Call(ast.Subscript(container.path, literal(item), ast.Load()), [made], [])
    last = None if stop == number else literal(stop if is_root or (start == 0 and stop < number - stop) else stop - number)
    first = None if start == 0 else literal(start if is_root or stop < number else start - number)
    items = some_items(container.path, ast.Slice(first, last, None))
    made.span = Span(container, start, stop, inner, items)  # type: ignore[attr-defined]
    return made


def _undoes(first: nn.Module, second: nn.Module) -> bool:
    """True if the second module only permutes the dimensions of a map back."""
    orders = [module.order for module in (first, second) if isinstance(module, Permute)]
    return len(orders) == 2 and [orders[0][each] for each in orders[1]] == [*range(len(orders[0]))]


def looped(statements: Sequence[ast.stmt]) -> list[ast.stmt]:
    """Statements, in which successive calls of many items of a sequence are loops."""
    found: list[ast.stmt] = []
    for statement in statements:
        match statement:
            case ast.If():
                found.append(ast.If(statement.test, looped(statement.body), looped(statement.orelse)))
                continue
            case ast.With():
                found.append(ast.With(statement.items, looped(statement.body)))
                continue
            case ast.Assign([ast.Name(id=variable)], value):
                span = getattr(value, "span", None)
            case _:
                span = None
        if span is None or span.stop - span.start < _FEWEST_LOOPED:
            found.append(statement)
            continue
        if not (isinstance(span.inner, ast.Name) and span.inner.id == variable):
            found.append(ast.Assign([ast.Name(variable, ast.Store())], span.inner))
        step = ast.Assign([ast.Name(variable, ast.Store())], ast.Call(name("layer"), [name(variable)], []))
        found.append(ast.For(ast.Name("layer", ast.Store()), span.items, [step], []))
    return found


def parts_of(root: nn.Module) -> list[Part]:
    """The modules of a network with the expressions of their paths."""
    found: list[Part] = []

    def visit(part: Part) -> None:
        found.append(part)
        if isinstance(part.module, nn.Sequential | nn.ModuleList):
            for child in part.children():
                visit(child)
        else:
            for key, module in part.module._modules.items():
                if module is not None:
                    visit(Part(module, ast.Attribute(part.path, key, ast.Load())))

    for key, module in root._modules.items():
        if module is not None:
            visit(Part(module, own(key)))
    return found


class Exchanged(ast.NodeTransformer):
    """Replaces one node by another."""

    def __init__(self, node: ast.AST, other: ast.AST) -> None:
        self._node = node
        self._other = other

    def visit(self, node: ast.AST) -> Any:
        """The node, with the other one in it."""
        visited: ast.AST = self._other if node is self._node else self.generic_visit(node)
        return visited
