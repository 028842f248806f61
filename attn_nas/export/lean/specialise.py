"""Specialises collected source for the one network that it is written for, so that it reads as if written by hand.

Parameters that have one value are replaced by it, conditions on them are decided, checks of arguments and empty slots are
removed, base classes, helpers and methods of one use are put where they are used, and what is not used any more is removed.
Names of parameters and buffers, initial values of weights and the order of operations stay as they are.
"""

from __future__ import annotations

import ast
import builtins
import copy
import inspect
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from torch import nn

from attn_nas.export.lean.evaluation import Evaluation, KeptSlotError, Setting, defaults, parameters
from attn_nas.export.lean.layout import INDENT, LINE
from attn_nas.export.lean.values import Items, Known, Own, UnclearError, Value, concrete, is_literal, name, own, some_items

_CITED = re.compile(r"\((Eq\.|section|Fig\.)[^()]*\)\.$")
_SUPER = "super"
_CONSTRUCTED = ast.dump(ast.parse("super().__init__()").body[0])
_LONGEST_LITERAL = 40
_LONGEST_INLINED, _LONGEST_REPEATED = 90, 50
"""Longest expressions of functions that are put where they are called: once, and repeatedly."""
_FEWEST_LOOPED = 3
"""So many blocks in a row that get the same module are a loop."""
_UNUSED_CALLS = ("nn.Identity", "nn.ModuleList")


@dataclass(eq=False)
class Definition:
    """A class, function or constant: its name, source tree and the module where it is defined, if there is one.

    ``reference`` is the paper of a class, for its docstring.
    """

    name: str
    node: ast.stmt
    module: ModuleType | None
    in_constructors: bool = True
    reference: str = ""

    @property
    def kind(self) -> type | None:
        """The class itself."""
        found = vars(self.module).get(self.name) if self.module else None
        return found if isinstance(found, type) else None


@dataclass(eq=False)
class Program:
    """Definitions by name, each after those that it uses; ``root`` is the class of the ``network``.

    ``plain`` has expressions that take the place of functions. Parameters of the names ``kept`` stay, with the checks of
    arguments and the docstrings.
    """

    definitions: dict[str, Definition]
    root: str
    network: nn.Module
    plain: Mapping[str, str] = field(default_factory=dict)
    kept: frozenset[str] = frozenset()

    def find(self, definition: Definition) -> Callable[[str], Known | None]:
        """How the global names of a definition are found."""

        def found(text: str) -> Known | None:
            if text in self.definitions:
                other = self.definitions[text]
                if other.module is None or not hasattr(other.module, text):
                    return None
                return Known(getattr(other.module, text), name(text))
            for module in (definition.module, *(each.module for each in self.definitions.values())):
                if module is not None and text in vars(module):
                    return Known(vars(module)[text], name(text))
            if hasattr(builtins, text) and text != _SUPER:
                return Known(getattr(builtins, text), name(text))
            return None

        return found


def specialised(program: Program) -> list[ast.stmt]:
    """Return the definitions of a program, specialised.

    Raises:
        UnclearError: the class of the network, or one whose base class is merged into it, is not understood.

    """
    _merge_bases(program)
    uses = Uses()
    for definition in reversed([*program.definitions.values()]):
        _Specialiser(program, definition, uses).run()
        uses.add(definition)
    _remove_unused(program)
    _inline_functions(program)
    for definition in program.definitions.values():
        _tidy(definition.node, ordered=bool(program.kept))
    for _ in range(len(program.definitions) + 2):
        if not (_drop_parameters(program) | _remove_unused(program)):
            break
    root = program.definitions[program.root].node
    constructor = _method(root, "__init__") if isinstance(root, ast.ClassDef) else None
    if constructor is not None:
        constructor.body = _looped_assignments(constructor.body)
    for definition in program.definitions.values() if not program.kept else ():
        _shorten_texts(definition)
    return [definition.node for definition in program.definitions.values()]


