"""The reference of search-space files, from the JSON Schema that also checks them in editors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from attn_nas.space.loading import builtin_spaces
from attn_nas.space.schema import json_schema
from generators.commands import invocation
from generators.markdown import code, front_matter, table

_BOUNDS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
_MOST_CHOICES = 12
_LARGE = 2**60
_LINKS = {"mechanisms.name": "[any mechanism](mechanisms.md)", "trunk.name": "[any trunk](trunks.md)"}
"""Where the choices are listed that are too many for a table."""

_TYPES = """## Numbers, text and truth values {: #values }

A file is read as [YAML 1.2](https://yaml.org/spec/1.2.2/#103-core-schema) in UTF-8. A value counts only as the type in which it
is written; any other is an error with its line and column, never another number:

| written | is |
| --- | --- |
| `12`, `0o17`, `0x1F` | an integer |
| `0.05`, `5e-2`, `4.5e+7` | a number; not an integer, also where it is whole |
| `true`, `false` | a truth value |
| `null`, `~`, nothing | no value: the default of a key that is optional |
| `010`, `1:30`, `1_000`, `yes`, `no`, `on`, `off`, `2024-01-01` | text, an error where another type is needed |
| `'12'`, `"0.05"` | text, an error where a number is needed: remove the quotes |

A number where text is needed (`root: 2024`) is an error too: put it in quotes. Names are written in the case of the reference.
The same rule holds in Python, where numbers of NumPy are numbers."""


def page() -> str:
    """All keys of a search-space file, section by section."""
    schema = json_schema()
    shipped = [
        f"### {name} {{: #space-{name} }}\n\n```yaml\n{path.read_text(encoding='utf-8').strip()}\n```"
        for name, path in builtin_spaces().items()
    ]
    return "\n\n".join(
        [
            front_matter("Every key of a search-space file with its type, default and limits.") + "# Search-space files",
            "A search space is a YAML file. This page is made from the schema that checks these files. "
            f"`{invocation('schema')}` prints the schema as JSON, for editors that complete keys. "
            f"`{invocation('spaces')} NAME` prints a search space that comes with the package, to be copied and changed.",
            "A key without a default must be given. Unknown keys are an error.",
            _TYPES,
            *_sections(schema),
            "## Shipped search spaces {: #shipped }",
            *shipped,
        ]
    )


def _sections(schema: dict[str, Any]) -> Iterator[str]:
    """The keys at the top of the file, then those of each section in the order of the file."""
    yield "## The file {: #file }\n\n" + _keys(schema, schema, "")
    yield from _below(schema, schema, "")


def _below(above: dict[str, Any], schema: dict[str, Any], prefix: str) -> Iterator[str]:
    """The sections inside the section ``above``, each followed by those inside it; ``prefix`` is ``data.`` inside ``data``."""
    for name, about in above["properties"].items():
        section = _section_of(about, schema)
        if section:
            path = f"{prefix}{name}"
            heading = f"##{'#' * path.count('.')} {path} {{: #{_anchor(path)} }}"
            several = "A list; each item is a mapping with these keys.\n\n" if about.get("type") == "array" else ""
            yield f"{heading}\n\n{_paragraph(section['description'])}\n\n{several}{_keys(section, schema, f'{path}.')}"
            yield from _below(section, schema, f"{path}.")


def _anchor(path: str) -> str:
    return path.replace(".", "-")


def _section_of(about: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any] | None:
    """The mapping that a key holds, alone or in a list; None where it holds a plain value."""
    reference = about.get("$ref") or about.get("items", {}).get("$ref")
    if not reference:
        return None
    found: dict[str, Any] = schema["$defs"][reference.rsplit("/", 1)[1]]
    return found


def _keys(section: dict[str, Any], schema: dict[str, Any], prefix: str) -> str:
    required = section.get("required", ())
    rows = []
    for name, about in section["properties"].items():
        below = _section_of(about, schema)
        described = about.get("description") or (below or {}).get("description", "")
        shown = f"[`{name}`](#{_anchor(prefix + name)})" if below else code(name)
        is_empty = below is not None and not about.get("required")
        default = "" if name in required else _default(about.get("default"), is_empty)
        kind = _kind(about, below, f"{prefix}{name}")
        rows.append((shown, kind, default, _paragraph(described)))
    return table(("key", "value", "default", "meaning"), rows)


def _default(value: Any, is_section: bool) -> str:
    if value is None:
        return "optional"
    if is_section and isinstance(value, dict):
        return "the defaults of its keys"
    if isinstance(value, bool):
        return code(str(value).lower())
    if isinstance(value, list):
        return code(f"[{', '.join(map(str, value))}]")
    return code(value)


def _kind(about: dict[str, Any], below: dict[str, Any] | None, path: str) -> str:
    if path in _LINKS:
        return _LINKS[path]
    if below:
        return "list of mappings" if about.get("type") == "array" else "mapping"
    if "anyOf" in about:
        kinds = [_kind(each, None, "") for each in about["anyOf"] if each.get("type") != "null"]
        return " or ".join(dict.fromkeys(kinds))
    if "const" in about:
        return code(about["const"])
    if "enum" in about:
        return ", ".join(map(code, about["enum"])) if len(about["enum"]) <= _MOST_CHOICES else "text"
    if about.get("type") == "array":
        most = f", at most {about['maxItems']}" if "maxItems" in about else ""
        one = about["items"] if "items" in about else about["prefixItems"][0]
        return f"list of {_kind(one, None, '')}{most}"
    kind = "text" if about.get("type") == "string" else about.get("type", "")
    return " ".join([kind, *_limits(about)])


def _limits(about: dict[str, Any]) -> Iterator[str]:
    if "minimum" in about and "maximum" in about:
        yield f"from {about['minimum']:,} to {about['maximum']:,}"
        return
    bounds = [f"{sign} {_number(about[name])}" for name, sign in _BOUNDS.items() if name in about]
    if bounds:
        yield " and ".join(bounds)


def _number(value: float) -> str:
    return f"{value:,}" if abs(value) < _LARGE else "2^63"


def _paragraph(text: str) -> str:
    return " ".join(text.replace("``", "`").split())
