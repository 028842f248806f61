"""The definitions of a file, and how they use each other."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import ModuleType

from torch import nn

from attn_nas.export.lean.values import (
    Known,
    name,
)

_SUPER = "super"


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
