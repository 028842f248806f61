"""Reads search-space files, and reports every mistake with its line and column."""

from __future__ import annotations

import codecs
from pathlib import Path

import yaml
from pydantic import ValidationError

from attn_nas.errors import SpaceError, choose_from
from attn_nas.space import core_yaml
from attn_nas.space.mistakes import KeyPath, Mistake, MistakeKind, dotted, mapping_expected, mistakes_of
from attn_nas.space.schema import SearchSpace

_MOST_BYTES = 2**20
_MARKS = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}
"""Encodings by the mark at the beginning of a file; the mark of UTF-32 begins with that of UTF-16."""
_LINE_END = "\n"
_MOST_SHOWN = 60
"""Characters of a wrong value that a message shows."""


def load_space(source: str | Path) -> SearchSpace:
    """The search space of a YAML file, or of one of the shipped spaces by its name.

    Its paths are relative to the folder of the file; ``data.root`` of a shipped space is relative to the working folder.

    Raises:
        SpaceError: there is no such file, it is not YAML, or not a search space; each mistake is on a line of its own as
            ``file:line:column  path = value: how to correct it``.

    """
    path = Path(source)
    if not _exists(path):
        shipped = builtin_spaces()
        if str(source) not in shipped:
            raise SpaceError(f"no search space {str(source)!r}: give a YAML file, or {choose_from(source, shipped)}")
        path = shipped[str(source)]
        return parse_space(_read(path), str(path))
    space = parse_space(_read(path), str(path))
    if space.proxy.weights is not None:
        space = space.with_training(weights=path.absolute().parent / Path(space.proxy.weights).expanduser())
    if space.data is None or space.data.root is None:
        return space
    return space.with_data_root(path.absolute().parent / Path(space.data.root).expanduser())


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise SpaceError(f"{path} cannot be read: {error}") from None
    if len(content) > _MOST_BYTES:
        raise SpaceError(f"{path} is not a search space: it has more than {_MOST_BYTES:,} bytes")
    other = next((name for mark, name in _MARKS.items() if content.startswith(mark)), None)
    if other is None and b"\0" in content[:2]:
        other = "UTF-16 without a byte order mark, or is not text"
    if other:
        raise SpaceError(f"{path} is encoded in {other}: save it as UTF-8")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start].decode("utf-8-sig")
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        raise SpaceError(
            f"{path}:{line}:{column}  the byte 0x{content[error.start]:02X} is not UTF-8: the file is in another "
            "encoding, such as Latin-1 or Windows-1252, or is not text. Save it as UTF-8"
        ) from None


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:
        return False  # a name that no file can have


def builtin_spaces() -> dict[str, Path]:
    """Paths of the shipped search spaces by name; inside the package in a wheel, at the top of a checkout."""
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "search_spaces", package.parent / "search_spaces"):
        if folder.is_dir():
            return {path.stem: path for path in sorted(folder.glob("*.yaml"))}
    return {}


def parse_space(text: str, name: str = "<text>") -> SearchSpace:
    """The search space in YAML ``text``.

    Args:
        text: the content of a file.
        name: path of the file, for messages; plug-ins are found relative to its folder.

    Raises:
        SpaceError: see `load_space`.

    """
    try:
        root, data = core_yaml.read(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        raise SpaceError(f"{name}{place}  not YAML: {_plain(error.problem)}") from None
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        place = f":{before.count(_LINE_END) + 1}:{len(before) - before.rfind(_LINE_END)}"
        raise SpaceError(f"{name}{place}  not YAML: the character U+{ord(text[error.position]):04X} is not allowed") from None
    except RecursionError:
        raise SpaceError(f"{name}  not YAML that can be read: values are nested too deeply") from None
    except (yaml.YAMLError, ValueError) as error:
        raise SpaceError(f"{name}  not YAML that can be read: {error}") from None
    if not isinstance(root, yaml.MappingNode):
        raise SpaceError(f"{name}:1:1  a search space is a mapping with {', '.join(SearchSpace.model_fields)}")
    found = [(node, Mistake(path, "this key appears twice")) for node, path in _repeated_keys(root, (), set())]
    try:
        space = SearchSpace.model_validate(data, context={"folder": Path(name).parent, "named": True})
        if space.data is None and space.objective is None:
            has_key = isinstance(data, dict) and "data" in data
            mistake = mapping_expected(SearchSpace, ("data",)) if has_key else Mistake(("data",), "this key is missing")
            found.append((_find(root, ("data",)), mistake))
    except ValidationError as error:
        found += [(_node_of(root, mistake), mistake) for mistake in mistakes_of(error, SearchSpace)]
    if found:
        found.sort(key=lambda each: (each[0].start_mark.line, each[0].start_mark.column))
        raise SpaceError("\n".join(_render(name, *each) for each in found))
    return space


def _node_of(root: yaml.Node, mistake: Mistake) -> yaml.Node:
    """The node that ``mistake`` is reported at: the key if the key is wrong, else its value."""
    key = _key_node(root, mistake.path) if mistake.kind is MistakeKind.UNKNOWN_KEY else None
    return key or _find(root, mistake.path)


def _render(name: str, node: yaml.Node, mistake: Mistake) -> str:
    shown = f" = {_shown(node)}" if mistake.kind is MistakeKind.WRONG_VALUE and isinstance(node, yaml.ScalarNode) else ""
    return f"{name}:{node.start_mark.line + 1}:{node.start_mark.column + 1}  {dotted(mistake.path)}{shown}: {mistake.text}"


def _shown(node: yaml.ScalarNode) -> str:
    """The value as it is written, with its quotes; shortened if it is long."""
    value = f"{node.value[:_MOST_SHOWN]}{'...' * (len(node.value) > _MOST_SHOWN)}"
    return repr(value) if core_yaml.is_quoted(node) or not value.isprintable() else value


def _plain(problem: str | None) -> str:
    """PyYAML's sentence about a mistake, with the remedy for those that it does not say."""
    if problem and "'\\t'" in problem:
        return "there is a tab ('\\t'): indent with spaces"
    return problem or "it cannot be read"


def _find(root: yaml.Node, path: KeyPath) -> yaml.Node:
    """The node at ``path``, or its deepest ancestor that exists."""
    node = root
    for part in path:
        child: yaml.Node | None = None
        if isinstance(node, yaml.MappingNode):
            child = next((value for key, value in node.value if key.value == str(part)), None)
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            child = node.value[part]
        if child is None:
            break
        node = child
    return node


def _key_node(root: yaml.Node, path: KeyPath) -> yaml.Node | None:
    parent = _find(root, path[:-1])
    if not isinstance(parent, yaml.MappingNode):
        return None
    return next((key for key, _ in parent.value if key.value == str(path[-1])), None)


def _repeated_keys(node: yaml.Node, path: KeyPath, visited: set[int]) -> list[tuple[yaml.Node, KeyPath]]:
    """Keys that occur twice in a mapping, with their paths; each node is visited once, however many aliases refer to it."""
    found: list[tuple[yaml.Node, KeyPath]] = []
    if id(node) in visited:
        return found
    visited.add(id(node))
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
    return found
