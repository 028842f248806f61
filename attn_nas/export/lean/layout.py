"""Writes syntax trees as source in the layout of a formatter: lines of at most `LINE` characters, double quotes."""

from __future__ import annotations

import ast
import copy
import json
import textwrap
from collections.abc import Sequence
from typing import Any

LINE = 128
INDENT = 4


def block(statements: Sequence[ast.stmt], indent: int = 0) -> list[str]:
    """Return the lines of ``statements``, indented by so many spaces."""
    return [line for statement in statements for line in written(statement, indent)]


def written(statement: ast.stmt, indent: int = 0) -> list[str]:  # noqa: PLR0912  one branch for each kind of statement
    """Return the lines of a statement."""
    inner = indent + INDENT
    match statement:
        case ast.ClassDef():
            bases = ", ".join(flat(base) for base in statement.bases)
            head = f"class {statement.name}({bases}):" if bases else f"class {statement.name}:"
            return [*_decorators(statement, indent), " " * indent + head, *_class_body(statement, inner)]
        case ast.FunctionDef():
            return [*_decorators(statement, indent), *_signature(statement, indent), *_body(statement.body, inner)]
        case ast.If():
            lines = [*_headed("if ", statement.test, indent), *_body(statement.body, inner)]
            match statement.orelse:
                case []:
                    return lines
                case [ast.If() as other]:
                    first, *rest = written(other, indent)
                    return [*lines, f"{' ' * indent}el{first.lstrip()}", *rest]
                case _:
                    return [*lines, f"{' ' * indent}else:", *_body(statement.orelse, inner)]
        case ast.For(orelse=[]):
            head = f"for {_bare(statement.target)} in "
            return [*_headed(head, statement.iter, indent), *_body(statement.body, inner)]
        case ast.While(orelse=[]):
            return [*_headed("while ", statement.test, indent), *_body(statement.body, inner)]
        case ast.With():
            items = ", ".join(ast.unparse(_prepared(item)) for item in statement.items)
            return [f"{' ' * indent}with {items}:", *_body(statement.body, inner)]
        case ast.Expr(value=ast.Constant(value=str() as text)):
            return docstring(text, indent)
        case ast.Expr():
            return fitted("", statement.value, "", indent)
        case ast.Return(value=ast.expr() as value):
            return fitted("return ", value, "", indent)
        case ast.Assign():
            targets = "".join(f"{_bare(target)} = " for target in statement.targets)
            return fitted(targets, statement.value, "", indent)
        case ast.AugAssign():
            operator = flat(ast.BinOp(ast.Name("a"), statement.op, ast.Name("b"))).split()[1]
            return fitted(f"{flat(statement.target)} {operator}= ", statement.value, "", indent)
        case ast.AnnAssign(value=ast.expr() as value):
            return fitted(f"{flat(statement.target)}: {flat(statement.annotation)} = ", value, "", indent)
        case _:
            text = ast.unparse(ast.fix_missing_locations(_prepared(statement)))
            return [" " * indent + line for line in text.splitlines()]


def docstring(text: str, indent: int) -> list[str]:
    """Return the lines of a docstring, escaped so that nothing in it can end it: parts of some are read from a run."""
    escaped = text.replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
    escaped = escaped[:-1] + '\\"' if escaped.endswith('"') else escaped
    first, *rest = escaped.split("\n")
    space = " " * indent
    lines = [f'{space}"""{first}', *(f"{space}{line}" if line else "" for line in rest)]
    if len(lines) == 1 and len(lines[0]) + len('"""') > LINE:
        wrapped = textwrap.wrap(lines[0].strip(), LINE - indent - 6, break_long_words=False, break_on_hyphens=False)
        lines = [*(f"{space}{line}" for line in wrapped), ""]
    lines[-1] = f'{lines[-1] or space}"""'
    return lines


def flat(expression: ast.expr) -> str:
    """Return an expression on one line."""
    return ast.unparse(ast.fix_missing_locations(_prepared(expression)))


def fitted(before: str, expression: ast.expr, after: str, indent: int, *, is_item: bool = False) -> list[str]:
    """Return the lines of an expression with text before and after it: one if it fits, else its last bracket is opened.

    A tuple has no parentheses unless it ``is_item`` of something else.
    """
    space = " " * indent
    line = f"{space}{before}{flat(expression) if is_item else _bare(expression)}{after}"
    if len(line) <= LINE:
        return [line]
    opened = _opened(expression)
    if opened is None:
        inside = " " * (indent + INDENT)
        if isinstance(expression, ast.BinOp | ast.BoolOp | ast.Compare | ast.IfExp | ast.Attribute | ast.Call):
            return [f"{space}{before}(", f"{inside}{flat(expression)}", f"{space}){after}"]
        return [line]
    head, items, tail = opened
    return bracketed(f"{before}{head}", items, f"{tail}{after}", indent)


def bracketed(head: str, items: Sequence[tuple[str, ast.expr]], tail: str, indent: int) -> list[str]:
    """Return the lines of bracketed ``items``, each a text before it and an expression: all on one line, or one a line."""
    space, inside = " " * indent, " " * (indent + INDENT)
    together = inside + ", ".join(f"{before}{flat(item)}" for before, item in items)
    if len(together) <= LINE:
        return [f"{space}{head}", together, f"{space}{tail}"]
    comma = "," if len(items) > 1 else ""
    lines = [line for before, item in items for line in fitted(before, item, comma, indent + INDENT, is_item=True)]
    return [f"{space}{head}", *lines, f"{space}{tail}"]


