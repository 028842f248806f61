"""Questions about syntax trees, and the replacement of variables in them."""

from __future__ import annotations

import ast
import copy
from collections.abc import Mapping, Sequence


def parameters(function: ast.FunctionDef | ast.Lambda) -> list[ast.arg]:
    """All parameters of a function."""
    given = function.args
    special = [each for each in (given.vararg, given.kwarg) if each]
    return [*given.posonlyargs, *given.args, *given.kwonlyargs, *special]


def defaults(function: ast.FunctionDef) -> dict[str, ast.expr]:
    """The default values of parameters."""
    given = function.args
    plain = [*given.posonlyargs, *given.args]
    found = {each.arg: value for each, value in zip(plain[len(plain) - len(given.defaults) :], given.defaults, strict=True)}
    named = zip(given.kwonlyargs, given.kw_defaults, strict=True)
    return found | {each.arg: value for each, value in named if value is not None}


def stored(statements: Sequence[ast.stmt]) -> set[str]:
    """Variables that statements assign."""
    found = set()
    for statement in statements:
        comprehended = {
            id(each) for node in ast.walk(statement) if isinstance(node, ast.comprehension) for each in ast.walk(node.target)
        }
        for node in ast.walk(statement):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and id(node) not in comprehended:
                found.add(node.id)
    return found


def changed_by(statements: Sequence[ast.stmt]) -> set[str]:
    """Variables that statements assign, or whose list they change."""
    calls = [node.func for each in statements for node in ast.walk(each) if isinstance(node, ast.Call)]
    lists = {
        function.value.id
        for function in calls
        if isinstance(function, ast.Attribute)
        and function.attr in ("append", "extend", "insert", "pop", "remove", "clear", "update")
        and isinstance(function.value, ast.Name)
    }
    return stored(statements) | lists


def loads(nodes: Sequence[ast.AST | None], variable: str) -> int:
    """How often a variable is read in ``nodes``."""
    return sum(
        isinstance(each, ast.Name) and each.id == variable and isinstance(each.ctx, ast.Load)
        for node in nodes
        if node is not None
        for each in ast.walk(node)
    )


def method_of(node: ast.ClassDef, title: str) -> ast.FunctionDef | None:
    """The method of a class that has a name."""
    return next((each for each in node.body if isinstance(each, ast.FunctionDef) and each.name == title), None)


def text_of(body: Sequence[ast.stmt]) -> list[ast.stmt]:
    """The docstring of a body."""
    match body:
        case [ast.Expr(value=ast.Constant(value=str())), *_]:
            return [body[0]]
        case _:
            return []


def is_own(node: ast.AST, attribute: str) -> bool:
    """True for the expression ``self.ATTRIBUTE``."""
    return (
        isinstance(node, ast.Attribute)
        and node.attr == attribute
        and isinstance(node.value, ast.Name)
        and node.value.id == "self"
    )


def mentions_own(node: ast.AST, attribute: str) -> bool:
    """True if ``self.ATTRIBUTE`` is in a tree."""
    return any(is_own(each, attribute) for each in ast.walk(node))


class Replaced(ast.NodeTransformer):
    """Replaces variables by expressions."""

    def __init__(self, values: Mapping[str, ast.expr]) -> None:
        self._values = values

    def visit_Name(self, node: ast.Name) -> ast.expr:
        """The expression of a variable that is read."""
        is_read = isinstance(node.ctx, ast.Load) and node.id in self._values
        return copy.deepcopy(self._values[node.id]) if is_read else node


def is_simple(node: ast.expr) -> bool:
    """True for what costs nothing to write twice: a name, a constant, or an attribute of one."""
    match node:
        case ast.Attribute():
            return is_simple(node.value)
        case ast.UnaryOp():
            return is_simple(node.operand)
        case _:
            return isinstance(node, ast.Name | ast.Constant)


def bound_arguments(function: ast.FunctionDef, call: ast.Call, skip: int) -> dict[str, ast.expr] | None:
    """The arguments of a call by parameter, with defaults; None if they cannot be told."""
    if any(isinstance(each, ast.Starred) for each in call.args) or any(each.arg is None for each in call.keywords):
        return None
    given = function.args
    plain = [each.arg for each in (*given.posonlyargs, *given.args)][skip:]
    if len(call.args) > len(plain):
        return None
    bound = dict(zip(plain, call.args, strict=False)) | {str(each.arg): each.value for each in call.keywords}
    return {**defaults(function), **bound}
