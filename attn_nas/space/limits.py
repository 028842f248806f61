"""How a limit on a cost is written: in all, or added to what the bare trunk costs."""

from __future__ import annotations

import re
from fractions import Fraction
from math import floor
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from attn_nas.errors import SpaceError

_WRITTEN = re.compile(r"(\+?)(\d+(?:\.\d+)?)(%|k|M|G|)")
_UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9}


def most_allowed(limit: int | str, bare: int) -> int:
    """The most that a network may cost in all, where its bare trunk costs ``bare``.

    ``limit`` is a number in all (``45000000``, ``"45M"``), a number added (``"+200k"``), or a share added (``"+5%"``).

    Raises:
        SpaceError: it is written in another way.

    """
    if isinstance(limit, int):
        return limit
    written = _WRITTEN.fullmatch(limit.strip())
    if not written or (written[3] == "%" and not written[1]):
        raise SpaceError(f"{limit!r} is no limit: write a number in all (45M), a number added (+200k), or a share added (+5%)")
    number = Fraction(written[2]) * (Fraction(bare, 100) if written[3] == "%" else _UNITS[written[3]])
    return floor(number) + (bare if written[1] else 0)


def _checked(limit: int | str) -> int | str:
    most_allowed(limit, 1)
    return limit


def _described(schema: dict[str, Any]) -> None:
    schema["anyOf"] = [{"type": "integer", "minimum": 1}, {"type": "string", "pattern": f"^{_WRITTEN.pattern}$"}]


Limit = Annotated[Annotated[int, Field(ge=1, strict=True)] | str, AfterValidator(_checked), Field(json_schema_extra=_described)]
