"""Removes parameters, definitions, methods and attributes that nothing uses."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator

from attn_nas.export.lean.program import Program, Uses
from attn_nas.export.lean.trees import bound_arguments, defaults, is_own, method_of, parameters

_CONSTRUCTED = ast.dump(ast.parse("super().__init__()").body[0])
_UNUSED_CALLS = ("nn.Identity", "nn.ModuleList")


def drop_parameters(program: Program) -> bool:
    """Remove parameters that are not used, and their arguments; True if there were any."""
    dropped = False
    uses = Uses(program.definitions.values())
    for definition in program.definitions.values():
        node = definition.node
        skip = int(isinstance(node, ast.ClassDef))
        function = method_of(node, "__init__") if isinstance(node, ast.ClassDef) else node
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


def remove_unused(program: Program) -> bool:
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
            yield each.attr, is_own(each, each.attr)
        elif isinstance(each, ast.Constant) and isinstance(each.value, str):
            yield each.value, False


def _remove_members(node: ast.ClassDef, attributes: Collection[str]) -> bool:
    kept = [each for each in node.body if not _is_unused(each, attributes)]
    constructor = method_of(node, "__init__")
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
