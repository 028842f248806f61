"""Limits on a cost: a total, or an amount added to the cost of the bare trunk."""

from __future__ import annotations

import re
from fractions import Fraction
from math import floor, isfinite
from numbers import Integral, Real
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from attn_nas.errors import SpaceError
from attn_nas.space.core_yaml import AddedFloat, AddedInteger

_WRITTEN = re.compile(r"(\+?)((?:0|[1-9][0-9]*)(?:\.[0-9]+)?)(%|k|M|G|)")
_LONGEST = 40
"""Largest number of characters of a limit."""
_UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9}
_HOW_TO_WRITE = "write a total (45M), an added number (+200k), or an added share of the bare trunk's cost (+5%)"


def most_allowed(limit: int | str, bare: int) -> int:
    """Largest total cost that ``limit`` allows for a network whose bare trunk costs ``bare``.

    Args:
        limit: a total (``45000000``, ``"45M"``), an added number (``"+200k"``) or an added share (``"+5%"``).
        bare: cost of the bare trunk, in the unit of the limit (multiply-adds, or parameters).

    Raises:
        SpaceError: the text has none of these forms, or more than 40 characters.

    """
    if isinstance(limit, int):
        return limit
    written = _WRITTEN.fullmatch(limit.strip()) if len(limit) <= _LONGEST else None
    if not written or (written[3] == "%" and not written[1]):
        shown = limit if len(limit) <= _LONGEST else f"{limit[:10]}... ({len(limit)} characters)"
        raise SpaceError(f"{shown!r} is not a limit: {_HOW_TO_WRITE}")
    number = Fraction(written[2]) * (Fraction(bare, 100) if written[3] == "%" else _UNITS[written[3]])
    return floor(number) + (bare if written[1] else 0)


def _checked(limit: object) -> object:
    if isinstance(limit, str):
        most_allowed(limit, 1)
        return limit
    is_added = isinstance(limit, AddedInteger | AddedFloat)
    if isinstance(limit, Real) and not isinstance(limit, Integral | bool) and isfinite(limit) and floor(limit) == limit:
        limit = floor(limit)  # 45e6
    if isinstance(limit, bool) or not isinstance(limit, Integral):
        raise SpaceError(_HOW_TO_WRITE)
    if limit < 1:
        raise SpaceError("choose a number of at least 1")
    return f"+{int(limit)}" if is_added else int(limit)


def _described(schema: dict[str, Any]) -> None:
    schema["anyOf"] = [{"type": "integer", "minimum": 1}, {"type": "string", "pattern": f"^{_WRITTEN.pattern}$"}]


Limit = Annotated[int | str, BeforeValidator(_checked), Field(json_schema_extra=_described)]
"""A limit as a whole number of at least 1 (``45e6`` too) or as text (see `most_allowed`); ``+200000`` in a file is text."""
