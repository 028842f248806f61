"""The base class and the field types of the sections of a search space."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from attn_nas.errors import SpaceError, choose_from
from attn_nas.space.values import integer, number, text, truth

AS_INTEGER = BeforeValidator(integer)
AS_NUMBER = BeforeValidator(number)
Integer = Annotated[int, AS_INTEGER]
"""An integer; neither ``1.0``, ``true`` nor ``"1"``. Bounds stand before the validator, as in `Count`."""
Number = Annotated[float, AS_NUMBER]
"""A finite number; neither ``true`` nor ``"0.1"``."""
Text = Annotated[str, BeforeValidator(text)]
"""A text; not a number."""
PathText = Text
"""A path as text or as a `PathLike`."""
Truth = Annotated[bool, BeforeValidator(truth)]
"""``true`` or ``false``; neither 1, ``"true"`` nor ``yes``."""
Fraction = Annotated[float, Field(ge=0, lt=1), AS_NUMBER]
Count = Annotated[int, Field(ge=1), AS_INTEGER]
Epochs = Annotated[int, Field(ge=1, le=100_000), AS_INTEGER]
Seed = Annotated[int, Field(ge=0, lt=2**63), AS_INTEGER]
Images = Annotated[int, Field(ge=1, le=10**8), AS_INTEGER]
"""A number of images. More than 10^8 do not fit into memory as tensors, whatever their size."""
Problem = tuple[tuple[int | str, ...], str]
"""The path of a value inside a section, and a sentence about its mistake."""


def refuse(problems: list[Problem]) -> None:
    """Raise a validation error for ``problems`` that involve several fields, if there are any."""
    if problems:
        text = "; ".join(why for _, why in problems)
        raise PydanticCustomError("unfit", "{text}", {"text": text, "problems": problems})


class SettingsSection(BaseModel):
    """Base of all sections: a frozen mapping that refuses unknown keys, NaN and infinity."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def choice(choices: Sequence[str]) -> BeforeValidator:
    """Validator that accepts one of ``choices``.

    Raises:
        SpaceError: another value; the message lists the choices.

    """

    def check(value: object) -> object:
        if value not in choices:
            raise SpaceError(choose_from(value, choices))
        return value

    return BeforeValidator(check)


def suggested(names: Callable[[], list[str]]) -> Callable[[dict[str, Any]], None]:
    """JSON Schema of a name: editors suggest ``names()``, and accept other names, which plug-ins may register."""

    def add(schema: dict[str, Any]) -> None:
        schema["anyOf"] = [{"enum": names()}, {"type": "string"}]

    return add
