"""Partial evaluation of methods and functions: what is known when a file is written is computed, the rest stays source."""

from __future__ import annotations

import ast
import copy
import inspect
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from torch import nn

from attn_nas.export.lean.values import (
    Items,
    Known,
    Own,
    Part,
    UnclearError,
    Value,
    concrete,
    elements,
    lifted,
    literal,
    name,
    own,
    rolled,
    some_items,
)
from attn_nas.models.convnext import Permute

_PURE = {
    range,
    len,
    max,
    min,
    int,
    float,
    abs,
    sum,
    tuple,
    list,
    sorted,
    round,
    bool,
    str,
    enumerate,
    zip,
    reversed,
    dict,
    divmod,
}
_ENUMERATE, _ZIP, _LIST, _TUPLE, _REVERSED, _LEN = enumerate, zip, list, tuple, reversed, len
_SIMPLE_RETURNS = {int, float, bool, str, None, "int", "float", "bool", "str", "None"}
_FEWEST_LOOPED = 3
"""So many successive items of a sequence are called in a loop: torch.fx and torch.jit cannot call a part of a sequence."""
_LONGEST_INLINED = 70
"""Longest result of a method that is written where the method is called; longer ones get a variable."""
_GUARD = "has_torch_function_unary"
_COMPARE: dict[type, Callable[[Any, Any], Any]] = {
    ast.Eq: lambda a, b: a == b,
    ast.NotEq: lambda a, b: a != b,
    ast.Lt: lambda a, b: a < b,
    ast.LtE: lambda a, b: a <= b,
    ast.Gt: lambda a, b: a > b,
    ast.GtE: lambda a, b: a >= b,
    ast.In: lambda a, b: a in b,
    ast.NotIn: lambda a, b: a not in b,
    ast.Is: lambda a, b: a is b,
    ast.IsNot: lambda a, b: a is not b,
}
_BINARY: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.Div: lambda a, b: a / b,
    ast.FloorDiv: lambda a, b: a // b,
    ast.Mod: lambda a, b: a % b,
    ast.Pow: lambda a, b: a**b,
    ast.LShift: lambda a, b: a << b,
    ast.RShift: lambda a, b: a >> b,
    ast.BitAnd: lambda a, b: a & b,
    ast.BitOr: lambda a, b: a | b,
}
_UNARY: dict[type, Callable[[Any], Any]] = {
    ast.USub: lambda a: -a,
    ast.UAdd: lambda a: +a,
    ast.Not: lambda a: not a,
    ast.Invert: lambda a: ~a,
}


@dataclass
class Setting:
    """What is known about the definition that is evaluated.

    ``find`` gives the object of a global name, or None. ``methods`` are those of the class by name, ``attributes`` its known
    ones. ``empty`` are slots without a module in all instances. ``instance`` is the module itself, where its structure may be
    used, and with ``sizes`` also the integers among its attributes. In a ``constructor``, checks of arguments are dropped,
    unless there are to be ``checks``. Methods of ``inlined`` are written where they are called. ``plain`` says that no tracer
    is at work, ``is_root`` that the class is that of the network.
    """

    find: Callable[[str], Known | None]
    methods: Mapping[str, ast.FunctionDef] = field(default_factory=dict)
    parents: Sequence[ast.FunctionDef] = ()
    attributes: dict[str, Known] = field(default_factory=dict)
    empty: frozenset[str] = frozenset()
    instance: nn.Module | None = None
    sizes: bool = False
    constructor: bool = False
    checks: bool = False
    inlined: frozenset[str] = frozenset()
    plain: bool = False
    is_root: bool = False


class KeptSlotError(Exception):
    """A slot is used otherwise than called with one argument: ``args`` has its name."""


@dataclass
class Frame:
    """Variables of one function: their values, the names they are written with, and the statements that are still to come."""

    values: dict[str, Value]
    written: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, ast.expr] = field(default_factory=dict)
    current: ast.stmt | None = None
    later: list[ast.stmt] = field(default_factory=list)
    call: ast.Call | None = None
    parents: Sequence[ast.FunctionDef] = ()


@dataclass
class Returned(Exception):
    """Ends the evaluation of an inlined function."""

    value: Value


