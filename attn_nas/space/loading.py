"""Reading a search-space file, with every mistake reported at its place in the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from attn_nas.errors import SpaceError, choose_from
from attn_nas.space.schema import SearchSpace

_Loc = tuple[str | int, ...]
_MOST_BYTES = 2**20


def load_space(source: str | Path) -> SearchSpace:
    """The search space of a YAML file, or of one of the shipped spaces by its name.

    Raises:
        SpaceError: no such file, not YAML, or not a search space; each mistake on a line of its own as
            ``file:line:column  path = value: what to choose``.

    """
    path = Path(source)
    if not _exists(path):
        shipped = builtin_spaces()
        if str(source) not in shipped:
            raise SpaceError(f"no search space {str(source)!r}: give a YAML file, or {choose_from(source, shipped)}")
        path = shipped[str(source)]
    return parse_space(_read(path), str(path))


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
        text = content.decode()
    except (OSError, UnicodeDecodeError) as error:
        raise SpaceError(f"{path} cannot be read: {error}") from None
    if len(content) > _MOST_BYTES:
        raise SpaceError(f"{path} is no search space: it has more than {_MOST_BYTES:,} bytes")
    return text


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:
        return False  # a name that no file can have


def builtin_spaces() -> dict[str, Path]:
    """The shipped search spaces by name: beside the package in a wheel, at the top of a checkout."""
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "search_spaces", package.parent / "search_spaces"):
        if folder.is_dir():
            return {path.stem: path for path in sorted(folder.glob("*.yaml"))}
    return {}


def parse_space(text: str, name: str = "<text>") -> SearchSpace:
    """The search space in YAML ``text``; ``name`` is the file's, for the messages. Raises SpaceError."""
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        data = yaml.safe_load(text)
        repeated = _repeated_keys(root, (), {}) if root else []
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        raise SpaceError(f"{name}{place}  not YAML: {error.problem}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise SpaceError(f"{name}  not YAML that can be read: {error}") from None
    except (LookupError, AttributeError, TypeError, OverflowError):
        raise SpaceError(f"{name}  not YAML that can be read: a value is not of the kind that its tag (!!) says") from None
    if not isinstance(root, yaml.MappingNode):
        raise SpaceError(f"{name}:1:1  a search space is a mapping with {', '.join(SearchSpace.model_fields)}")
    problems = [(node, path, "this key appears twice") for node, path in repeated]
    try:
        space = SearchSpace.model_validate(data, context={"folder": Path(name).parent, "named": True})
    except ValidationError as error:
        problems += [problem for details in error.errors() for problem in _problems(root, details)]
    if problems:
        problems.sort(key=lambda problem: (problem[0].start_mark.line, problem[0].start_mark.column))
        raise SpaceError("\n".join(_render(name, *problem) for problem in problems))
    return space


def _problems(root: yaml.Node, details: Any) -> list[tuple[yaml.Node, _Loc, str]]:
    if details["type"] != "unfit":
        return [_problem(root, details)]
    placed = [((*details["loc"], *where), why) for where, why in details["ctx"]["problems"]]
    return [_problem(root, {"type": "value_error", "loc": path, "msg": why}) for path, why in placed]


def _problem(root: yaml.Node, details: Any) -> tuple[yaml.Node, _Loc, str]:
    path: _Loc = tuple(details["loc"])
    node = _find(root, path)
    if details["type"] == "extra_forbidden":
        key = _key_node(root, path)
        return key or node, path, f"no such key: {choose_from(path[-1], _fields(path[:-1]))}"
    if details["type"] == "missing":
        return node, path, "this key is missing"
    message = details["msg"].removeprefix("Value error, ")
    if details["type"].startswith(("model_", "dict_")):
        return node, path, f"write a mapping with {', '.join(_fields(path))}"
    shown = f" = {node.value}" if isinstance(node, yaml.ScalarNode) else ""
    return node, path, f"{shown}: {message[:1].lower()}{message[1:]}"


def _render(name: str, node: yaml.Node, path: _Loc, text: str) -> str:
    dotted = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")
    separator = "" if text.startswith((" =", ":")) else ": "
    return f"{name}:{node.start_mark.line + 1}:{node.start_mark.column + 1}  {dotted}{separator}{text}"


def _find(root: yaml.Node, path: _Loc) -> yaml.Node:
    """The node at ``path``, or the last one on the way to it that exists."""
    node = root
    for part in path:
        child: yaml.Node | None = None
        if isinstance(node, yaml.MappingNode):
            child = next((value for key, value in node.value if key.value == part), None)
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            child = node.value[part]
        if child is None:
            break
        node = child
    return node


def _key_node(root: yaml.Node, path: _Loc) -> yaml.Node | None:
    parent = _find(root, path[:-1])
    if not isinstance(parent, yaml.MappingNode):
        return None
    return next((key for key, _ in parent.value if key.value == str(path[-1])), None)


def _repeated_keys(node: yaml.Node, path: _Loc, visited: dict[int, bool]) -> list[tuple[yaml.Node, _Loc]]:
    """Keys that a mapping has twice; what aliases repeat is looked at once, and ``visited`` once that is over.

    Raises:
        ValueError: an alias stands within what it names.

    """
    found: list[tuple[yaml.Node, _Loc]] = []
    if id(node) in visited:
        if not visited[id(node)]:
            raise ValueError(f"what line {node.start_mark.line + 1} names contains itself")
        return found
    visited[id(node)] = False
    if isinstance(node, yaml.MappingNode):
        seen = set()
        for key, value in node.value:
            if key.value in seen:
                found.append((key, (*path, key.value)))
            seen.add(key.value)
            found += _repeated_keys(value, (*path, key.value), visited)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            found += _repeated_keys(value, (*path, index), visited)
    visited[id(node)] = True
    return found


def _fields(path: _Loc) -> list[str]:
    """Names of the fields of the model at ``path``."""
    model: type[BaseModel] = SearchSpace
    for part in path:
        if isinstance(part, str) and part in model.model_fields:
            annotation = model.model_fields[part].annotation
            inner = [kind for kind in (annotation, *get_args(annotation)) if isinstance(kind, type)]
            model = next((kind for kind in inner if issubclass(kind, BaseModel)), model)
    return list(model.model_fields)
