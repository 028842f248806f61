"""The document of a run, as it is found: checked before anybody relies on it, for a file may have been damaged or made up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from attn_nas.errors import RunError
from attn_nas.space.task import Task

_MOST_SHOWN = 60
_Count = Annotated[int, Field(ge=0)]


class _Space(BaseModel):
    """What is read of a space before it is checked itself."""

    plugins: list[str] = []


class _Normalization(BaseModel):
    mean: list[float]
    std: list[float]


class _Numerics(BaseModel):
    device: Literal["cpu", "cuda"]
    precision: Literal["fp32", "bf16"]
    channels_last: bool


class _Cost(BaseModel):
    flops: _Count
    macs: _Count
    fvcore_default: _Count
    params: _Count


class _Facts(BaseModel):
    """What every reader of a run may rely on."""

    model_config = ConfigDict(allow_inf_nan=False)

    space_name: str
    space: _Space
    seed: _Count
    budget: _Count | None
    confirm: _Count
    early_stopping: bool
    numerics: _Numerics
    task: Task
    normalization: _Normalization
    bare_cost: _Cost
    reference_point: Annotated[list[float], Field(min_length=2, max_length=3)]
    flops_convention: str
    versions: dict[str, str]


def checked_facts(facts: Mapping[str, Any], where: object) -> dict[str, Any]:
    """The ``facts`` of the run at ``where``, of this version's format; raises RunError if one is missing or cannot be."""
    try:
        _Facts.model_validate(facts)
    except ValidationError as error:
        first = error.errors()[0]
        path, shown = ".".join(map(str, first["loc"])), repr(first["input"])
        value = "" if first["type"] == "missing" else f" = {shown[:_MOST_SHOWN]}{'...' * (len(shown) > _MOST_SHOWN)}"
        raise RunError(
            f"{where}: the facts in its study are damaged, {path}{value}: {first['msg']}. Restore study.db, or begin a new run"
        ) from None
    return dict(facts)
