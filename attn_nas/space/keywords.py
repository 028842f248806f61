"""Short forms of a search space in Python: names in the place of mappings, and limits at the top."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from attn_nas.attention.catalog import get_mechanism
from attn_nas.attention.mechanism import Mechanism
from attn_nas.errors import SpaceError
from attn_nas.space.mistakes import Mistake, unknown_key
from attn_nas.space.model_settings import model_section
from attn_nas.space.refusals import listed_mistakes
from attn_nas.space.trunks import Trunk, trunk_names

OF_MODEL = ("example", "sites")
"""Keywords of a search space that stand for keys of its ``model``."""
SHORT_LIMITS = ("max_flops", "max_params")
"""Keywords of a search space that stand for keys of its ``limits``."""
DEFAULT_PROXY: Mapping[str, Any] = {"epochs": 12, "batch_size": 64, "lr": 0.1, "label_smoothing": 0.1}
"""The training of a space that is built without ``proxy``: that of the shipped spaces for folders of images."""


def expanded(keywords: Mapping[str, Any], model: type[BaseModel]) -> dict[str, Any]:
    """The mapping that a search-space file would hold for ``keywords``; those of value None are left out.

    Raises:
        SpaceError: an unknown keyword, or a limit that is given twice.

    """
    given = {name: value for name, value in keywords.items() if value is not None}
    known = [*model.model_fields, *OF_MODEL, *SHORT_LIMITS]
    mistakes = [unknown_key((name,), known) for name in given if name not in known]
    of_model = {name: given.pop(name) for name in OF_MODEL if name in given}
    if of_model and "model" not in given:
        mistakes += [Mistake((name,), "leave it out, or give the model that it is of") for name in of_model]
    limits = given.pop("limits", {})
    short = {name: given.pop(name) for name in SHORT_LIMITS if name in given}
    if short:
        limits = limits.model_dump(exclude_none=True) if isinstance(limits, BaseModel) else limits
        if isinstance(limits, Mapping):
            mistakes += [
                Mistake((name,), f"leave it out, or limits.{name}: both are given") for name in short if name in limits
            ]
            limits = {**limits, **short}
    if mistakes:
        raise SpaceError(listed_mistakes(mistakes, given))
    return {
        **given,
        **(
            {"model": model_section(given["model"], of_model.get("example"), of_model.get("sites"))} if "model" in given else {}
        ),
        **({"trunk": _trunk(given["trunk"])} if "trunk" in given else {}),
        **({"mechanisms": _mechanisms(given["mechanisms"])} if "mechanisms" in given else {}),
        **({"limits": limits} if limits else {}),
        "data": named(given.get("data")),
        "proxy": given.get("proxy", DEFAULT_PROXY),
    }


def named(value: Any) -> Any:
    """A name as the mapping that it stands for; other values as they are."""
    return {"name": value} if isinstance(value, str) else value


def _trunk(value: Any) -> Any:
    """``"resnet18"`` as a family and a depth, a `Trunk` as its three fields; other values as they are."""
    if isinstance(value, Trunk):
        return {"name": value.name, "depth": value.depth, "width": value.width}
    if isinstance(value, str) and value not in trunk_names():
        written = re.fullmatch(r"(.*?)[-_]?([0-9]{1,9})", value)
        if written and written[1] in trunk_names():
            return {"name": written[1], "depth": int(written[2])}
    return named(value)


def _mechanisms(values: Any) -> Any:
    if not isinstance(values, list | tuple):
        return values
    return [{"name": _registered(value).name} if isinstance(value, Mechanism) else named(value) for value in values]


def _registered(mechanism: Mechanism) -> Mechanism:
    if get_mechanism(mechanism.name) != mechanism:
        raise SpaceError(f"mechanisms: another mechanism is registered as {mechanism.name!r}: choose another name")
    return mechanism
