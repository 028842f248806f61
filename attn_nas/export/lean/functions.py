"""Puts short functions where they are called, and removes those that do nothing."""

from __future__ import annotations

import ast
import copy
from collections.abc import Sequence

from attn_nas.export.lean.program import Program, Uses
from attn_nas.export.lean.tidying import tidy
from attn_nas.export.lean.trees import Replaced, bound_arguments, is_simple, text_of

_LONGEST_INLINED, _LONGEST_REPEATED = 90, 50
"""Longest expressions of functions that are put where they are called: once, and repeatedly."""


def inline_functions(program: Program) -> None:
    """Put short functions where they are called, and remove calls of functions that do nothing."""
    uses = Uses(program.definitions.values())
    for definition in [*program.definitions.values()]:
        node = definition.node
        if not isinstance(node, ast.FunctionDef) or definition.module is None:
            continue
        tidy(node, ordered=bool(program.kept))
        body, number = node.body[len(text_of(node.body)) :], len(uses.of(node.name))
        expression = _as_expression(body)
        replacing: ast.NodeTransformer
        if not body:
            replacing = _Removed(node.name)
        elif expression and len(ast.unparse(expression)) <= (_LONGEST_INLINED if number == 1 else _LONGEST_REPEATED):
            replacing = _Inlined(node, expression)
        elif number == 1 and len(body) == 1 and not any(isinstance(each, ast.Return) for each in ast.walk(body[0])):
            replacing = _InlinedStatement(node, body[0])
        else:
            continue
        for other in program.definitions.values():
            if other is not definition and any(
                isinstance(each, ast.Name) and each.id == node.name for each in ast.walk(other.node)
            ):
                replacing.visit(other.node)


def _as_expression(body: Sequence[ast.stmt]) -> ast.expr | None:
    """The value of a function that only returns one, perhaps in terms of one variable; None for others."""
    match body:
        case [ast.Return(value=ast.expr() as value)]:
            return value
        case [ast.Assign(targets=[ast.Name(id=variable)], value=first), ast.Return(value=ast.expr() as value)]:
            uses = [each for each in ast.walk(value) if isinstance(each, ast.Name) and each.id == variable]
            return Replaced({variable: first}).visit(copy.deepcopy(value)) if len(uses) == 1 else None
        case _:
            return None


class _Removed(ast.NodeTransformer):
    """Removes statements that call a function."""

    def __init__(self, title: str) -> None:
        self._title = title

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        is_call = isinstance(node.value, ast.Call) and isinstance(node.value.func, ast.Name)
        return None if is_call and node.value.func.id == self._title else node  # type: ignore[attr-defined]


class _InlinedStatement(ast.NodeTransformer):
    """Replaces the statement that calls a function by the one statement of the function."""

    def __init__(self, function: ast.FunctionDef, statement: ast.stmt) -> None:
        self._function = function
        self._statement = statement

    def visit_Expr(self, node: ast.Expr) -> ast.AST | list[ast.stmt]:
        call, given = node.value, self._function.args
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name) or call.func.id != self._function.name:
            return node
        statement = copy.deepcopy(self._statement)
        if given.vararg and isinstance(statement, ast.For) and isinstance(statement.iter, ast.Name) and len(call.args) == 1:
            is_all = statement.iter.id == given.vararg.arg and isinstance(statement.target, ast.Name) and not call.keywords
            if is_all and isinstance(statement.target, ast.Name) and is_simple(call.args[0]):
                replaced = Replaced({statement.target.id: call.args[0]})
                return [replaced.visit(each) for each in statement.body]
            return node
        bound = None if given.vararg or given.kwarg else bound_arguments(self._function, call, 0)
        if bound is None or not all(map(is_simple, bound.values())):
            return node
        replaced_statement: ast.AST = Replaced(bound).visit(statement)
        return replaced_statement


class _Inlined(ast.NodeTransformer):
    """Replaces calls of a function by its expression, where no argument would be computed twice."""

    def __init__(self, function: ast.FunctionDef, expression: ast.expr) -> None:
        self._function = function
        self._expression = expression

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        if not isinstance(node.func, ast.Name) or node.func.id != self._function.name:
            return node
        bound = None
        if not (self._function.args.vararg or self._function.args.kwarg):
            bound = bound_arguments(self._function, node, 0)
        if bound is None:
            return node
        loads = [each.id for each in ast.walk(self._expression) if isinstance(each, ast.Name)]
        for key, value in bound.items():
            if loads.count(key) > 1 and not is_simple(value):
                return node
        return Replaced(bound).visit(copy.deepcopy(self._expression))
