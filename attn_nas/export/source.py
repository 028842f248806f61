"""Standalone source of one network: copies of the classes it uses, the network's class, and ``build_model``."""

from __future__ import annotations

import ast
import inspect
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from types import ModuleType
from typing import Any

from torch import nn

from attn_nas.attention.catalog import get_mechanism
from attn_nas.attention.zoo import pooling
from attn_nas.errors import ExportError
from attn_nas.export.lean.evaluation import parts_of
from attn_nas.export.lean.layout import docstring as text_lines
from attn_nas.export.lean.layout import written
from attn_nas.export.lean.specialise import Definition, Program, specialised
from attn_nas.export.lean.values import UnclearError
from attn_nas.models.build import get_slot, model_without_weights, site_call, trunk_call, weightless
from attn_nas.space.genotype import Genotype
from attn_nas.space.trunks import Trunk

_PACKAGE = "attn_nas"
_CLASS = "AttentionNetwork"
_LATE = ("channels", "stride", "identity_init")
"""Parameters of mechanisms whose values are known when they are inserted."""


def model_source(genotype: Genotype, num_classes: int, in_channels: int, docstring: str) -> str:
    """Return a Python module that imports only torch and the standard library, and defines the network and ``build_model``.

    It is specialised for the one network: see `attn_nas.export.lean.specialise`.
    """
    assert isinstance(genotype.trunk, Trunk)
    trunk, trunk_arguments = trunk_call(genotype.trunk)
    model = model_without_weights(genotype, num_classes, in_channels)
    paths = {id(part.module): ast.unparse(part.path) for part in parts_of(model)}
    collected = Collector()
    collected.add_call(trunk, trunk_arguments)
    forwarded = {"num_classes": Name("num_classes"), "in_channels": Name("in_channels")}
    lines = [_call("super().__init__", [], {**trunk_arguments, **forwarded})]
    papers: dict[str, str] = {}
    for site, placement in genotype.sites:
        if placement is not None:
            module, channels, arguments = site_call(placement, site)
            collected.add(module)
            number = get_mechanism(placement.mechanism).arxiv
            papers[module.__name__] = f"arXiv {number}" if number else ""
            slot = paths[id(get_slot(model, site.slot(placement.position)))]
            lines.append(f"{slot} = {_call(module.__name__, [channels], without_defaults(module, arguments))}")
    sizes = f"num_classes: int = {num_classes}, in_channels: int = {in_channels}"
    network = "\n".join(
        [
            f"class {_CLASS}({trunk.__name__}):",
            f'    """{genotype.trunk} {_attention(genotype)}: images ``(B, C, H, W)`` to logits ``(B, num_classes)``."""',
            "",
            f"    def __init__(self, {sizes}) -> None:",
            *(f"        {line}" for line in lines),
        ]
    )
    build = "\n".join(
        [
            f"def build_model({sizes}) -> {_CLASS}:",
            '    """Return the network with untrained weights."""',
            f"    return {_CLASS}(num_classes, in_channels)",
        ]
    )
    return collected.specialised(docstring, {_CLASS: network, "build_model": build}, _CLASS, model, papers)


def function_source(function: Callable[..., Any], docstring: str) -> str:
    """Return a Python module with ``function`` and everything of this package that it uses.

    It imports the packages that these import, and works where this package is not installed.
    """
    collected = Collector(has_network=False)
    collected.add(function)
    return collected.module(docstring)


def bare_source(trunk: Trunk, num_classes: int, in_channels: int) -> str:
    """Return the source of the trunk without attention, as `model_source`, but with all its slots."""
    module, arguments = trunk_call(trunk)
    collected = Collector()
    collected.add_call(module, arguments)
    sizes = {"num_classes": num_classes, "in_channels": in_channels}
    passed = ", ".join(f"{name}={literal(value)}" for name, value in {**arguments, **sizes}.items())
    return collected.module(f"{trunk}.", f"def build_model() -> nn.Module:\n    return {module.__name__}({passed})")


class Name(str):
    """A variable name in generated source, written without quotes."""

    __slots__ = ()


def _attention(genotype: Genotype) -> str:
    number = genotype.num_attended
    return f"with attention at {number} site{'s' * (number != 1)}" if number else "without attention"


def _call(function: str, positional: list[Any], keywords: dict[str, Any]) -> str:
    """Write the call of ``function``."""
    passed = [*map(literal, positional), *(f"{name}={literal(value)}" for name, value in keywords.items())]
    return f"{function}({', '.join(passed)})"


def literal(value: Any) -> str:
    """Write ``value`` as Python source."""
    if inspect.isclass(value):
        return value.__name__
    if isinstance(value, Name):
        return str(value)
    return json.dumps(value) if isinstance(value, str) else repr(value)


def without_defaults(module: type[nn.Module], arguments: dict[str, Any]) -> dict[str, Any]:
    """Return the ``arguments`` of ``module`` that differ from its defaults, and always the reduction."""
    parameters = inspect.signature(module).parameters
    return {name: value for name, value in arguments.items() if parameters[name].default != value or name == "reduction"}


