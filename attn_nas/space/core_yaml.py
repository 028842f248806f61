"""YAML 1.2 by its core schema, on PyYAML, which follows YAML 1.1: the same text is the same value in every editor and tool.

Numbers are decimal (``3``, ``-2``, ``0.05``, ``5e-2``), octal (``0o17``) or hexadecimal (``0x1F``); the only truth values are
``true`` and ``false``. So ``yes``, ``010``, ``1:30``, ``1_000`` and ``2024-01-01`` are text. Merge keys (``<<``) are read as in
YAML 1.1. Source: https://yaml.org/spec/1.2.2/#103-core-schema
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml

INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]*)|0o[0-7]+|0x[0-9a-fA-F]+")
"""An integer; unlike in the core schema it has no leading zeros, which YAML 1.1 reads as octal."""
FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
"""A finite number with a decimal point or an exponent."""
MOST_DIGITS = 300
"""Characters of the longest number that is read as a number."""
MOST_VALUES = 100_000
"""The largest number of values in a document, with the values of an anchor counted wherever an alias repeats them."""

_TAG = "tag:yaml.org,2002:"
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_NUMBERS = ((f"{_TAG}int", INTEGER, "-+0123456789"), (f"{_TAG}float", FLOAT, "-+.0123456789"))
_OTHERS = (
    (f"{_TAG}bool", re.compile("true|True|TRUE|false|False|FALSE"), "tTfF"),
    (f"{_TAG}null", re.compile("null|Null|NULL|~|"), ["n", "N", "~", ""]),
    (f"{_TAG}float", _NOT_FINITE, "-+."),
    (f"{_TAG}merge", re.compile("<<"), "<"),
)


def _matching(pattern: re.Pattern[str]) -> re.Pattern[str]:
    """The pattern of whole scalars; PyYAML matches at their beginning."""
    return re.compile(f"(?:{pattern.pattern})\\Z")


class AddedInteger(int):
    """An integer that is written with a plus sign: an added cost where a limit is expected, elsewhere the same number."""


class AddedFloat(float):
    """The same for a number with a decimal point or an exponent."""


class _Loader(yaml.SafeLoader):
    def construct_integer(self, node: yaml.ScalarNode) -> int:
        found: int = self.construct_yaml_int(node)
        return AddedInteger(found) if node.value.startswith("+") else found

    def construct_float(self, node: yaml.ScalarNode) -> float:
        found: float = self.construct_yaml_float(node)
        return AddedFloat(found) if node.value.startswith("+") else found


class _Dumper(yaml.SafeDumper):
    pass


_Loader.yaml_implicit_resolvers = {}  # without those of YAML 1.1
for _tag, _pattern, _first in (*_NUMBERS, *_OTHERS):
    _Loader.add_implicit_resolver(_tag, _matching(_pattern), list(_first))
_Loader.add_constructor(f"{_TAG}int", _Loader.construct_integer)
_Loader.add_constructor(f"{_TAG}float", _Loader.construct_float)
for _tag, _pattern, _first in _NUMBERS:
    _Dumper.add_implicit_resolver(_tag, _matching(_pattern), list(_first))


def read(text: str) -> tuple[yaml.Node | None, Any]:
    """The nodes of the only document in ``text``, with their places, and its value; None for a document without content.

    Raises:
        yaml.YAMLError: ``text`` is not YAML, or has several documents; a tag (``!!int``) contradicts its value, a number has
            more than `MOST_DIGITS` digits, an anchor contains itself, or there are more than `MOST_VALUES` values.
        RecursionError: the values are nested too deeply.

    """
    loader = _Loader(text)
    try:
        root = loader.get_single_node()
        if root is None:
            return None, None
        _check(loader, root, {})
        return root, loader.construct_document(root)
    finally:
        loader.dispose()


def write(document: Mapping[str, Any]) -> str:
    """The YAML of ``document``; text that either version of YAML would read as another value is in quotes."""
    return yaml.dump(dict(document), Dumper=_Dumper, sort_keys=False)


def is_quoted(node: yaml.Node) -> bool:
    """Whether a value is written in quotes, or as a block of text."""
    return isinstance(node, yaml.ScalarNode) and node.style is not None


def _check(loader: _Loader, node: yaml.Node, sizes: dict[int, int]) -> int:
    """The number of values in ``node``; ``sizes`` has those of the nodes counted so far, 0 for a node that contains this one.

    Raises:
        yaml.MarkedYAMLError: see `read`.

    """
    if id(node) in sizes:
        if not sizes[id(node)]:
            raise _refusal(node, "this anchor contains itself")
        return sizes[id(node)]
    sizes[id(node)] = 0
    size = 1
    if isinstance(node, yaml.ScalarNode):
        plain = node.style is None
        meant = loader.resolve(yaml.ScalarNode, node.value, (plain, not plain))  # type: ignore[no-untyped-call]
        if node.tag != meant and not (node.tag == f"{_TAG}str" and plain) and node.tag.startswith(_TAG):
            raise _refusal(node, f"leave out the tag !!{node.tag.removeprefix(_TAG)}: write the value without it")
        if node.tag in (f"{_TAG}int", f"{_TAG}float") and len(node.value) > MOST_DIGITS:
            raise _refusal(node, f"the number has more than {MOST_DIGITS} digits: write a smaller number")
    elif isinstance(node, yaml.MappingNode):
        size += sum(_check(loader, each, sizes) for item in node.value for each in item)
    elif isinstance(node, yaml.SequenceNode):
        size += sum(_check(loader, each, sizes) for each in node.value)
    if size > MOST_VALUES:
        raise _refusal(node, f"aliases repeat more than {MOST_VALUES:,} values here: write fewer")
    sizes[id(node)] = size
    return size


def _refusal(node: yaml.Node, problem: str) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)
