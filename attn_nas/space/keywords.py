"""Short forms of a search space in Python: names in the place of mappings, and limits at the top."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from attn_nas.attention.catalog import get_mechanism
from attn_nas.attention.mechanism import Mechanism
from attn_nas.errors import SpaceError
from attn_nas.plugins.user_code import UserCode
from attn_nas.space.mistakes import Mistake, unknown_key
from attn_nas.space.model_settings import model_section
from attn_nas.space.refusals import listed_mistakes
from attn_nas.space.trunks import Trunk, trunk_names

OF_MODEL = ("example", "sites")
"""Keywords of a search space that stand for keys of its ``model``."""
SHORT_LIMITS = ("max_flops", "max_params")
"""Keywords of a search space that stand for keys of its ``limits``."""
SHORT_OBJECTIVE = ("example", "classes")
"""Keywords of a search space that stand for keys of its ``objective``."""
DEFAULT_PROXY: Mapping[str, Any] = {"epochs": 12, "batch_size": 64, "lr": 0.1, "label_smoothing": 0.1}
"""The training of a space that is built without ``proxy``: that of the shipped spaces for folders of images."""
UNUSED_PROXY: Mapping[str, Any] = {name: DEFAULT_PROXY[name] for name in ("batch_size", "lr")}
"""Keys of ``proxy`` that are needed, except where an objective trains, which uses the epochs alone."""


def expanded(keywords: Mapping[str, Any], model: type[BaseModel]) -> dict[str, Any]:
    """The mapping that a search-space file would hold for ``keywords``; those of value None are left out.

    Raises:
        SpaceError: an unknown keyword, or a limit that is given twice.

    """
    given = {name: value for name, value in keywords.items() if value is not None}
    of_model = "model" in given
    short_objective = tuple(name for name in SHORT_OBJECTIVE if not (of_model and name in OF_MODEL))
    known = [*dict.fromkeys((*model.model_fields, *OF_MODEL, *SHORT_OBJECTIVE, *SHORT_LIMITS))]
    mistakes = [unknown_key((name,), known) for name in given if name not in known]
    for_model = {name: given.pop(name) for name in OF_MODEL if of_model and name in given}
    if "sites" in given:
        mistakes.append(Mistake(("sites",), "leave it out, or give the model that it is of"))
    limits, twice = _with_short("limits", given.pop("limits", {}), given, SHORT_LIMITS)
    objective, also = _with_short("objective", _code(given.pop("objective", {})), given, short_objective)
    mistakes += twice + also
    if mistakes:
        raise SpaceError(listed_mistakes(mistakes, given))
    return {
        **given,
        **(
            {"model": model_section(given["model"], for_model.get("example"), for_model.get("sites"))}
            if "model" in given
            else {}
        ),
        **({"trunk": _trunk(given["trunk"])} if "trunk" in given else {}),
        **({"mechanisms": _mechanisms(given["mechanisms"])} if "mechanisms" in given else {}),
        **({"limits": limits} if limits else {}),
        **({"objective": objective} if objective else {}),
        "data": named(given.get("data")),
        "proxy": given.get("proxy", DEFAULT_PROXY),
    }


def _with_short(section: str, value: Any, given: dict[str, Any], names: Sequence[str]) -> tuple[Any, list[Mistake]]:
    """The ``value`` of a section with the keywords ``names``, which are taken out of ``given``; those that are given twice."""
    short = {name: given.pop(name) for name in names if name in given}
    if not short:
        return value, []
    value = value.model_dump(exclude_none=True) if isinstance(value, BaseModel) else value
    if not isinstance(value, Mapping):
        return value, []
    twice = [Mistake((name,), f"leave it out, or {section}.{name}: both are given") for name in short if name in value]
    return {**value, **short}, twice


def _code(value: Any) -> Any:
    """``"train.py:objective"`` as a mapping; other values as they are."""
    return UserCode.parse(value).to_dict() if isinstance(value, str) else value


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
