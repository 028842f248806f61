"""Remove empty slots from the source of blocks, so that it reads like source written by hand."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator, Sequence

_BASE = "SlottedBlock"
_Edit = tuple[int, int]


def without_slots(definitions: Sequence[str], empty: Collection[str]) -> list[str]:
    """Return ``definitions`` without the slots ``empty``: their assignments are removed, and ``self.SLOT(x)`` becomes ``x``.

    A slot that a block uses in any other way is kept. Each class must come after its base classes.
    """
    trees = [ast.parse(source).body[0] for source in definitions]
    blocks = _blocks(trees)
    known = {name for tree in blocks for name in empty if _is_removable(tree, name)}
    special = {name for tree in blocks for name in empty if not _is_removable(tree, name)}
    return [
        _edited(source, _edits(source, tree, known - special)) if tree in blocks else source
        for source, tree in zip(definitions, trees, strict=True)
    ]


def _blocks(trees: Sequence[ast.stmt]) -> list[ast.ClassDef]:
    """Return the base class of all blocks and the classes derived from it."""
    found: dict[str, ast.ClassDef] = {}
    for tree in trees:
        if isinstance(tree, ast.ClassDef):
            bases = [base.id for base in tree.bases if isinstance(base, ast.Name)]
            if tree.name == _BASE or any(base in found for base in bases):
                found[tree.name] = tree
    return [*found.values()]


def _slot(node: ast.AST) -> str | None:
    """Return ``SLOT`` of an expression ``self.SLOT``; None for other expressions."""
    is_own = isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self"
    return node.attr if is_own and isinstance(node, ast.Attribute) else None


def _is_removable(tree: ast.AST, name: str) -> bool:
    """True if the slot is only assigned, and called with one argument."""
    calls = sum(_slot(node.func) == name for node in _calls(tree))
    assignments = sum(_slot(node.targets[0]) == name for node in _assignments(tree))
    return calls + assignments == sum(_slot(node) == name for node in ast.walk(tree))


def _calls(tree: ast.AST) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _slot(node.func) and len(node.args) == 1 and not node.keywords:
            yield node


def _assignments(tree: ast.AST) -> Iterator[ast.Assign]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and ast.unparse(node.value) == "nn.Identity()" and _slot(node.targets[0]):
            yield node


def _edits(source: str, tree: ast.AST, names: Collection[str]) -> Iterator[_Edit]:
    """Yield the ranges of bytes to remove."""
    starts = [0]
    for line in source.encode().splitlines(keepends=True):
        starts.append(starts[-1] + len(line))

    def begin(node: ast.expr | ast.stmt) -> int:
        return starts[node.lineno - 1] + node.col_offset

    def end(node: ast.expr | ast.stmt) -> int:
        return starts[(node.end_lineno or node.lineno) - 1] + (node.end_col_offset or 0)

    def lines(node: ast.stmt) -> _Edit:
        return starts[node.lineno - 1], starts[node.end_lineno or node.lineno]

    for assignment in _assignments(tree):
        if _slot(assignment.targets[0]) in names:
            yield lines(assignment)
    no_ops = [node for node in ast.walk(tree) if isinstance(node, ast.Assign) and _is_no_op(node, names)]
    yield from map(lines, no_ops)
    removed = {id(part) for node in no_ops for part in ast.walk(node)}
    inside = {
        id(child)
        for node in ast.walk(tree)
        if isinstance(node, ast.BinOp | ast.Attribute)
        for child in ast.iter_child_nodes(node)
    }
    for call in _calls(tree):
        if _slot(call.func) in names and id(call) not in removed:
            (argument,) = call.args
            keeps_parentheses = id(call) in inside and isinstance(argument, ast.BinOp | ast.IfExp)
            yield (begin(call), end(call.func)) if keeps_parentheses else (begin(call), begin(argument))
            if not keeps_parentheses:
                yield end(argument), end(call)


def _is_no_op(statement: ast.Assign, names: Collection[str]) -> bool:
    """True if only ``x = x`` would remain of the statement."""
    value = statement.value
    while isinstance(value, ast.Call) and _slot(value.func) in names and len(value.args) == 1:
        value = value.args[0]
    return value is not statement.value and ast.unparse(value) == ast.unparse(statement.targets[0])


def _edited(source: str, edits: Iterator[_Edit]) -> str:
    text = source.encode()
    for start, stop in sorted(edits, reverse=True):
        text = text[:start] + text[stop:]
    return text.decode()