def _looped_assignments(body: Sequence[ast.stmt]) -> list[ast.stmt]:
    """Statements, in which several items of a sequence in a row that get the same attribute are a loop."""
    runs: list[tuple[tuple[str, str, str] | None, int, list[ast.stmt]]] = []
    for statement in body:
        match statement:
            case ast.Assign([ast.Attribute(ast.Subscript(items, ast.Constant(value=int() as index)), title)], value):
                key: tuple[str, str, str] | None = (ast.dump(items), title, ast.dump(value))
            case _:
                key, index = None, 0
        if key and runs and runs[-1][0] == key and runs[-1][1] + len(runs[-1][2]) == index:
            runs[-1][2].append(statement)
        else:
            runs.append((key, index, [statement]))
    found: list[ast.stmt] = []
    for key, first, statements in runs:
        match statements[0]:
            case ast.Assign([ast.Attribute(ast.Subscript(items), title)], value) if key and len(statements) >= _FEWEST_LOOPED:
                part = ast.Slice(ast.Constant(first) if first else None, ast.Constant(first + len(statements)))
                target = ast.Attribute(name("block"), title, ast.Store())
                inside: list[ast.stmt] = [ast.Assign([target], value)]
                found.append(ast.For(ast.Name("block", ast.Store()), some_items(items, part), inside, []))
            case _:
                found += statements
    return found


def _shorten_texts(definition: Definition) -> None:
    """Keep the first paragraph of docstrings: others describe parameters, and forms that this network does not have."""
    for each in ast.walk(definition.node):
        if isinstance(each, ast.ClassDef | ast.FunctionDef):
            for text in _text(each.body):
                assert isinstance(text, ast.Expr)
                written = inspect.cleandoc(ast.literal_eval(text.value))
                if definition.module is not None:
                    written = written.partition("\n\n")[0]
                    if isinstance(each, ast.ClassDef) and definition.reference and definition.reference not in written:
                        written = _referring(written, definition.reference)
                text.value = ast.Constant(written + "\n" * ("\n" in written))


def _referring(text: str, reference: str) -> str:
    """A sentence with a reference at its end, or in a paragraph of its own if the line would be too long."""
    in_brackets = _CITED.search(text)
    together = f"{text[:-2]}, {reference})." if in_brackets else f"{text.removesuffix('.')} ({reference})."
    fits = INDENT + 2 * len('"""') + len(together) <= LINE and text.endswith(".")
    return together if fits else f"{text}\n\nSee {reference}."


# Base classes


def _merge_bases(program: Program) -> None:
    """Give classes the methods of their bases, where a base is used by one class alone; constructors are merged later."""
    uses: dict[str, int] = {}
    for definition in program.definitions.values():
        for each in ast.walk(definition.node):
            if isinstance(each, ast.Name) and each.id in program.definitions and each.id != definition.name:
                uses[each.id] = uses.get(each.id, 0) + 1
    for definition in program.definitions.values():
        node = definition.node
        while isinstance(node, ast.ClassDef) and len(node.bases) == 1 and isinstance(node.bases[0], ast.Name):
            base = program.definitions.get(node.bases[0].id)
            if base is None or uses.get(base.name, 0) != 1 or not isinstance(base.node, ast.ClassDef):
                break
            _merge(node, base.node)
            definition.node.bases = base.node.bases  # type: ignore[attr-defined]
            base.node = ast.Pass()
    program.definitions = {key: each for key, each in program.definitions.items() if not isinstance(each.node, ast.Pass)}


def _merge(node: ast.ClassDef, base: ast.ClassDef) -> None:
    own_names = {each.name for each in node.body if isinstance(each, ast.FunctionDef)}
    constructors = [*getattr(node, "constructors", [_method(node, "__init__")])]
    node.constructors = [*constructors, *getattr(base, "constructors", [_method(base, "__init__")])]  # type: ignore[attr-defined]
    if "__init__" not in own_names:
        first = _method(base, "__init__")
        node.body += [first] if first else []
    node.body += [
        each
        for each in base.body
        if not (isinstance(each, ast.Expr) or (isinstance(each, ast.FunctionDef) and each.name in {*own_names, "__init__"}))
    ]


def _method(node: ast.ClassDef, title: str) -> ast.FunctionDef | None:
    return next((each for each in node.body if isinstance(each, ast.FunctionDef) and each.name == title), None)


# Evaluation