class Collector:
    """Collects source of this package: classes and functions in the order of their dependencies, and their imports.

    ``has_network`` says that a network will be written after the collected source, which uses ``torch.nn``.
    """

    def __init__(self, *, has_network: bool = True) -> None:
        self.definitions: list[str] = []
        self._sources: dict[str, tuple[str, ModuleType]] = {}
        self._seen: set[str] = set()
        self._modules: dict[str, None] = {}
        self._names: dict[str, set[str]] = {"torch": {"nn"}} if has_network else {}

    def add_call(self, module: type[nn.Module], arguments: dict[str, Any]) -> None:
        """Add the source of ``module`` and of the classes among its ``arguments``."""
        for item in (module, *filter(inspect.isclass, arguments.values())):
            self.add(item)

    def add(self, item: Any) -> None:
        """Add the source of a class or function, after the source of everything it uses.

        Raises:
            ExportError: a module of this package is imported as a whole, which cannot be copied.

        """
        module = sys.modules[item.__module__]
        self._add(module, item.__name__, inspect.getsource(item))

    def _add(self, module: ModuleType, name: str, source: str) -> None:
        if f"{module.__name__}.{name}" in self._seen:
            return
        self._seen.add(f"{module.__name__}.{name}")
        for used in _names(source):
            if used != name and used in vars(module):
                self._need(module, used)
        self.definitions.append(source)
        self._sources[name] = source, module

    def _need(self, module: ModuleType, name: str) -> None:
        value, source = vars(module)[name], inspect.getsource(module)
        statement = _bindings(source).get(name)
        if isinstance(statement, ast.Import):
            alias = next(alias for alias in statement.names if (alias.asname or alias.name.partition(".")[0]) == name)
            if _is_ours(alias.name):
                raise ExportError(f"{module.__name__} imports {alias.name} whole: write from {alias.name} import ... instead")
            self._modules[f"import {alias.name}" + (f" as {alias.asname}" if alias.asname else "")] = None
        elif isinstance(statement, ast.ImportFrom) and _is_ours(str(statement.module)):
            if callable(value):
                self.add(value)
            else:
                self._need(sys.modules[str(statement.module)], name)
        elif isinstance(statement, ast.ImportFrom):
            alias = next(alias for alias in statement.names if name in (alias.asname, alias.name))
            self._names.setdefault(str(statement.module), set()).add(ast.unparse(alias))
        elif statement is not None:
            self._add(module, name, _assignment(source, name))

    def module(self, docstring: str, *rest: str) -> str:
        """Return the Python module: docstring, imports, the added definitions, then ``rest``."""
        body = "\n\n\n".join(part.strip("\n") for part in (*self.definitions, *rest))
        space = "\n\n\n" if body.startswith(("class ", "def ", "@")) else "\n\n"
        return f'"""{_quoted(docstring)}"""\n\n{self.imports()}{space}{body}\n'

    def specialised(
        self, docstring: str, rest: Mapping[str, str], root: str, network: nn.Module, papers: Mapping[str, str]
    ) -> str:
        """Return the Python module, specialised for ``network`` of the class ``root``, one of the definitions ``rest``.

        ``papers`` are references for the docstrings of classes. A trunk that the partial evaluation does not understand is
        copied with all that it has.
        """
        try:
            trees = specialised(Program(self._program(rest, papers), root, network, pooling.PLAIN))
        except UnclearError:
            return self.module(docstring, *rest.values())
        self.definitions = ["\n".join(written(tree)) for tree in trees]
        self._drop_imports(self.definitions)
        return self.module(docstring)

    def _program(self, rest: Mapping[str, str], papers: Mapping[str, str]) -> dict[str, Definition]:
        definitions = {
            name: Definition(name, _tree(source), module, reference=papers.get(name, ""))
            for name, (source, module) in self._sources.items()
        }
        return definitions | {name: Definition(name, _tree(source), None) for name, source in rest.items()}

    def _text(self, tree: ast.stmt) -> str:
        """Return the source of a definition: as it was collected, with its comments, unless it was changed."""
        for source, _ in self._sources.values():
            if ast.dump(_tree(source)) == ast.dump(tree):
                return source
        return "\n".join(written(tree))

    def _drop_imports(self, sources: Sequence[str]) -> None:
        """Forget imports that none of the ``sources`` uses."""
        used = {name for source in sources for name in _names(source)}
        self._modules = {line: None for line in self._modules if line.split()[-1] in used}
        kept = {module: {each for each in names if each.split()[-1] in used} for module, names in self._names.items()}
        self._names = {module: names for module, names in kept.items() if names}

    def add_mechanisms(self, calls: Sequence[tuple[type[nn.Module], int, dict[str, Any]]]) -> list[dict[str, Any]]:
        """Add mechanisms, specialised for ``calls`` (class, channels, arguments); returns the arguments that are left to pass.

        Channels, stride and ``identity_init`` may be others when the file is used; the checks of them stay.
        """
        own = Collector(has_network=False)
        lines = [f"class {_CLASS}(nn.Module):", f"    def __init__(self, {', '.join(_LATE)}):", "        super().__init__()"]
        for number, (module, _, arguments) in enumerate(calls):
            own.add(module)
            passed = {name: value for name, value in arguments.items() if name not in _LATE}
            late = {name: Name(name) for name in _LATE[1:] if name in inspect.signature(module).parameters}
            lines.append(f"        self.site_{number} = {_call(module.__name__, [Name(_LATE[0])], {**passed, **late})}")
        with weightless():
            made = nn.ModuleList(module(channels, **arguments) for module, channels, arguments in calls)
        definitions = own._program({_CLASS: "\n".join(lines)}, {})
        *trees, root = specialised(Program(definitions, _CLASS, made, pooling.PLAIN, frozenset(_LATE)))
        own.definitions = [own._text(tree) for tree in trees]
        own._drop_imports(own.definitions)
        self.definitions += own.definitions
        self._seen |= own._seen
        self._modules |= own._modules
        for imported, names in own._names.items():
            self._names.setdefault(imported, set()).update(names)
        values = [each.value for each in ast.walk(root) if isinstance(each, ast.Assign)]
        left = [{str(each.arg) for each in value.keywords} for value in values if isinstance(value, ast.Call)]
        return [
            {name: value for name, value in without_defaults(module, arguments).items() if name in names}
            for names, (module, _, arguments) in zip(left, calls, strict=True)
        ]

    def shorten_texts(self) -> None:
        """Keep the first paragraphs of docstrings alone: callers of the file have its own docstring."""
        self.definitions = [_with_short_texts(source) for source in self.definitions]

    def imports(self) -> str:
        """Return the import statements, standard library first."""
        lines = [
            *self._modules,
            *(f"from {module} import {', '.join(sorted(self._names[module], key=_isort))}" for module in self._names),
        ]
        standard = [line for line in lines if line.split()[1].partition(".")[0] in sys.stdlib_module_names]
        others = [line for line in lines if line not in standard]
        ordered = (sorted(group, key=lambda line: (line.startswith("from"), line.lower())) for group in (standard, others))
        return "\n\n".join("\n".join(group) for group in ordered if group)


