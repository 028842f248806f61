"""One rule for the numbers, texts and truth values of a search space, in a file and in Python.

A value counts only as the type in which it is written: text in quotes is no number, ``true`` is not 1, and a number is no text.
Each function returns the value, or raises a SpaceError that says how to write it. Numbers of numpy are numbers.
"""

from __future__ import annotations

import re
from math import inf, isfinite
from numbers import Integral, Real
from os import PathLike, fspath

from attn_nas.errors import SpaceError
from attn_nas.space.core_yaml import FLOAT, INTEGER

_LARGEST = 10**15
"""Numbers up to here are written out in a message."""
_LEADING_ZEROS = re.compile(r"([-+]?)0+([0-9]+(?:\.[0-9]*)?)")
_SEPARATED = re.compile(r"[-+]?[0-9]{1,3}(?:[_ '][0-9]{3})+|[-+]?[0-9]+(?:_[0-9]+)+")
_COMMA = re.compile(r"[-+]?[0-9]+(?:,[0-9]+)+")
_COLONS = re.compile(r"[-+]?[0-9]+(?::[0-9.]+)+")
_TRUTH_VALUES = frozenset(("yes", "no", "on", "off", "true", "false", "y", "n"))


def integer(value: object) -> int:
    """An integer; ``1.0`` and ``1e3`` are not."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise SpaceError(_not_a_number(value, "an integer", "3"))
    if isinstance(value, Integral):
        return int(value)
    found = number(value)
    is_short = found.is_integer() and abs(found) < _LARGEST
    raise SpaceError(f"write an integer, without a decimal point or exponent: {found:.0f}" if is_short else "write an integer")


def number(value: object) -> float:
    """A finite number."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise SpaceError(_not_a_number(value, "a number", "0.1"))
    try:
        found = float(value)
    except OverflowError:
        found = inf
    if not isfinite(found):
        raise SpaceError("write a finite number, of at most 1e308")
    return found


def text(value: object) -> str:
    """A text, or the text of a path."""
    found = fspath(value) if isinstance(value, PathLike) else value
    if isinstance(found, str):
        return found
    if isinstance(found, bool | Real):
        kind = "truth value" if isinstance(found, bool) else "number"
        raise SpaceError(f"this is a {kind}, and text is needed: put it in quotes if you mean it as text (a string)")
    raise SpaceError("write text (a string)" + _instead_of(found))


def truth(value: object) -> bool:
    """``true`` or ``false``."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in ("true", "false"):
        raise SpaceError(f"in quotes it is text: write {value.lower()} without quotes")
    raise SpaceError("write true or false" + _instead_of(value))


def numeral_mistake(written: str) -> str | None:
    """How to write the number that the text ``written`` seems to mean; None for text that does not look like a number."""
    plain = written.strip()
    if INTEGER.fullmatch(plain) or FLOAT.fullmatch(plain):
        return f"in quotes it is text, not a number: write {plain} without quotes"
    if zeros := _LEADING_ZEROS.fullmatch(plain):
        return f"a number has no leading zeros, which some programs read as octal: write {zeros[1]}{zeros[2]}"
    if _SEPARATED.fullmatch(plain):
        return f"a number has no separators: write {re.sub('[^-+0-9]', '', plain)}"
    if _COMMA.fullmatch(plain):
        return "a number has no commas: write a decimal point, and no separators between thousands"
    if _COLONS.fullmatch(plain):
        return "a number has no colons, which some programs read as base 60: write a decimal number"
    return None


def _not_a_number(value: object, wanted: str, example: str) -> str:
    if isinstance(value, bool) or (isinstance(value, str) and value.lower() in _TRUTH_VALUES):
        return f"a truth value (yes, no, true, false) is not a number: write {wanted} such as {example}"
    if isinstance(value, str):
        return numeral_mistake(value) or f"this is text: write {wanted} such as {example}"
    if value is None:
        return f"this key has no value: write {wanted} such as {example}"
    return f"write {wanted} such as {example}" + _instead_of(value)


def _instead_of(value: object) -> str:
    """``, not a list`` or the like for values that a message does not show."""
    kinds = ((list | tuple, "a list"), (dict, "a mapping"))
    return next((f", not {name}" for kind, name in kinds if isinstance(value, kind)), "")