class _Specialiser:
    """Specialises one definition, after all that use it."""

    def __init__(self, program: Program, definition: Definition, uses: Uses) -> None:
        self.program = program
        self.uses = uses
        self.definition = definition
        self.find = program.find(definition)

    def run(self) -> None:
        """Replace the source tree of the definition; what is not understood stays as it is."""
        node = self.definition.node
        try:
            if isinstance(node, ast.ClassDef):
                self._class(node)
            elif isinstance(node, ast.FunctionDef):
                self._function(node)
        except (UnclearError, RecursionError):
            self.definition.node = _restored(node)

    def _function(self, node: ast.FunctionDef) -> None:
        plain = self.program.plain.get(node.name)
        if plain:
            node.body = [*node.body[:1], ast.Return(ast.parse(plain, mode="eval").body)]
            return
        calls = self.uses.of(node.name)
        self.definition.in_constructors = bool(calls) and all(inside for _, inside in calls)
        if self.program.kept and any(isinstance(each, ast.Raise) for each in ast.walk(node)):
            return
        known = self._known(node, [call for call, _ in calls], skip=0)
        statements = []
        for is_plain in (True, False):
            setting = Setting(
                self.find, constructor=self.definition.in_constructors, checks=bool(self.program.kept), plain=is_plain
            )
            evaluation = Evaluation(setting)
            evaluation.function(node, known)
            statements = evaluation.out
            if not is_plain or _is_straight(statements):
                break
        node.body = [*_text(node.body), *statements]

    def _known(self, node: ast.FunctionDef, calls: Sequence[ast.Call], skip: int) -> dict[str, Value]:
        """The parameters that have the same value in all calls."""
        if node.args.vararg or node.args.kwarg or self.uses.escapes(self.definition.name):
            return {}
        bound = [bound_arguments(node, call, skip) for call in calls]
        if not bound or any(each is None for each in bound):
            return {}
        found: dict[str, Value] = {}
        for parameter in parameters(node)[skip:]:
            values = {ast.dump(each[parameter.arg]): each[parameter.arg] for each in bound if each and parameter.arg in each}
            if len(values) == 1 and all(each and parameter.arg in each for each in bound):
                value = self._constant(*values.values())
                if value is not None:
                    found[parameter.arg] = value
        return found

    def _constant(self, node: ast.expr) -> Value | None:
        """The value of an argument, if it is the same wherever it is evaluated."""
        try:
            value = Evaluation(Setting(self.find)).value(copy.deepcopy(node))
        except UnclearError:
            return None
        if isinstance(value, Known) and (is_literal(value.value) or isinstance(value.value, type) or value.source is not None):
            return value
        if isinstance(value, Items) and (found := concrete(value)) and is_literal(found[0]):
            return Known(found[0])
        return None

    def _class(self, node: ast.ClassDef) -> None:
        is_root = node.name == self.program.root
        kinds = [each for each in (self.definition.kind,) if each]
        modules = [self.program.network] if is_root else [m for m in self.program.network.modules() if type(m) in kinds]
        constructors = [each for each in getattr(node, "constructors", [_method(node, "__init__")]) if each]
        known: dict[str, Value] = {}
        first = _method(node, "__init__")
        if first is not None and not is_root:
            calls = [call for call, _ in self.uses.of(node.name)]
            known = self._known(first, calls, skip=1)
        parents = [each for each in constructors if each is not first]
        body: list[ast.stmt] | None = None
        assigned: dict[str, list[Value]] = {}
        if first is not None:
            evaluation = Evaluation(Setting(self.find, constructor=True, checks=bool(self.program.kept), is_root=is_root))
            evaluation.function(first, {"self": Own(), **known}, parents=parents)
            body, assigned = evaluation.out, evaluation.assigned
        attributes = self._attributes(node, assigned)
        empty = _empty_slots(body or [], modules)
        for _ in range(len(empty) + 1):
            try:
                methods = self._methods(node, modules, attributes, empty, is_root)
                break
            except KeptSlotError as kept:
                empty -= {kept.args[0]}
        if first is not None and body is not None:
            first.body = [*_text(first.body), *(each for each in body if not _assigns(each, empty))]
            first.args = copy.deepcopy(first.args)
        node.body = [
            each if not isinstance(each, ast.FunctionDef) or each.name == "__init__" else methods[each.name]
            for each in node.body
            if not isinstance(each, ast.FunctionDef) or each.name == "__init__" or each.name in methods
        ]

    def _attributes(self, node: ast.ClassDef, assigned: Mapping[str, Sequence[Value]]) -> dict[str, Known]:
        """Attributes that have one value, which is known."""
        elsewhere = {
            target.attr
            for each in node.body
            if isinstance(each, ast.FunctionDef) and each.name != "__init__"
            for target in ast.walk(each)
            if isinstance(target, ast.Attribute) and isinstance(target.ctx, ast.Store)
        }
        found: dict[str, Known] = {}
        for attribute, values in assigned.items():
            value = concrete(values[0]) if len(values) == 1 and not isinstance(values[0], ast.expr | Own) else None
            if value and attribute not in elsewhere and is_literal(value[0]):
                is_short = not isinstance(value[0], list | dict) and len(repr(value[0])) <= _LONGEST_LITERAL
                if is_short or (isinstance(value[0], dict) and node.name == self.program.root):
                    found[attribute] = Known(value[0], None if is_short else own(attribute))
        return found

    def _methods(
        self,
        node: ast.ClassDef,
        modules: Sequence[nn.Module],
        attributes: dict[str, Known],
        empty: frozenset[str],
        is_root: bool,
    ) -> dict[str, ast.FunctionDef]:
        """The methods that remain, specialised."""
        methods = {each.name: each for each in node.body if isinstance(each, ast.FunctionDef) and each.name != "__init__"}
        inlined = frozenset(title for title in methods if _is_called_once(methods, title))
        found: dict[str, ast.FunctionDef] = {}
        for title, method in methods.items():
            if title in inlined:
                continue
            found[title] = self._method(method, methods, modules, attributes, empty, inlined, is_root)
        while missing := [
            title for title in inlined if title not in found and any(_mentions_own(m, title) for m in found.values())
        ]:
            for title in missing:
                found[title] = self._method(methods[title], methods, modules, attributes, empty, inlined, is_root)
        return {title: found[title] for title in methods if title in found}

    def _method(
        self,
        method: ast.FunctionDef,
        methods: Mapping[str, ast.FunctionDef],
        modules: Sequence[nn.Module],
        attributes: dict[str, Known],
        empty: frozenset[str],
        inlined: frozenset[str],
        is_root: bool,
    ) -> ast.FunctionDef:
        if any(isinstance(each, ast.Name) and each.id in ("property", "classmethod") for each in method.decorator_list):
            return method
        is_static = any(isinstance(each, ast.Name) and each.id == "staticmethod" for each in method.decorator_list)

        def evaluated(instance: nn.Module | None, inlined: frozenset[str], sizes: bool) -> list[ast.stmt]:
            setting = Setting(
                self.find,
                methods,
                attributes=attributes,
                empty=empty,
                instance=instance,
                sizes=sizes,
                inlined=inlined,
                is_root=is_root,
            )
            evaluation = Evaluation(setting)
            evaluation.function(method, {} if is_static else {"self": Own()})
            return evaluation.out

        for chosen in (inlined, frozenset[str]()):
            for instances, sizes in ((modules, True), (modules, False), ([None], False)):
                try:
                    bodies = {_dumped(each): each for each in (evaluated(module, chosen, sizes) for module in instances)}
                except UnclearError:
                    continue
                if len(bodies) == 1:
                    made = copy.deepcopy(method)
                    made.body = [*_text(method.body), *next(iter(bodies.values()))]
                    return made
        raise UnclearError(method.name)


