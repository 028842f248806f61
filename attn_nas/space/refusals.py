"""Errors for values given in Python: each mistake on a line of its own, with its path and its value."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from attn_nas.errors import SpaceError
from attn_nas.space.mistakes import KeyPath, Mistake, MistakeKind, dotted, mistakes_of


def refusal(error: ValidationError, model: type[BaseModel], given: object, within: KeyPath = ()) -> SpaceError:
    """The error to raise for values of ``model`` that pydantic refused, each mistake on a line of its own.

    ``given`` is the input of the validation, and ``within`` the path of ``model`` in the search space.
    """
    return SpaceError(listed_mistakes(mistakes_of(error, model), given, within))


def listed_mistakes(mistakes: Iterable[Mistake], given: object, within: KeyPath = ()) -> str:
    """A line for each of ``mistakes`` in the values ``given``, with its path and its value."""
    lines = []
    for mistake in mistakes:
        value = _at(given, mistake.path) if mistake.kind is MistakeKind.WRONG_VALUE else None
        shown = "" if value is None or isinstance(value, Mapping | BaseModel | list | tuple) else f" = {value}"
        lines.append(f"{dotted((*within, *mistake.path))}{shown}: {mistake.text}")
    return "\n".join(lines)


def _at(value: Any, path: KeyPath) -> Any:
    """The value at ``path`` of nested mappings and lists; None if there is none."""
    for part in path:
        try:
            value = getattr(value, str(part)) if isinstance(value, BaseModel) else value[part]
        except (LookupError, TypeError, AttributeError):
            return None
    return value
