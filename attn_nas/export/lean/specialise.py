"""Specialises collected source for the one network that it is written for, so that it reads as if written by hand.

Parameters that have one value are replaced by it, conditions on them are decided, checks of arguments and empty slots are
removed, base classes, helpers and methods of one use are put where they are used, and what is not used any more is removed.
Names of parameters and buffers, initial values of weights and the order of operations stay as they are.
"""

from __future__ import annotations

import ast
import copy
import inspect
import re
from collections.abc import Mapping, Sequence

from torch import nn

from attn_nas.export.lean.evaluation import Evaluation, KeptSlotError, Setting
from attn_nas.export.lean.functions import inline_functions
from attn_nas.export.lean.layout import INDENT, LINE
from attn_nas.export.lean.program import Definition, Program, Uses
from attn_nas.export.lean.tidying import tidy
from attn_nas.export.lean.trees import bound_arguments, is_own, mentions_own, method_of, parameters, text_of
from attn_nas.export.lean.unused import drop_parameters, remove_unused
from attn_nas.export.lean.values import (
    Items,
    Known,
    Own,
    UnclearError,
    Value,
    concrete,
    is_literal,
    name,
    own,
    some_items,
)

_CITED = re.compile(r"\((Eq\.|section|Fig\.)[^()]*\)\.$")
_LONGEST_LITERAL = 40
_FEWEST_LOOPED = 3
"""So many blocks in a row that get the same module are a loop."""


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
    remove_unused(program)
    inline_functions(program)
    for definition in program.definitions.values():
        tidy(definition.node, ordered=bool(program.kept))
    for _ in range(len(program.definitions) + 2):
        if not (drop_parameters(program) | remove_unused(program)):
            break
    root = program.definitions[program.root].node
    constructor = method_of(root, "__init__") if isinstance(root, ast.ClassDef) else None
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
            for text in text_of(each.body):
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
    constructors = [*getattr(node, "constructors", [method_of(node, "__init__")])]
    node.constructors = [*constructors, *getattr(base, "constructors", [method_of(base, "__init__")])]  # type: ignore[attr-defined]
    if "__init__" not in own_names:
        first = method_of(base, "__init__")
        node.body += [first] if first else []
    node.body += [
        each
        for each in base.body
        if not (isinstance(each, ast.Expr) or (isinstance(each, ast.FunctionDef) and each.name in {*own_names, "__init__"}))
    ]


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
        node.body = [*text_of(node.body), *statements]

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
        constructors = [each for each in getattr(node, "constructors", [method_of(node, "__init__")]) if each]
        known: dict[str, Value] = {}
        first = method_of(node, "__init__")
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
            first.body = [*text_of(first.body), *(each for each in body if not _assigns(each, empty))]
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
            title for title in inlined if title not in found and any(mentions_own(m, title) for m in found.values())
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
                    made.body = [*text_of(method.body), *next(iter(bodies.values()))]
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


def _is_called_once(methods: Mapping[str, ast.FunctionDef], title: str) -> bool:
    if title == "forward" or title.startswith("__") or methods[title].decorator_list:
        return False
    uses = [each for other in methods.values() for each in ast.walk(other) if is_own(each, title)]
    calls = [
        each
        for other in methods.values()
        for each in ast.walk(other)
        if isinstance(each, ast.Call) and is_own(each.func, title)
    ]
    return len(uses) == len(calls) == 1 and not any(is_own(each, title) for each in ast.walk(methods[title]))


def _assigns(statement: ast.stmt, attributes: frozenset[str]) -> bool:
    """True if the statement assigns one of the attributes of ``self``."""
    targets = statement.targets if isinstance(statement, ast.Assign) else []
    return len(targets) == 1 and any(is_own(targets[0], each) for each in attributes)


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