def _restored(node: ast.stmt) -> ast.stmt:
    if isinstance(node, ast.ClassDef) and hasattr(node, "constructors"):
        raise UnclearError(f"{node.name} cannot be specialised")
    return node


def _dumped(statements: Sequence[ast.stmt]) -> str:
    return "\n".join(map(ast.dump, statements))


def _is_straight(statements: Sequence[ast.stmt]) -> bool:
    """True for a single return without a condition."""
    return (
        len(statements) == 1
        and isinstance(statements[0], ast.Return)
        and not any(isinstance(each, ast.IfExp | ast.BoolOp) for each in ast.walk(statements[0]))
    )


def _text(body: Sequence[ast.stmt]) -> list[ast.stmt]:
    """The docstring of a body."""
    match body:
        case [ast.Expr(value=ast.Constant(value=str())), *_]:
            return [body[0]]
        case _:
            return []


def _is_called_once(methods: Mapping[str, ast.FunctionDef], title: str) -> bool:
    if title == "forward" or title.startswith("__") or methods[title].decorator_list:
        return False
    uses = [each for other in methods.values() for each in ast.walk(other) if _is_own(each, title)]
    calls = [
        each
        for other in methods.values()
        for each in ast.walk(other)
        if isinstance(each, ast.Call) and _is_own(each.func, title)
    ]
    return len(uses) == len(calls) == 1 and not any(_is_own(each, title) for each in ast.walk(methods[title]))


