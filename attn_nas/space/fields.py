"""What the sections of a search-space file share: their base, and kinds of fields."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from os import PathLike, fspath
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from attn_nas.errors import SpaceError, choose_from

Fraction = Annotated[float, Field(ge=0, lt=1)]
Count = Annotated[int, Field(ge=1, strict=True)]
Epochs = Annotated[int, Field(ge=1, le=100_000, strict=True)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]
Images = Annotated[int, Field(ge=1, le=10**8, strict=True)]
"""More do not fit into memory as tensors, whatever their size."""
PathText = Annotated[str, BeforeValidator(lambda value: fspath(value) if isinstance(value, PathLike) else value)]
"""A path as text or as a `PathLike`."""
Problem = tuple[tuple[int | str, ...], str]
"""Where something stands inside a section, and what is wrong with it."""


def refuse(problems: list[Problem]) -> None:
    """Report what fits ill with another part of the file: where it stands inside the field, and why."""
    if problems:
        text = "; ".join(why for _, why in problems)
        raise PydanticCustomError("unfit", "{text}", {"text": text, "problems": problems})


class Section(BaseModel):
    """A mapping of the file: no keys but its own, finite numbers, and frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def choice(choices: Sequence[str]) -> BeforeValidator:
    """One of these words."""

    def check(value: object) -> object:
        if value not in choices:
            raise SpaceError(choose_from(value, choices))
        return value

    return BeforeValidator(check)


def suggested(names: Callable[[], list[str]]) -> Callable[[dict[str, Any]], None]:
    """JSON Schema of a name: these, asked for when the schema is made, are offered, and a plug-in's are allowed."""

    def add(schema: dict[str, Any]) -> None:
        schema["anyOf"] = [{"enum": names()}, {"type": "string"}]

    return add