def _with_short_texts(source: str) -> str:
    """Return the source of a definition with the first paragraph of each docstring; code and comments stay as they are."""
    lines = source.splitlines()
    texts = []
    for node in ast.walk(ast.parse(source)):
        match node:
            case (
                ast.ClassDef(body=[ast.Expr(value=ast.Constant(value=str())) as text, *_])
                | ast.FunctionDef(body=[ast.Expr(value=ast.Constant(value=str())) as text, *_])
            ):
                texts.append(text)
    for text in sorted(texts, key=lambda text: -text.lineno):
        paragraph = inspect.cleandoc(ast.literal_eval(text.value)).partition("\n\n")[0]
        lines[text.lineno - 1 : text.end_lineno] = text_lines(paragraph + "\n" * ("\n" in paragraph), text.col_offset)
    return "\n".join(lines)


def _tree(source: str) -> ast.stmt:
    return ast.parse(source).body[0]


def _quoted(text: str) -> str:
    """Escape ``text`` for a docstring, so that it cannot end the docstring: parts of it are read from a run."""
    escaped = text.replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
    return escaped[:-1] + '\\"' if escaped.endswith('"') else escaped


def _is_ours(module: str) -> bool:
    return module.partition(".")[0] == _PACKAGE


def _isort(name: str) -> tuple[bool, bool, str]:
    return (not name.isupper(), not name[:1].isupper(), name)


@lru_cache(maxsize=1024)
def _names(source: str) -> tuple[str, ...]:
    """Return the names that ``source`` uses, sorted."""
    return tuple(sorted({node.id for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name)}))


@lru_cache(maxsize=256)
def _bindings(source: str) -> Mapping[str, ast.stmt]:
    """Return the top-level statements of a module that bind names, by name; the first of each name."""
    found: dict[str, ast.stmt] = {}
    for statement in ast.parse(source).body:
        match statement:
            case ast.Import() | ast.ImportFrom():
                names = [alias.asname or alias.name.partition(".")[0] for alias in statement.names]
            case ast.ClassDef() | ast.FunctionDef():
                names = [statement.name]
            case ast.Assign():
                names = [target.id for target in statement.targets if isinstance(target, ast.Name)]
            case _:
                names = []
        for name in names:
            found.setdefault(name, statement)
    return found


@lru_cache(maxsize=1024)
def _assignment(source: str, name: str) -> str:
    """Return the source of the statement that binds ``name``."""
    return ast.get_source_segment(source, _bindings(source)[name]) or ""