def _is_own(node: ast.AST, attribute: str) -> bool:
    return (
        isinstance(node, ast.Attribute)
        and node.attr == attribute
        and isinstance(node.value, ast.Name)
        and node.value.id == "self"
    )


def _mentions_own(node: ast.AST, attribute: str) -> bool:
    return any(_is_own(each, attribute) for each in ast.walk(node))


def _assigns(statement: ast.stmt, attributes: frozenset[str]) -> bool:
    """True if the statement assigns one of the attributes of ``self``."""
    targets = statement.targets if isinstance(statement, ast.Assign) else []
    return len(targets) == 1 and any(_is_own(targets[0], each) for each in attributes)


def _empty_slots(body: Sequence[ast.stmt], modules: Sequence[nn.Module]) -> frozenset[str]:
    """Attributes that the constructor makes an ``nn.Identity``, and that are one in all modules."""
    found = {
        statement.targets[0].attr
        for statement in body
        if isinstance(statement, ast.Assign)
        and isinstance(statement.targets[0], ast.Attribute)
        and ast.unparse(statement.value) == "nn.Identity()"
    }
    return frozenset(each for each in found if all(type(module._modules.get(each)) is nn.Identity for module in modules))


# Calls


class Uses:
    """The calls of definitions by name, and which definitions are used otherwise than called or in annotations."""

    def __init__(self, definitions: Iterable[Definition] = ()) -> None:
        self.calls: dict[str, list[tuple[ast.Call, bool]]] = {}
        self._others: dict[str, int] = {}
        for definition in definitions:
            self.add(definition)

    def add(self, definition: Definition) -> None:
        """Add what a definition uses; each call is noted with whether it is made in a constructor."""
        node = definition.node
        for part in node.body if isinstance(node, ast.ClassDef) else [node]:
            inside = definition.in_constructors and not isinstance(node, ast.ClassDef)
            inside |= isinstance(part, ast.FunctionDef) and isinstance(node, ast.ClassDef) and _constructs(part)
            self._add(part, inside, definition.name)
        for base in node.bases if isinstance(node, ast.ClassDef) else ():
            self._add(base, False, definition.name)

    def _add(self, node: ast.AST, inside: bool, user: str) -> None:
        for each in ast.walk(node):
            match each:
                case ast.Call(func=ast.Name(id=title)) if title != user:
                    self.calls.setdefault(title, []).append((each, inside))
                    self._others[title] = self._others.get(title, 0) - 1
                case ast.Name(id=title) if title != user:
                    self._others[title] = self._others.get(title, 0) + 1
            for annotation in (getattr(each, "annotation", None), getattr(each, "returns", None)):
                for inner in ast.walk(annotation) if isinstance(annotation, ast.AST) else ():
                    if isinstance(inner, ast.Name):
                        self._others[inner.id] = self._others.get(inner.id, 0) - 1

    def of(self, title: str) -> list[tuple[ast.Call, bool]]:
        """The calls of a definition, each with whether it is made in a constructor."""
        return self.calls.get(title, [])

    def escapes(self, title: str) -> bool:
        """True if a definition is used otherwise than called, or as an annotation."""
        return self._others.get(title, 0) > 0


def _constructs(function: ast.FunctionDef) -> bool:
    return function.name == "__init__" or any(ast.unparse(each) == "staticmethod" for each in function.decorator_list)


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