def _opened(expression: ast.expr) -> tuple[str, list[tuple[str, ast.expr]], str] | None:
    """Return an expression that ends with a bracket in parts: text up to the bracket, items in it, and the closing bracket."""
    match expression:
        case ast.Call() if expression.args or expression.keywords:
            items = [*(("", each) for each in expression.args), *((_keyword(each), each.value) for each in expression.keywords)]
            if len(items) == 1 and isinstance(items[0][1], ast.GeneratorExp):
                return None
            return f"{flat(expression.func)}(", items, ")"
        case ast.List() if expression.elts:
            return "[", [("", each) for each in expression.elts], "]"
        case ast.Tuple() if len(expression.elts) > 1:
            return "(", [("", each) for each in expression.elts], ")"
        case ast.Starred():
            opened = _opened(expression.value)
            return opened and (f"*{opened[0]}", *opened[1:])
        case ast.BinOp():
            opened = _opened(expression.right)
            left = flat(ast.BinOp(expression.left, expression.op, ast.Name("_"))).removesuffix("_")
            return opened and (f"{left}{opened[0]}", *opened[1:])
        case _:
            return None


def _keyword(keyword: ast.keyword) -> str:
    return f"{keyword.arg}=" if keyword.arg else "**"


def _headed(before: str, expression: ast.expr, indent: int) -> list[str]:
    return fitted(before, expression, ":", indent)


def _body(statements: Sequence[ast.stmt], indent: int) -> list[str]:
    return block(statements, indent) or [f"{' ' * indent}pass"]


def _class_body(statement: ast.ClassDef, indent: int) -> list[str]:
    lines: list[str] = []
    for number, each in enumerate(statement.body):
        is_function = isinstance(each, ast.FunctionDef)
        after_text = number == 1 and isinstance(statement.body[0], ast.Expr)
        if number and (is_function or after_text or isinstance(statement.body[number - 1], ast.FunctionDef)):
            lines.append("")
        lines += written(each, indent)
    return lines or [f"{' ' * indent}pass"]


def _decorators(statement: ast.ClassDef | ast.FunctionDef, indent: int) -> list[str]:
    return [f"{' ' * indent}@{flat(each)}" for each in statement.decorator_list]


def _signature(function: ast.FunctionDef, indent: int) -> list[str]:
    given = function.args
    plain = [*given.posonlyargs, *given.args]
    defaults = [*[None] * (len(plain) - len(given.defaults)), *given.defaults]
    parts = [_parameter(each, default) for each, default in zip(plain, defaults, strict=True)]
    if given.vararg:
        parts.append(f"*{_parameter(given.vararg, None)}")
    elif given.kwonlyargs:
        parts.append("*")
    parts += [_parameter(each, default) for each, default in zip(given.kwonlyargs, given.kw_defaults, strict=True)]
    if given.kwarg:
        parts.append(f"**{_parameter(given.kwarg, None)}")
    returns = f" -> {flat(function.returns)}" if function.returns else ""
    space, inside = " " * indent, " " * (indent + INDENT)
    line = f"{space}def {function.name}({', '.join(parts)}){returns}:"
    if len(line) <= LINE:
        return [line]
    together = inside + ", ".join(parts)
    lines = [together] if len(together) <= LINE else [f"{inside}{part}," for part in parts]
    return [f"{space}def {function.name}(", *lines, f"{space}){returns}:"]


def _parameter(parameter: ast.arg, default: ast.expr | None) -> str:
    text = parameter.arg + (f": {flat(parameter.annotation)}" if parameter.annotation else "")
    equals = " = " if parameter.annotation else "="
    return text if default is None else f"{text}{equals}{flat(default)}"


def _bare(expression: ast.expr) -> str:
    """Return an expression on one line; a tuple of several items without its parentheses."""
    if isinstance(expression, ast.Tuple) and len(expression.elts) > 1:
        return ", ".join(map(flat, expression.elts))
    return flat(expression)


def _prepared(node: Any) -> Any:
    return _Prepared().visit(copy.deepcopy(node))


class _Prepared(ast.NodeTransformer):
    """Replaces what `ast.unparse` writes in another layout by names that have the text."""

    def visit_Constant(self, node: ast.Constant) -> ast.expr:
        return ast.Name(json.dumps(node.value, ensure_ascii=False)) if isinstance(node.value, str) else node

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.expr:
        text = ast.unparse(node)
        return ast.Name(f'f"{text[2:-1]}"') if text.startswith("f'") and '"' not in text else node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        match node:
            case ast.Call(args=[ast.GeneratorExp() as loop], keywords=[]):
                return ast.Call(self.visit(node.func), [ast.Name(flat(loop)[1:-1])], [])
            case _:
                return self.generic_visit(node)

    def visit_Slice(self, node: ast.Slice) -> ast.AST:
        parts = [None if each is None else flat(each) for each in (node.lower, node.upper, node.step)]
        if all(each is None or _is_simple(each, dotted=False) for each in (node.lower, node.upper, node.step)):
            return self.generic_visit(node)
        first, second, third = parts
        text = f"{first} :" if first else ":"
        text += f" {second}" if second else ""
        return ast.Name(text + (f" : {third}" if third else ""))

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        is_close = isinstance(node.op, ast.Pow) and _is_simple(node.left) and _is_simple(node.right)
        visited = self.generic_visit(node)
        return ast.Name(f"{flat(node.left)}**{flat(node.right)}") if is_close else visited

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        return node if isinstance(node.value, ast.BinOp) else self.generic_visit(node)


def _is_simple(node: ast.expr, *, dotted: bool = True) -> bool:
    match node:
        case ast.UnaryOp(op=ast.USub()):
            return _is_simple(node.operand, dotted=dotted)
        case ast.Attribute():
            return dotted and _is_simple(node.value)
        case _:
            return isinstance(node, ast.Constant | ast.Name)
