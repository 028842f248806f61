"""Formats of runs: how older ones are brought to this version's, and newer ones refused.

2 has the number itself. 3 has several costs, limits over the bare trunk in one field with limits in all, confirmations, early
stopping, and the seed and the curve of a training among the attributes of its trial.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from optuna.storages._rdb.models import TrialModel, TrialUserAttributeModel
from sqlalchemy import Connection, Engine, insert, select

from attn_nas.errors import RunError

FORMAT = 3
"""Number of the way in which this version keeps results."""


def format_of(facts: Mapping[str, Any]) -> int:
    """That of a run."""
    found: int = facts.get("format", 1)
    return found


def check_format(facts: Mapping[str, Any], where: object) -> None:
    """Raise RunError if a run is of a format that this version does not know."""
    found = facts.get("format", 1)
    if not isinstance(found, int) or not 1 <= found <= FORMAT:
        version = facts.get("versions", {}).get("attn_nas", "a newer version")
        raise RunError(
            f"{where} is a run of format {found}, made by attn-nas {version}; this version reads formats up to {FORMAT}: "
            "update attn-nas"
        )


def upgrade(engine: Engine, study_id: int, facts: dict[str, Any]) -> dict[str, Any]:
    """Bring the study, which has these ``facts``, to the present format; returns its new facts, which are to be stored."""
    with engine.begin() as connection:
        for format_ in range(format_of(facts), FORMAT):
            facts = _STEPS[format_](connection, study_id, facts)
    return {**facts, "format": FORMAT}


def _to_2(connection: Connection, study_id: int, facts: dict[str, Any]) -> dict[str, Any]:
    return facts


def _to_3(connection: Connection, study_id: int, facts: dict[str, Any]) -> dict[str, Any]:
    trial, attribute = TrialModel.__table__.c, TrialUserAttributeModel.__table__.c
    results = select(attribute.trial_id, attribute.value_json).where(
        attribute.key == "result", attribute.trial_id == trial.trial_id, trial.study_id == study_id
    )
    described = select(attribute.trial_id).where(
        attribute.key == "genotype", attribute.trial_id == trial.trial_id, trial.study_id == study_id
    )
    rows = [
        {"trial_id": each, "key": "seed", "value_json": json.dumps(facts["seed"])} for (each,) in connection.execute(described)
    ]
    for trial_id, result in connection.execute(results):
        rows.append({"trial_id": trial_id, "key": "curve", "value_json": json.dumps(json.loads(result)["curve"])})
    if rows:
        connection.execute(insert(TrialUserAttributeModel), rows)
    space = facts["space"]
    limits, added = dict(space["limits"]), space["limits"].get("max_added_flops")
    limits.pop("max_added_flops", None)
    if added is not None:
        limits["max_flops"] = f"+{added}"
    objectives = {"costs": [space["objectives"]["cost"]]}
    return {
        **facts,
        "space": {**space, "limits": limits, "objectives": objectives},
        "confirm": 0,
        "early_stopping": False,
    }


_STEPS: Mapping[int, Callable[[Connection, int, dict[str, Any]], dict[str, Any]]] = {1: _to_2, 2: _to_3}