def _drop_parameters(program: Program) -> bool:
    """Remove parameters that are not used, and their arguments; True if there were any."""
    dropped = False
    uses = Uses(program.definitions.values())
    for definition in program.definitions.values():
        node = definition.node
        skip = int(isinstance(node, ast.ClassDef))
        function = _method(node, "__init__") if isinstance(node, ast.ClassDef) else node
        if not isinstance(function, ast.FunctionDef) or definition.name == program.root or definition.module is None:
            continue
        if function.args.vararg or function.args.kwarg or uses.escapes(definition.name):
            continue
        calls = [call for call, _ in uses.of(definition.name)]
        bound = [bound_arguments(function, call, skip) for call in calls]
        if any(each is None for each in bound):
            continue
        unused = {each.arg for each in parameters(function)[skip:] if not _is_read(function, each.arg)} - program.kept
        before = defaults(function)
        if unused:
            dropped = True
            function.args = _without(function.args, unused)
        plain = [each.arg for each in (*function.args.posonlyargs, *function.args.args)][skip:]
        for call, arguments in zip(calls, bound, strict=True):
            assert arguments is not None
            kept = {key: value for key, value in arguments.items() if key not in unused}
            stated = [key for key in plain if key in kept]
            named = {each.arg for each in call.keywords}
            while stated and stated[-1] in before and ast.dump(kept[stated[-1]]) == ast.dump(before[stated[-1]]):
                stated.pop()
            positional = [key for key in stated if key not in named]
            if positional != plain[: len(positional)]:
                positional = []
            by_name = [each.arg for each in parameters(function)[skip:] if each.arg in kept and each.arg not in positional]
            call.args = [kept[key] for key in positional]
            call.keywords = [
                ast.keyword(key, kept[key])
                for key in by_name
                if key not in before or ast.dump(kept[key]) != ast.dump(before[key])
            ]
    return dropped


def _is_read(function: ast.FunctionDef, parameter: str) -> bool:
    """True if the value that a parameter is given may be read."""
    for statement in function.body:
        uses = [each for each in ast.walk(statement) if isinstance(each, ast.Name) and each.id == parameter]
        if uses:
            overwrites = isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name)
            return not (overwrites and len(uses) == 1 and isinstance(uses[0].ctx, ast.Store))
    return False


def _without(given: ast.arguments, unused: set[str]) -> ast.arguments:
    plain = [*given.posonlyargs, *given.args]
    values: list[ast.expr | None] = [*[None] * (len(plain) - len(given.defaults)), *given.defaults]
    kept = [(each, value) for each, value in zip(plain, values, strict=True) if each.arg not in unused]
    named = [(each, value) for each, value in zip(given.kwonlyargs, given.kw_defaults, strict=True) if each.arg not in unused]
    return ast.arguments(
        posonlyargs=[],
        args=[each for each, _ in kept],
        vararg=None,
        kwonlyargs=[each for each, _ in named],
        kw_defaults=[value for _, value in named],
        kwarg=None,
        defaults=[value for _, value in kept if value is not None],
    )


# Functions


def _inline_functions(program: Program) -> None:
    """Put short functions where they are called, and remove calls of functions that do nothing."""
    uses = Uses(program.definitions.values())
    for definition in [*program.definitions.values()]:
        node = definition.node
        if not isinstance(node, ast.FunctionDef) or definition.module is None:
            continue
        _tidy(node, ordered=bool(program.kept))
        body, number = node.body[len(_text(node.body)) :], len(uses.of(node.name))
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


def _mentions(node: ast.AST, title: str) -> bool:
    return any(isinstance(each, ast.Name) and each.id == title for each in ast.walk(node))


def _as_expression(body: Sequence[ast.stmt]) -> ast.expr | None:
    """The value of a function that only returns one, perhaps in terms of one variable; None for others."""
    match body:
        case [ast.Return(value=ast.expr() as value)]:
            return value
        case [ast.Assign(targets=[ast.Name(id=variable)], value=first), ast.Return(value=ast.expr() as value)]:
            uses = [each for each in ast.walk(value) if isinstance(each, ast.Name) and each.id == variable]
            return _Replaced({variable: first}).visit(copy.deepcopy(value)) if len(uses) == 1 else None
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
            if is_all and isinstance(statement.target, ast.Name) and _is_simple(call.args[0]):
                replaced = _Replaced({statement.target.id: call.args[0]})
                return [replaced.visit(each) for each in statement.body]
            return node
        bound = None if given.vararg or given.kwarg else bound_arguments(self._function, call, 0)
        if bound is None or not all(map(_is_simple, bound.values())):
            return node
        replaced_statement: ast.AST = _Replaced(bound).visit(statement)
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
            if loads.count(key) > 1 and not _is_simple(value):
                return node
        return _Replaced(bound).visit(copy.deepcopy(self._expression))


