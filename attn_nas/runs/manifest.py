"""What is fixed when a run begins, and how a resumed search finds it again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from attn_nas.data import Dataset, load_dataset
from attn_nas.errors import DataError, RunError, SpaceError, UsageError
from attn_nas.plugins import registry as plugins
from attn_nas.space.schema import SearchSpace
from attn_nas.space.task import Task
from attn_nas.training.images import channel_statistics

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


def described_data(dataset: Dataset) -> dict[str, Any]:
    """The entries of a run's document that identify ``dataset``: its task, and mean and deviation of its channels."""
    mean, std = channel_statistics(dataset.train)
    return {
        "task": asdict(dataset.task),
        "normalization": {"mean": (mean.flatten() / 255).tolist(), "std": (std.flatten() / 255).tolist()},
    }


def is_data_of(facts: dict[str, Any], dataset: Dataset) -> bool:
    """Whether a run was begun with ``dataset``, as far as its shape and its pixels' statistics tell."""
    now = described_data(dataset)
    return facts["task"] == now["task"] and all(
        np.allclose(facts["normalization"][name], now["normalization"][name], rtol=1e-4) for name in ("mean", "std")
    )


def dataset_of(facts: dict[str, Any], space: SearchSpace, *, download: bool = False) -> Dataset:
    """The data set that a run of ``space`` was begun with; raises DataError if it is missing, or is another one."""
    dataset = load_dataset(space.data, download=download)
    if not is_data_of(facts, dataset):
        raise DataError(f"{dataset.name} is not the data set that the run was begun with")
    return dataset


def new_facts(
    name: str, space: SearchSpace, seed: int, budget: int | None, confirm: int, early_stopping: bool
) -> dict[str, Any]:
    """The first entries of the document: what the user chose; ``budget`` is None where time alone ends the search."""
    return {
        "space_name": name,
        "space": space.model_dump(mode="json"),
        "seed": seed,
        "budget": budget,
        "confirm": confirm,
        "early_stopping": early_stopping,
    }


def stored_space(facts: dict[str, Any], folder: Path) -> SearchSpace:
    """The search space of a run's document; its plug-ins are files of the run's ``folder``. Raises SpaceError."""
    try:
        return SearchSpace.model_validate(facts["space"], context={"folder": folder})
    except ValidationError as error:
        reasons = "; ".join(details["msg"].removeprefix("Value error, ") for details in error.errors())
        raise SpaceError(f"the search space of {folder} cannot be used any more: {reasons}") from None


def _said(space: SearchSpace) -> dict[str, Any]:
    """What a space says, and its plug-ins as they were read."""
    return {**space.model_dump(), "plugins": [plugins.active_file(path).source for path in space.plugins]}


def stored_facts(
    facts: dict[str, Any],
    where: Path,
    space: SearchSpace | None,
    seed: int | None,
    budget: int | None,
    time_budget: float | None,
    confirm: int | None,
    early_stopping: bool | None,
) -> dict[str, Any]:
    """The document of a run to be resumed, with a new budget, confirmations and early stopping if they are given.

    With a time budget alone there is no other one.

    Raises:
        UsageError: another space or seed than the run was begun with.

    """
    if space is not None and _said(space) != _said(stored_space(facts, where)):
        raise UsageError(f"{where} was begun with another search space: leave --space out, or begin a new run")
    if seed is not None and seed != facts["seed"]:
        raise UsageError(f"{where} was begun with seed {facts['seed']}: leave --seed out, or begin a new run")
    confirmed = facts["confirm"] if confirm is None else confirm
    stopping = facts["early_stopping"] if early_stopping is None else early_stopping
    trials = budget or (facts["budget"] if time_budget is None else None)
    return {**facts, "budget": trials, "confirm": confirmed, "early_stopping": stopping}


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
