"""Mistakes in a search space: pydantic's validation errors as a path, a kind and a plain sentence each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from attn_nas.errors import choose_from

KeyPath = tuple[str | int, ...]
"""Keys and list indices from the top of a search space to a value."""


_SENTENCES = {
    "list_type": "write a list, in brackets: [a, b]",
    "too_short": "write a list of at least {min_length} item",
    "too_long": "write a list of at most {max_length} items",
}
"""Sentences in the place of pydantic's, by the type of its error."""


class MistakeKind(Enum):
    """The part of the input that is wrong, which decides how a mistake is shown."""

    UNKNOWN_KEY = "unknown key"
    WRONG_VALUE = "wrong value"
    STRUCTURE = "structure"


@dataclass(frozen=True)
class Mistake:
    """A mistake in a search space: the path of the key, and a sentence that says how to correct it."""

    path: KeyPath
    text: str
    kind: MistakeKind = MistakeKind.STRUCTURE


def mistakes_of(error: ValidationError, model: type[BaseModel]) -> Iterator[Mistake]:
    """The mistakes that the validation of ``model`` found, in pydantic's order."""
    for details in error.errors():
        if details["type"] == "unfit":
            for where, why in details["ctx"]["problems"]:
                yield Mistake((*details["loc"], *where), _sentence(why), MistakeKind.WRONG_VALUE)
        else:
            yield _mistake(details, model)


def _mistake(details: Any, model: type[BaseModel]) -> Mistake:
    path: KeyPath = tuple(details["loc"])
    if details["type"] == "extra_forbidden":
        return unknown_key(path, _fields(model, path[:-1]))
    if details["type"] == "missing":
        return Mistake(path, "this key is missing")
    if details["type"].startswith(("model_", "dict_")):
        return mapping_expected(model, path)
    if details["type"] == "invalid_key":
        text = f"a key is text: {choose_from(path[-1], _fields(model, path[:-1]))}"
        return Mistake((*path[:-1], str(path[-1])), text, MistakeKind.UNKNOWN_KEY)
    if details["type"] in _SENTENCES:
        text = _SENTENCES[details["type"]].format_map(details.get("ctx", {}))
        return Mistake(path, text, MistakeKind.WRONG_VALUE)
    return Mistake(path, _sentence(details["msg"].removeprefix("Value error, ")), MistakeKind.WRONG_VALUE)


def unknown_key(path: KeyPath, keys: list[str]) -> Mistake:
    """The last key of ``path`` is not one of ``keys``; the sentence names the nearest of them."""
    return Mistake(path, f"no such key: {choose_from(path[-1], keys)}", MistakeKind.UNKNOWN_KEY)


def mapping_expected(model: type[BaseModel], path: KeyPath) -> Mistake:
    """The value at ``path`` of ``model`` must be a mapping; the sentence names its keys."""
    return Mistake(path, f"write a mapping with {', '.join(_fields(model, path))}")


def dotted(path: KeyPath) -> str:
    """``path`` as users write it: ``mechanisms[0].name``."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")


def _sentence(text: str) -> str:
    return f"{text[:1].lower()}{text[1:]}"


def _fields(model: type[BaseModel], path: KeyPath) -> list[str]:
    """Names of the fields of the section at ``path``."""
    for part in path:
        if isinstance(part, str) and part in model.model_fields:
            annotation = model.model_fields[part].annotation
            inner = [kind for kind in (annotation, *get_args(annotation)) if isinstance(kind, type)]
            model = next((kind for kind in inner if issubclass(kind, BaseModel)), model)
    return list(model.model_fields)
