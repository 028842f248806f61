"""Removes variables that only name what follows, and what torch does by default."""

from __future__ import annotations

import ast
import inspect
from typing import Any

from torch import nn

from attn_nas.export.lean.trees import Replaced, is_simple, parameters


def tidy(node: ast.stmt, *, ordered: bool) -> None:
    """Remove variables that are not used, those of one use in constructors, and what has no effect."""
    _Folded().visit(node)
    for function in [each for each in ast.walk(node) if isinstance(each, ast.FunctionDef)]:
        is_constructor = function.name == "__init__"
        if is_constructor:
            _FoldedSizes().visit(function)
        for _ in range(len(function.body) + 1):
            if not _tidied(function, everywhere=is_constructor, ordered=ordered):
                break
        match function.body:
            case [*_, ast.Assign(targets=[ast.Name(id=variable)], value=value), ast.Return(value=ast.Name(id=returned))]:
                if variable == returned:
                    function.body[-2:] = [ast.Return(value)]


class _Folded(ast.NodeTransformer):
    """Computes integer divisions, leaves out default arguments of torch's modules, and statements without an effect."""

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        self.generic_visit(node)
        match node:
            case ast.BinOp(ast.Constant(value=int() as left), ast.FloorDiv(), ast.Constant(value=int() as right)) if right:
                return ast.Constant(left // right)
            case _:
                return node

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        self.generic_visit(node)
        is_text = isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        has_effect = any(isinstance(each, ast.Call | ast.Await | ast.Yield) for each in ast.walk(node.value))
        return node if is_text or has_effect else None

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        match node.func:
            case ast.Attribute(value=ast.Name(id="nn"), attr=title) if isinstance(getattr(nn, title, None), type):
                _leave_out_defaults(node, getattr(nn, title))
        return node


class _FoldedSizes(ast.NodeTransformer):
    """Leaves out factors and divisors of 1."""

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        self.generic_visit(node)
        match node:
            case ast.BinOp(left, ast.FloorDiv() | ast.Mult(), ast.Constant(value=1)):
                return left
            case ast.BinOp(ast.Constant(value=1), ast.Mult(), right):
                return right
            case _:
                return node


def _leave_out_defaults(node: ast.Call, module: type) -> None:
    parameters = [*inspect.signature(module).parameters.values()]
    if any(isinstance(each, ast.Starred) for each in node.args) or any(each.kind is each.VAR_POSITIONAL for each in parameters):
        return
    known = {each.name: each.default for each in parameters}
    node.keywords = [each for each in node.keywords if not (each.arg in known and _is_equal(each.value, known[each.arg]))]
    positional = [*known][: len(node.args)]
    while node.args and len(positional) == len(node.args) and _is_equal(node.args[-1], known[positional[-1]]):
        node.args.pop()
        positional.pop()


def _is_equal(node: ast.expr, default: Any) -> bool:
    return isinstance(node, ast.Constant) and type(node.value) is type(default) and node.value == default


def _draws(value: ast.expr) -> bool:
    """True if a value may be a new module, whose weights are drawn."""
    return any(isinstance(each, ast.Call) and not isinstance(each.func, ast.Name) for each in ast.walk(value))


def _tidied(function: ast.FunctionDef, *, everywhere: bool, ordered: bool) -> bool:
    """Remove one variable; False if there is none.

    ``everywhere`` says that a value may be computed later than now, ``ordered`` that weights must be drawn in the same order.
    """
    for number, statement in enumerate(function.body):
        if not (isinstance(statement, ast.Assign | ast.AnnAssign) and statement.value is not None):
            continue
        target = statement.targets[0] if isinstance(statement, ast.Assign) else statement.target
        if not isinstance(target, ast.Name):
            continue
        if everywhere and not (ordered and _draws(statement.value)) and _moved(function, number, target.id, statement.value):
            return True
        uses = [each for each in ast.walk(function) if isinstance(each, ast.Name) and each.id == target.id]
        stores = [each for each in uses if isinstance(each.ctx, ast.Store)]
        if len(stores) > 1 or target.id in {each.arg for each in parameters(function)}:
            continue
        loads = len(uses) - len(stores)
        if not loads and not any(isinstance(each, ast.Call) for each in ast.walk(statement.value)):
            function.body.pop(number)
            return True
        if not everywhere or not loads:
            continue
        later = function.body[number + 1 :]
        in_loop = [
            each
            for other in later
            for loop in ast.walk(other)
            if isinstance(loop, ast.For | ast.While | ast.comprehension)
            for each in ast.walk(loop)
            if isinstance(each, ast.Name) and each.id == target.id
        ]
        is_plain = isinstance(statement.value, ast.Name | ast.Constant)
        if is_plain or (loads == 1 and not in_loop and not (ordered and _draws(statement.value))):
            for position, other in enumerate(later):
                function.body[number + 1 + position] = Replaced({target.id: statement.value}).visit(other)
            function.body.pop(number)
            return True
    return False


def _moved(function: ast.FunctionDef, number: int, variable: str, value: ast.expr) -> bool:
    """Put the value of a variable into the next statement, if it is used there once, and then not before it has another."""
    rest = function.body[number + 1 :]
    counts = [sum(isinstance(each, ast.Name) and each.id == variable for each in ast.walk(other)) for other in rest]
    after = next((position for position, count in enumerate(counts[1:], 1) if count), None)
    overwrites = after is not None and isinstance(rest[after], ast.Assign) and counts[after] == 1
    if not rest or not isinstance(rest[0], ast.Assign | ast.Expr) or counts[0] != 1 or (after is not None and not overwrites):
        return False
    if any(isinstance(each, ast.comprehension) for each in ast.walk(rest[0])) and not is_simple(value):
        loops = [each for each in ast.walk(rest[0]) if isinstance(each, ast.GeneratorExp | ast.ListComp)]
        if any(isinstance(each, ast.Name) and each.id == variable for loop in loops for each in ast.walk(loop)):
            return False
    if after is not None and not isinstance(rest[after].targets[0], ast.Name):  # type: ignore[attr-defined]
        return False
    function.body[number + 1] = Replaced({variable: value}).visit(rest[0])
    function.body.pop(number)
    return True