class _Replaced(ast.NodeTransformer):
    """Replaces variables by expressions."""

    def __init__(self, values: Mapping[str, ast.expr]) -> None:
        self._values = values

    def visit_Name(self, node: ast.Name) -> ast.expr:
        is_read = isinstance(node.ctx, ast.Load) and node.id in self._values
        return copy.deepcopy(self._values[node.id]) if is_read else node


def _is_simple(node: ast.expr) -> bool:
    match node:
        case ast.Attribute():
            return _is_simple(node.value)
        case ast.UnaryOp():
            return _is_simple(node.operand)
        case _:
            return isinstance(node, ast.Name | ast.Constant)


# Tidying


def _tidy(node: ast.stmt, *, ordered: bool) -> None:
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
                function.body[number + 1 + position] = _Replaced({target.id: statement.value}).visit(other)
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
    if any(isinstance(each, ast.comprehension) for each in ast.walk(rest[0])) and not _is_simple(value):
        loops = [each for each in ast.walk(rest[0]) if isinstance(each, ast.GeneratorExp | ast.ListComp)]
        if any(isinstance(each, ast.Name) and each.id == variable for loop in loops for each in ast.walk(loop)):
            return False
    if after is not None and not isinstance(rest[after].targets[0], ast.Name):  # type: ignore[attr-defined]
        return False
    function.body[number + 1] = _Replaced({variable: value}).visit(rest[0])
    function.body.pop(number)
    return True


# What is not used


def _remove_unused(program: Program) -> bool:
    """Remove definitions, methods and attributes that nothing uses; True if there were any."""
    changed = False
    names: set[str] = set()
    elsewhere: set[str] = set()
    for definition in program.definitions.values():
        elsewhere |= {each for each, is_own in _attributes_read(definition.node) if not is_own}
    for definition in reversed([*program.definitions.values()]):
        if definition.name not in names and definition.module is not None and definition.name != program.root:
            del program.definitions[definition.name]
            changed = True
            continue
        names |= {each.id for each in ast.walk(definition.node) if isinstance(each, ast.Name)} - {definition.name}
        if isinstance(definition.node, ast.ClassDef):
            own_ones = {each for each, is_own in _attributes_read(definition.node) if is_own}
            changed |= _remove_members(definition.node, elsewhere | own_ones)
    return changed


def _attributes_read(node: ast.stmt) -> Iterator[tuple[str, bool]]:
    """The attributes that are read, also by texts such as those of ``getattr``, each with whether it is one of ``self``."""
    for each in ast.walk(node):
        if isinstance(each, ast.Attribute) and isinstance(each.ctx, ast.Load):
            yield each.attr, _is_own(each, each.attr)
        elif isinstance(each, ast.Constant) and isinstance(each.value, str):
            yield each.value, False


def _remove_members(node: ast.ClassDef, attributes: Collection[str]) -> bool:
    kept = [each for each in node.body if not _is_unused(each, attributes)]
    constructor = _method(node, "__init__")
    changed = len(kept) != len(node.body)
    node.body = kept
    if constructor is not None:
        left = [each for each in constructor.body if not _is_idle(each, attributes)]
        changed |= len(left) != len(constructor.body)
        constructor.body = left
        takes_none = len(parameters(constructor)) == 1
        if takes_none and len(node.body) > 1 and [ast.dump(each) for each in left] == [_CONSTRUCTED]:
            node.body.remove(constructor)
            changed = True
    return changed


def _is_unused(member: ast.stmt, attributes: Collection[str]) -> bool:
    if isinstance(member, ast.FunctionDef):
        return not member.name.startswith("__") and member.name != "forward" and member.name not in attributes
    return False


def _is_idle(statement: ast.stmt, attributes: Collection[str]) -> bool:
    """True if a statement assigns an attribute that nothing reads, and that has no module or parameter."""
    if not isinstance(statement, ast.Assign | ast.AnnAssign) or statement.value is None:
        return False
    target = statement.targets[0] if isinstance(statement, ast.Assign) else statement.target
    is_own = isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name) and target.value.id == "self"
    if not is_own or not isinstance(target, ast.Attribute) or target.attr in attributes:
        return False
    calls = [ast.unparse(each.func) for each in ast.walk(statement.value) if isinstance(each, ast.Call)]
    return all(each in (*_UNUSED_CALLS, "range", "max", "min", "int", "len") for each in calls) and not any(
        isinstance(each, ast.Name) and each.id == "nn" and not calls for each in ast.walk(statement.value)
    )