class Evaluation:
    """Evaluates one function; the statements that remain are in ``out``."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.out: list[ast.stmt] = []
        self.assigned: dict[str, list[Value]] = {}
        self._frames: list[Frame] = [Frame({})]
        self._taken: set[str] = set()

    @property
    def frame(self) -> Frame:
        """The variables of the function that is evaluated now."""
        return self._frames[-1]

    def function(self, node: ast.FunctionDef, known: Mapping[str, Value], parents: Sequence[ast.FunctionDef] = ()) -> None:
        """Evaluate a whole function, whose parameters have ``known`` values or are variables.

        Raises:
            UnclearError: it has code that is not understood, or that fails with the known values.

        """
        values: dict[str, Value] = {each.arg: name(each.arg) for each in parameters(node)}
        self._taken = {*values}
        self._frames = [Frame({**values, **known}, parents=parents)]
        try:
            self._run(node.body, is_top=True)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            raise UnclearError(f"{node.name}: {error}") from error
        self.out = _looped(self.out)

    # Statements

    def _run(self, statements: Sequence[ast.stmt], *, is_top: bool = False) -> None:
        for number, statement in enumerate(statements):
            if is_top:
                self.frame.current, self.frame.later = statement, [*statements[number + 1 :]]
            self._statement(statement)
            if self.out and isinstance(self.out[-1], ast.Return):
                return

    def _statement(self, statement: ast.stmt) -> None:  # noqa: PLR0912  one branch for each kind of statement
        match statement:
            case ast.Expr(value=ast.Constant()) | ast.Pass():
                pass
            case ast.Expr(
                value=ast.Call(func=ast.Attribute(value=ast.Call(func=ast.Name(id="super")), attr="__init__")) as call
            ):
                self._parent(call)
            case ast.Expr():
                self._expression(statement.value)
            case ast.Assign(targets=[target]):
                self._assign(target, self.value(statement.value))
            case ast.AnnAssign(value=ast.expr() as given):
                if isinstance(statement.target, ast.Name):
                    self.frame.annotations[statement.target.id] = statement.annotation
                self._assign(statement.target, self.value(given), statement.annotation)
            case ast.AugAssign():
                self._augmented(statement)
            case ast.If():
                self._if(statement)
            case ast.For(orelse=[]):
                self._for(statement)
            case ast.With():
                self._with(statement)
            case ast.Return():
                found = Known(None) if statement.value is None else self.value(statement.value)
                if len(self._frames) > 1:
                    raise Returned(found)
                self.out.append(ast.Return(None if statement.value is None else lifted(found)))
            case ast.Raise() | ast.Assert():
                self.out.append(_Substituted(self).visit(copy.deepcopy(statement)))
            case _:
                raise UnclearError(type(statement).__name__)

    def _parent(self, call: ast.Call) -> None:
        """Put the constructor of the base class where it is called."""
        if not self.frame.parents:
            arguments, keywords = self._arguments(call)
            function = ast.Attribute(ast.Call(name("super"), [], []), "__init__", ast.Load())
            has_arguments = bool(arguments or keywords)
            self.out.insert(len(self.out) if has_arguments else 0, ast.Expr(ast.Call(function, arguments, keywords)))
            return
        constructor, *others = self.frame.parents
        bound = self._bound(constructor, call, skip_self=True)
        self._frames.append(Frame({"self": Own(), **bound}, parents=others))
        self._rename(constructor)
        try:
            self._run(constructor.body, is_top=True)
        except Returned:
            pass
        finally:
            self._frames.pop()

    def _expression(self, node: ast.expr) -> None:
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id="self"), attr="add_module"), args=[title, module]) if (
                self.setting.constructor
            ):
                text = concrete(self.value(title))
                if text and str(text[0]).isidentifier():
                    self._assign(own(text[0]), self.value(module))
                    return
        found = self.value(node)
        if isinstance(found, ast.expr):
            self.out.append(ast.Expr(found))

    def _assign(self, target: ast.expr, value: Value, annotation: ast.expr | None = None) -> None:
        match target:
            case ast.Name():
                self.bind(target.id, value)
            case ast.Attribute(value=ast.Name(id="self")) if isinstance(self.frame.values.get("self"), Own):
                self.assigned.setdefault(target.attr, []).append(value)
                self._emit_to(ast.Attribute(name("self"), target.attr, ast.Store()), lifted(value), annotation)
            case ast.Tuple() | ast.List():
                self._unpack(target, value)
            case _:
                place = self._place(target)
                self._emit_to(place, lifted(value), annotation)

    def _place(self, target: ast.expr) -> ast.Attribute | ast.Subscript:
        match target:
            case ast.Attribute():
                return ast.Attribute(lifted(self.value(target.value)), target.attr, ast.Store())
            case ast.Subscript():
                return ast.Subscript(lifted(self.value(target.value)), lifted(self.value(target.slice)), ast.Store())
            case _:
                raise UnclearError(ast.dump(target))

    def _emit_to(self, target: ast.expr, value: ast.expr, annotation: ast.expr | None) -> None:
        if annotation is not None and isinstance(target, ast.Name | ast.Attribute | ast.Subscript):
            self.out.append(ast.AnnAssign(target, annotation, value, int(isinstance(target, ast.Name))))
        else:
            self.out.append(ast.Assign([target], value))

    def _unpack(self, target: ast.Tuple | ast.List, value: Value) -> None:
        found = elements(value)
        targets = target.elts
        starred = next((number for number, each in enumerate(targets) if isinstance(each, ast.Starred)), None)
        if found is not None:
            if starred is None and len(found) != len(targets):
                raise UnclearError("numbers of targets and values differ")
            parts: list[tuple[ast.expr, Value]] = []
            if starred is None:
                parts = [*zip(targets, found, strict=True)]
            else:
                after = len(targets) - starred - 1
                stop = len(found) - after
                middle = targets[starred]
                assert isinstance(middle, ast.Starred)
                parts = [
                    *zip(targets[:starred], found[:starred], strict=True),
                    (middle.value, Items(found[starred:stop])),
                    *zip(targets[starred + 1 :], found[stop:], strict=True),
                ]
            own_ones = all(isinstance(each, ast.Attribute) for each, _ in parts)
            if own_ones or all(not isinstance(each, ast.expr) for _, each in parts):
                for each, part in parts:
                    self._assign(each, part)
                return
        if not all(isinstance(each, ast.Name | ast.Starred | ast.Tuple | ast.expr_context) for each in ast.walk(target)):
            raise UnclearError("unpacking to other targets than variables")
        self._emit_unpacked(target, lifted(value))

    def _emit_unpacked(self, target: ast.Tuple | ast.List, value: ast.expr) -> None:
        names = [each.id for each in ast.walk(target) if isinstance(each, ast.Name)]
        written = {each: self._new_name(each) for each in names}
        renamed = copy.deepcopy(target)
        for each in ast.walk(renamed):
            if isinstance(each, ast.Name):
                each.id = written[each.id]
        self.out.append(ast.Assign([renamed], value))
        for variable, text in written.items():
            self.frame.values[variable] = name(text)

    def bind(self, variable: str, value: Value) -> None:
        """Give a variable a value; a statement remains if that is not known."""
        is_whole = not self.setting.constructor or self.setting.checks
        if isinstance(value, Items) and is_whole and any(isinstance(each, ast.expr) for each in value.values):
            value = lifted(value)
        if not isinstance(value, ast.expr):
            self.frame.values[variable] = value
            return
        if isinstance(value, ast.Name) and self.frame.values.get(variable) is not None and value.id == self._written(variable):
            return
        if isinstance(value, ast.Name):
            self.frame.values[variable] = name(value.id)
            return
        text = self._new_name(variable)
        value = self._merged(text, value)
        annotation = self.frame.annotations.pop(variable, None)
        target = ast.Name(text, ast.Store())
        self._emit_to(target, value, annotation)
        self.frame.values[variable] = name(text)

    def _written(self, variable: str) -> str:
        return self.frame.written.get(variable, variable)

    def _new_name(self, variable: str) -> str:
        """The name to write a variable with, whose former value is not needed any more."""
        text = self._written(variable)
        needed = False
        for frame in self._frames:
            for other, value in frame.values.items():
                if frame is self.frame and other == variable:
                    continue
                if isinstance(value, ast.Name):
                    needed |= value.id == text and self._is_needed(frame, other)
                elif isinstance(value, Items):
                    needed |= any(_mentions(each, text) for each in value.values)
        if needed:
            number = 2
            while f"{text}_{number}" in self._taken:
                number += 1
            text = f"{text}_{number}"
            self.frame.written[variable] = text
        self._taken.add(text)
        return text

    def _is_needed(self, frame: Frame, variable: str) -> bool:
        """True if a variable of a function may still be read: later, or by the present statement beside its inlined call."""
        present, inside = _loads([frame.current] if frame.current else [], variable), _loads([frame.call], variable)
        is_simple = isinstance(frame.current, ast.Assign | ast.Return | ast.Expr)
        if is_simple and present <= max(inside, int(frame.call is None)):
            overwritten = isinstance(frame.current, ast.Assign) and variable in _stored([frame.current])
            return not overwritten and bool(_loads(frame.later, variable))
        return bool(present or _loads(frame.later, variable))

    def _merged(self, text: str, value: ast.expr) -> ast.expr:
        """Merge calls of successive items of a sequence, of which the last statement is the first; returns the new value."""
        last = self.out[-1] if self.out else None
        match last:
            case ast.Assign([ast.Name(id=target)], before) if target == text and isinstance(before, ast.Call):
                first = getattr(before, "span", None)
            case _:
                return value
        found = [(each, span) for each in ast.walk(value) if (span := getattr(each, "span", None))]
        spans = [(each, span) for each, span in found if isinstance(span.inner, ast.Name) and span.inner.id == text]
        if first is None or len(spans) != 1 or _loads([value], text) != 1:
            return value
        ((node, span),) = spans
        if span.start != first.stop or ast.dump(span.container.path) != ast.dump(first.container.path):
            return value
        self.out.pop()
        joined = called(first.container, first.start, span.stop, first.inner, self.setting.is_root)
        exchanged: ast.expr = _Exchanged(node, joined).visit(value)
        return self._merged(text, exchanged)

    def _augmented(self, statement: ast.AugAssign) -> None:
        if not isinstance(statement.target, ast.Name):
            place, change = self._place(statement.target), lifted(self.value(statement.value))
            self.out.append(ast.AugAssign(place, statement.op, change))
            return
        variable = statement.target.id
        found = self.value(ast.BinOp(ast.Name(variable, ast.Load()), statement.op, statement.value))
        if isinstance(found, ast.expr):
            self._settle({variable})
            change = lifted(self.value(statement.value))
            self.out.append(ast.AugAssign(ast.Name(self._written(variable), ast.Store()), statement.op, change))
        else:
            self.frame.values[variable] = found

    def _settle(self, variables: Iterable[str]) -> None:
        """Write the known values of variables as statements: what follows may change them or not."""
        for variable in sorted(variables):
            value = self.frame.values.get(variable)
            if value is None:
                continue
            if isinstance(value, ast.Name) and value.id == self._written(variable):
                continue
            expression = lifted(value)
            annotation = self.frame.annotations.pop(variable, None)
            text = self._written(variable)
            self._taken.add(text)
            self._emit_to(ast.Name(text, ast.Store()), expression, annotation)
            self.frame.values[variable] = name(text)

    def _if(self, statement: ast.If) -> None:
        test = self.value(statement.test)
        known = truth(test)
        if known is not None:
            self._run(statement.body if known else statement.orelse)
            return
        if self._is_check(statement):
            return
        self._settle(_changed(statement.body) | _changed(statement.orelse))
        body, orelse = self._inside(statement.body), self._inside(statement.orelse)
        if body or orelse:
            self.out.append(ast.If(lifted(test), body or [ast.Pass()], orelse))

    def _is_check(self, statement: ast.If) -> bool:
        """True for a check of an argument, which is not needed where all arguments are known."""
        is_check = not statement.orelse and isinstance(statement.body[-1], ast.Raise)
        return is_check and self.setting.constructor and not self.setting.checks

    def _inside(self, statements: Sequence[ast.stmt]) -> list[ast.stmt]:
        """Evaluate statements that may not be run; the values of the variables that they change are not known afterwards."""
        outside, self.out = self.out, []
        before = dict(self.frame.values)
        if len(self._frames) > 1 and any(isinstance(each, ast.Return) for one in statements for each in ast.walk(one)):
            self.out = outside
            raise UnclearError("a return under a condition")
        try:
            self._run(statements)
            self._settle(_changed(statements))
            return self.out
        finally:
            self.out = outside
            for variable in _changed(statements):
                if variable in before or isinstance(self.frame.values.get(variable), ast.expr):
                    self.frame.values[variable] = name(self._written(variable))
                else:
                    self.frame.values.pop(variable, None)

    def _for(self, statement: ast.For) -> None:
        source = self.value(statement.iter)
        found = elements(source)
        breaks = any(isinstance(each, ast.Break | ast.Continue) for each in ast.walk(statement))
        unrolls = (
            self.setting.constructor
            or not found
            or any(isinstance(part, Part) for each in found or () for part in (elements(each) or [each]))
        )
        if found is not None and unrolls and not breaks:
            for each in found:
                self._assign(statement.target, each)
                self._run(statement.body)
            return
        targets = {each.id for each in ast.walk(statement.target) if isinstance(each, ast.Name)}
        self._settle(_changed(statement.body) - targets)
        for variable in targets:
            self.frame.values[variable] = name(self._written(variable))
        body = self._inside(statement.body)
        if body:
            self.out.append(ast.For(copy.deepcopy(statement.target), lifted(source), body, []))

    def _with(self, statement: ast.With) -> None:
        if any(each.optional_vars for each in statement.items):
            raise UnclearError("with ... as")
        items = [ast.withitem(lifted(self.value(each.context_expr)), None) for each in statement.items]
        outside, self.out = self.out, []
        if len(self._frames) > 1 and any(isinstance(each, ast.Return) for one in statement.body for each in ast.walk(one)):
            self.out = outside
            raise UnclearError("a return in a with")
        self._run(statement.body)
        self.out, body = outside, self.out
        self.out.append(ast.With(items, body))

    # Expressions

    def value(self, node: ast.expr) -> Value:  # noqa: PLR0912  one branch for each kind of expression
        """The value of an expression."""
        match node:
            case ast.Constant():
                return Known(node.value)
            case ast.Name():
                return self._variable(node.id)
            case ast.Attribute():
                return self._attribute(self.value(node.value), node.attr)
            case ast.Call():
                return self._call(node)
            case ast.BinOp():
                return self._binary(node)
            case ast.UnaryOp():
                operand = self.value(node.operand)
                if isinstance(node.op, ast.Not) and truth(operand) is not None:
                    return Known(not truth(operand))
                found = concrete(operand)
                return Known(_UNARY[type(node.op)](*found)) if found else ast.UnaryOp(node.op, lifted(operand))
            case ast.Compare():
                return self._compare(node)
            case ast.BoolOp():
                return self._boolean(node)
            case ast.IfExp():
                test = self.value(node.test)
                known = truth(test)
                if known is not None:
                    return self.value(node.body if known else node.orelse)
                return ast.IfExp(lifted(test), lifted(self.value(node.body)), lifted(self.value(node.orelse)))
            case ast.Tuple() | ast.List():
                return Items(self._spread(node.elts), tuple if isinstance(node, ast.Tuple) else list)
            case ast.Subscript():
                return self._subscript(node)
            case ast.Slice():
                parts = [each and lifted(self.value(each)) for each in (node.lower, node.upper, node.step)]
                return ast.Slice(*parts)
            case ast.GeneratorExp() | ast.ListComp():
                return self._comprehension(node)
            case ast.DictComp() | ast.Dict():
                return self._dictionary(node)
            case ast.JoinedStr():
                return self._text(node)
            case ast.SetComp() | ast.Lambda():
                return self._substituted(node)
            case ast.Starred():
                return ast.Starred(lifted(self.value(node.value)), ast.Load())
            case _:
                raise UnclearError(type(node).__name__)

    def _variable(self, variable: str) -> Value:
        if variable in self.frame.values:
            return self.frame.values[variable]
        found = self.setting.find(variable)
        return name(variable) if found is None else found

    def _attribute(self, base: Value, attribute: str) -> Value:
        match base:
            case Own():
                return self._own(attribute)
            case Known(source=ast.expr() as source, value=ModuleType() | type() as found):
                return Known(getattr(found, attribute), ast.Attribute(source, attribute, ast.Load()))
            case Part() if attribute in base.module._modules:
                return Part(base.module._modules[attribute] or nn.Identity(), ast.Attribute(base.path, attribute, ast.Load()))
            case _:
                return ast.Attribute(lifted(base), attribute, ast.Load())

    def _own(self, attribute: str) -> Value:
        setting = self.setting
        if attribute in setting.attributes and not setting.constructor:
            return setting.attributes[attribute]
        if setting.constructor:
            found = self.assigned.get(attribute, [])
            return found[0] if len(found) == 1 and concrete(found[0]) and not isinstance(found[0], Items) else own(attribute)
        instance = setting.instance
        if setting.sizes and type(vars(instance).get(attribute)) is int:
            return Known(vars(instance)[attribute])
        if instance is not None and isinstance(instance._modules.get(attribute), nn.Module):
            return Part(instance._modules[attribute] or nn.Identity(), own(attribute))
        if instance is not None and setting.is_root and isinstance(getattr(type(instance), attribute, None), property):
            paths = {id(part.module): part for part in parts_of(instance)}
            found = getattr(instance, attribute)
            if isinstance(found, list | tuple) and all(id(each) in paths for each in found):
                return Items([paths[id(each)] for each in found])
        if attribute in setting.empty:
            raise KeptSlotError(attribute)
        return own(attribute)

    def _call(self, node: ast.Call) -> Value:
        function = node.func
        if isinstance(function, ast.Attribute):
            on_own = isinstance(function.value, ast.Name) and isinstance(self.frame.values.get(function.value.id), Own)
            if on_own and function.attr in self.setting.empty and len(node.args) == 1 and not node.keywords:
                return self.value(node.args[0])
            if on_own and function.attr in self.setting.inlined and not self.setting.constructor:
                return self._inline(self.setting.methods[function.attr], node)
            base = self.value(function.value)
            found = self._method_of(base, function.attr, node)
            if found is not None:
                return found
            target = self._attribute(base, function.attr)
        else:
            target = self.value(function)
        if isinstance(target, Part):
            return self._call_part(target, node)
        if isinstance(target, Known) and callable(target.value):
            computed = self._computed(target, node)
            if computed is not None:
                return computed
        arguments, keywords = self._arguments(node)
        if isinstance(target, Known) and isinstance(target.value, type):
            arguments = _as_loop(arguments)
        made = ast.Call(lifted(target), arguments, keywords)
        made.makes = isinstance(target, Known) and isinstance(target.value, type)  # type: ignore[attr-defined]
        return made

    def _method_of(self, base: Value, method: str, node: ast.Call) -> Value | None:
        """The result of a method of a list, a text or another known object; None if it is not known."""
        if isinstance(base, Items) and method in ("append", "extend") and len(node.args) == 1:
            given = self.value(node.args[0])
            added = [given] if method == "append" else elements(given)
            if added is None:
                raise UnclearError("a list that is extended by what is not known")
            base.values += added
            return Known(None)
        if isinstance(base, Part) and method == "children" and not node.args:
            return Items([*base.children()])
        found = concrete(base) if not isinstance(base, Own) else None
        if found and isinstance(found[0], str | tuple | list | dict | range):
            known = [concrete(self.value(each)) for each in node.args]
            if all(known) and not node.keywords:
                return Known(getattr(found[0], method)(*(each[0] for each in known if each)))
        return None

    def _call_part(self, target: Part, node: ast.Call) -> Value:
        if len(node.args) != 1 or node.keywords:
            arguments, keywords = self._arguments(node)
            return ast.Call(target.path, arguments, keywords)
        given = self.value(node.args[0])
        if self.setting.is_root and type(target.module) is nn.Identity and not (target.parent and target.parent.is_sequence):
            return given
        return called_part(target, lifted(given), self.setting.is_root)

    def _computed(self, target: Known, node: ast.Call) -> Value | None:
        """The value of a call that can be computed now; None if it cannot."""
        function: Any = target.value
        if getattr(function, "__name__", "") == _GUARD and self.setting.plain:
            return Known(False)
        try:
            is_pure = function in _PURE or getattr(function, "__module__", "") == math.__name__ or _returns_simple(function)
        except TypeError:
            return None
        if not is_pure:
            return None
        given = self._spread(node.args)
        keywords = {each.arg: self.value(each.value) for each in node.keywords}
        if None in keywords or any(isinstance(each, ast.Starred) for each in given):
            return None
        known, named = [concrete(each) for each in given], {key: concrete(each) for key, each in keywords.items()}
        if all(known) and all(named.values()):
            try:
                found = function(
                    *(each[0] for each in known if each), **{str(key): each[0] for key, each in named.items() if each}
                )
            except Exception as error:
                raise UnclearError(str(error)) from error
            return Known(found)
        if keywords or not given:
            return None
        lists = [elements(each) for each in given]
        if function in (_LIST, _TUPLE) and lists[0] is not None:
            return Items(lists[0], function)
        if function is _LEN and lists[0] is not None:
            return Known(len(lists[0]))
        if function is _REVERSED and lists[0] is not None:
            return Items(lists[0][::-1])
        if function is _ENUMERATE and lists[0] is not None and len(given) == 1:
            return Items([Items([Known(number), each], tuple) for number, each in enumerate(lists[0])])
        if function is _ZIP and all(each is not None for each in lists):
            return Items([Items([*each], tuple) for each in zip(*(each for each in lists if each is not None), strict=False)])
        return None

    def _arguments(self, node: ast.Call) -> tuple[list[ast.expr], list[ast.keyword]]:
        arguments = rolled(map(lifted, self._spread(node.args)))
        return arguments, [ast.keyword(each.arg, lifted(self.value(each.value))) for each in node.keywords]

    def _spread(self, nodes: Sequence[ast.expr]) -> list[Value]:
        found: list[Value] = []
        for node in nodes:
            if not isinstance(node, ast.Starred):
                found.append(self.value(node))
                continue
            value = self.value(node.value)
            spread = elements(value)
            found += [ast.Starred(lifted(value), ast.Load())] if spread is None else spread
        return found

    def _binary(self, node: ast.BinOp) -> Value:
        left, right = self.value(node.left), self.value(node.right)
        found = concrete(left), concrete(right)
        if found[0] and found[1] and type(node.op) in _BINARY:
            result = _BINARY[type(node.op)](found[0][0], found[1][0])
            is_root = isinstance(node.op, ast.Pow) and isinstance(result, float)
            return Known(result, ast.BinOp(lifted(left), node.op, lifted(right)) if is_root else None)
        return ast.BinOp(lifted(left), node.op, lifted(right))

    def _compare(self, node: ast.Compare) -> Value:
        values = [self.value(each) for each in (node.left, *node.comparators)]
        found = [concrete(each) for each in values]
        if all(found):
            return Known(
                all(
                    _COMPARE[type(operator)](before[0], after[0])
                    for operator, before, after in zip(node.ops, found, found[1:], strict=False)
                    if before and after
                )
            )
        is_module = isinstance(values[0], Part) or getattr(values[0], "makes", False)
        if is_module and len(node.ops) == 1 and isinstance(node.ops[0], ast.Is | ast.IsNot) and found[1] == (None,):
            return Known(isinstance(node.ops[0], ast.IsNot))
        return ast.Compare(lifted(values[0]), node.ops, [lifted(each) for each in values[1:]])

    def _boolean(self, node: ast.BoolOp) -> Value:
        stops = isinstance(node.op, ast.Or)
        left: list[Value] = []
        for each in node.values:
            value = self.value(each)
            known = truth(value)
            if known is None:
                left.append(value)
            elif known is stops:
                left.append(value)
                break
        if not left:
            return self.value(node.values[-1])
        if len(left) == 1:
            return left[0]
        return ast.BoolOp(node.op, [lifted(each) for each in left])

    def _subscript(self, node: ast.Subscript) -> Value:
        base = self.value(node.value)
        parts = node.slice if isinstance(node.slice, ast.Slice) else None
        items, found = elements(base), concrete(base)
        if parts is not None:
            bounds = [Known(None) if each is None else self.value(each) for each in (parts.lower, parts.upper, parts.step)]
            known = [concrete(each) for each in bounds]
            if all(known):
                chosen = slice(*(each[0] for each in known if each))
                if found and isinstance(found[0], tuple | list | str):
                    return Known(found[0][chosen])
                if items is not None and isinstance(base, Items):
                    return Items(items[chosen], base.kind)
            return ast.Subscript(lifted(base), lifted(self.value(parts)), ast.Load())
        index = self.value(node.slice)
        known_index = concrete(index)
        if known_index and found and isinstance(found[0], tuple | list | dict | str):
            return Known(found[0][known_index[0]])
        if known_index and items is not None and isinstance(base, Items | Part):
            return items[known_index[0]]
        return ast.Subscript(lifted(base), lifted(index), ast.Load())

    def _comprehension(self, node: ast.GeneratorExp | ast.ListComp) -> Value:
        found: list[Value] = []
        with self._scope(node.generators):
            try:
                self._generate(node.generators, node.elt, found)
            except _UnknownIterableError:
                return self._substituted(node)
        return Items(found)

    def _generate(self, generators: Sequence[ast.comprehension], item: ast.expr, found: list[Value]) -> None:
        if not generators:
            found.append(self.value(item))
            return
        first, *others = generators
        values = elements(self.value(first.iter))
        if values is None:
            raise _UnknownIterableError
        for each in values:
            self._unpack_known(first.target, each)
            tests = [truth(self.value(test)) for test in first.ifs]
            if None in tests:
                raise _UnknownIterableError
            if all(tests):
                self._generate(others, item, found)

    def _unpack_known(self, target: ast.expr, value: Value) -> None:
        if isinstance(target, ast.Name):
            self.frame.values[target.id] = value
            return
        found = elements(value)
        if found is None or not isinstance(target, ast.Tuple) or len(found) != len(target.elts):
            raise _UnknownIterableError
        for each, part in zip(target.elts, found, strict=True):
            self._unpack_known(each, part)

    @contextmanager
    def _scope(self, generators: Sequence[ast.comprehension]) -> Any:
        """Variables of a comprehension are its own."""
        before = dict(self.frame.values)
        try:
            yield
        finally:
            self.frame.values.clear()
            self.frame.values.update(before)

    def _dictionary(self, node: ast.DictComp | ast.Dict) -> Value:
        """A dictionary that is known as a whole, or its expression."""
        if isinstance(node, ast.DictComp):
            pair = ast.Tuple([node.key, node.value], ast.Load())
            items = self._comprehension(ast.ListComp(pair, node.generators))
            pairs = items.values if isinstance(items, Items) else []
        else:
            items = Items([])
            given = [(key, value) for key, value in zip(node.keys, node.values, strict=True) if key is not None]
            pairs = [Items([self.value(key), self.value(value)], tuple) for key, value in given]
            pairs += [name("unknown")] * (len(node.keys) - len(given))
        known = [concrete(each) for each in pairs]
        if isinstance(items, Items) and all(known):
            return Known(dict(each[0] for each in known if each))
        return self._substituted(node)

    def _text(self, node: ast.JoinedStr) -> Value:
        """A text with values in it that are all known, or its expression."""
        parts: list[str] = []
        for each in node.values:
            match each:
                case ast.Constant(value=str() as text):
                    parts.append(text)
                case ast.FormattedValue(conversion=-1, format_spec=None) if found := concrete(self.value(each.value)):
                    parts.append(str(found[0]))
                case _:
                    return self._substituted(node)
        return Known("".join(parts))

    def _substituted(self, node: ast.expr) -> ast.expr:
        found: ast.expr = _Substituted(self).visit(copy.deepcopy(node))
        return found

    def _inline(self, method: ast.FunctionDef, node: ast.Call) -> Value:
        """Put the statements of a method where it is called, and return its value."""
        bound = self._bound(method, node, skip_self=True)
        caller = self.frame
        caller.call = node
        self._frames.append(Frame({"self": Own(), **bound}))
        self._rename(method)
        try:
            self._run(method.body, is_top=True)
        except Returned as returned:
            found = returned.value
        else:
            raise UnclearError("a method without a return at its end")
        finally:
            self._frames.pop()
            caller.call = None
        if not isinstance(found, ast.expr) or len(ast.unparse(ast.fix_missing_locations(found))) <= _LONGEST_INLINED:
            return found
        text = method.name if method.name not in self._taken else f"{method.name}_value"
        self._taken.add(text)
        self._emit_to(ast.Name(text, ast.Store()), found, None)
        return name(text)

    def _rename(self, function: ast.FunctionDef) -> None:
        """Give the variables of an inlined function names that no other variable has."""
        for variable in _stored(function.body):
            text, number = variable, 2
            while text in self._taken and self._is_alive(text):
                text, number = f"{variable}_{number}", number + 1
            self.frame.written[variable] = text

    def _is_alive(self, text: str) -> bool:
        """True if a variable of a calling function, written with this name, may be read later."""
        return any(
            isinstance(value, ast.Name) and value.id == text and self._is_needed(frame, variable)
            for frame in self._frames[:-1]
            for variable, value in frame.values.items()
        )

    def _bound(self, function: ast.FunctionDef, node: ast.Call, *, skip_self: bool) -> dict[str, Value]:
        """The values of the parameters of a call."""
        given = function.args
        if given.vararg or given.kwarg:
            raise UnclearError("a function of any number of arguments")
        plain = [each.arg for each in (*given.posonlyargs, *given.args)][int(skip_self) :]
        arguments = self._spread(node.args)
        if any(isinstance(each, ast.Starred) for each in arguments) or any(each.arg is None for each in node.keywords):
            raise UnclearError("a call with any number of arguments")
        bound: dict[str, Value] = dict(zip(plain, arguments, strict=False))
        bound |= {str(each.arg): self.value(each.value) for each in node.keywords}
        for parameter, default in defaults(function).items():
            if parameter not in bound:
                bound[parameter] = self.value(default)
        return bound


def _as_loop(arguments: list[ast.expr]) -> list[ast.expr]:
    """Arguments, of which a list of one loop is the loop itself."""
    match arguments:
        case [ast.List(elts=[ast.Starred(value=loop)])]:
            return [loop]
        case _:
            return arguments


class _UnknownIterableError(Exception):
    """A comprehension over what is not known."""


class _Substituted(ast.NodeTransformer):
    """Replaces variables by their values."""

    def __init__(self, evaluation: Evaluation) -> None:
        self._evaluation = evaluation
        self._bound: list[set[str]] = []

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if isinstance(node.ctx, ast.Load) and not any(node.id in each for each in self._bound):
            return lifted(self._evaluation._variable(node.id))
        return node

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        if isinstance(node.value, ast.Name) and isinstance(self._evaluation._variable(node.value.id), Own):
            return lifted(self._evaluation._own(node.attr))
        return self.generic_visit(node)

    def generic_visit(self, node: ast.AST) -> ast.AST:
        names: set[str] = set()
        if isinstance(node, ast.GeneratorExp | ast.ListComp | ast.SetComp | ast.DictComp):
            targets = [each.target for each in node.generators]
            names = {each.id for target in targets for each in ast.walk(target) if isinstance(each, ast.Name)}
        elif isinstance(node, ast.Lambda):
            names = {each.arg for each in parameters(node)}
        self._bound.append(names)
        try:
            return super().generic_visit(node)
        finally:
            self._bound.pop()


class _Exchanged(ast.NodeTransformer):
    """Replaces one node by another."""

    def __init__(self, node: ast.AST, other: ast.AST) -> None:
        self._node = node
        self._other = other

    def visit(self, node: ast.AST) -> Any:
        visited: ast.AST = self._other if node is self._node else self.generic_visit(node)
        return visited


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


def _undoes(first: nn.Module, second: nn.Module) -> bool:
    """True if the second module only permutes the dimensions of a map back."""
    orders = [module.order for module in (first, second) if isinstance(module, Permute)]
    return len(orders) == 2 and [orders[0][each] for each in orders[1]] == [*range(len(orders[0]))]


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


def _looped(statements: Sequence[ast.stmt]) -> list[ast.stmt]:
    """Statements, in which successive calls of many items of a sequence are loops."""
    found: list[ast.stmt] = []
    for statement in statements:
        match statement:
            case ast.If():
                found.append(ast.If(statement.test, _looped(statement.body), _looped(statement.orelse)))
                continue
            case ast.With():
                found.append(ast.With(statement.items, _looped(statement.body)))
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


def truth(value: Value) -> bool | None:
    """Whether a value counts as true; None if it is not known."""
    match value:
        case Known():
            return bool(value.value)
        case Items():
            return bool(value.values) if not any(isinstance(each, ast.Starred) for each in value.values) else None
        case Part():
            return True
        case _:
            return None


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


def _returns_simple(function: Any) -> bool:
    if not inspect.isfunction(function) or function.__module__.partition(".")[0] == "torch":
        return False
    return inspect.signature(function).return_annotation in _SIMPLE_RETURNS


def _stored(statements: Sequence[ast.stmt]) -> set[str]:
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


def _changed(statements: Sequence[ast.stmt]) -> set[str]:
    """Variables that statements assign, or whose list they change."""
    calls = [node.func for each in statements for node in ast.walk(each) if isinstance(node, ast.Call)]
    lists = {
        function.value.id
        for function in calls
        if isinstance(function, ast.Attribute)
        and function.attr in ("append", "extend", "insert", "pop", "remove", "clear", "update")
        and isinstance(function.value, ast.Name)
    }
    return _stored(statements) | lists


def _loads(nodes: Sequence[ast.AST | None], variable: str) -> int:
    """How often a variable is read in ``nodes``."""
    return sum(
        isinstance(each, ast.Name) and each.id == variable and isinstance(each.ctx, ast.Load)
        for node in nodes
        if node is not None
        for each in ast.walk(node)
    )


def _mentions(value: Value, text: str) -> bool:
    if isinstance(value, Items):
        return any(_mentions(each, text) for each in value.values)
    return isinstance(value, ast.expr) and any(isinstance(each, ast.Name) and each.id == text for each in ast.walk(value))
