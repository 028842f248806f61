"""Formats of runs: older ones are brought to this version's, newer ones are refused.

Format 2 has the number of the format. Format 3 has several costs, limits in all and over the bare trunk in one field,
confirmations, early stopping, and the seed and the curve of a training among the attributes of its trial. Format 4 has the
numbers of the rules by which data is read. Format 5 has the rule of the augmentation, and the names of the classes and a digest
of the images where these are known.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from optuna.storages._rdb.models import TrialModel, TrialUserAttributeModel
from sqlalchemy import Connection, Engine, insert, select

from attn_nas.errors import RunError

FORMAT = 5
"""Number of the format in which this version stores runs."""

_Manifest = Mapping[str, Any]


def format_of(stored: _Manifest) -> int:
    """The format of a run, from its ``stored`` manifest."""
    found: int = stored.get("format", 1)
    return found


def check_format(stored: object, where: object) -> Mapping[str, Any]:
    """The ``stored`` manifest of the run at ``where``; raises RunError unless this version knows its format."""
    if not isinstance(stored, Mapping):
        raise RunError(f"{where} is not a run of attn-nas: its study does not say what was searched")
    found = stored.get("format", 1)
    if not isinstance(found, int) or not 1 <= found <= FORMAT:
        versions = stored.get("versions")
        version = versions.get("attn_nas", "a newer version") if isinstance(versions, dict) else "a newer version"
        raise RunError(
            f"{where} is a run of format {found}, made by attn-nas {version}; this version reads formats up to {FORMAT}: "
            "update attn-nas"
        )
    return stored


def upgraded(stored: object, where: object) -> dict[str, Any]:
    """The ``stored`` manifest of the run at ``where`` in the present format.

    Raises:
        RunError: the format is unknown, or the manifest is too damaged to be brought to the present one.

    """
    older = found = check_format(stored, where)
    try:
        for format_ in range(format_of(older), FORMAT):
            found = _MANIFEST_STEPS[format_](found)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise RunError(f"{where} is of format {format_of(older)} and cannot be brought to format {FORMAT}: {error}") from None
    return {**found, "format": FORMAT}


def has_older_trials(stored: _Manifest) -> bool:
    """Whether the trials of a run have to be changed as well as its manifest."""
    return any(format_ in _TRIAL_STEPS for format_ in range(format_of(stored), FORMAT))


def upgrade_trials(engine: Engine, study_id: int, stored: _Manifest) -> None:
    """Bring the trials of a study to the present format in one transaction."""
    with engine.begin() as connection:
        for format_ in range(format_of(stored), FORMAT):
            if format_ in _TRIAL_STEPS:
                _TRIAL_STEPS[format_](connection, study_id, stored)


def _manifest_to_2(manifest: _Manifest) -> _Manifest:
    return manifest


def _manifest_to_3(manifest: _Manifest) -> _Manifest:
    space = manifest["space"]
    limits, added = dict(space["limits"]), space["limits"].get("max_added_flops")
    limits.pop("max_added_flops", None)
    if added is not None:
        limits["max_flops"] = f"+{added}"
    objectives = {"costs": [space["objectives"]["cost"]]}
    return {
        **manifest,
        "space": {**space, "limits": limits, "objectives": objectives},
        "confirm": 0,
        "early_stopping": False,
    }


def _manifest_to_4(manifest: _Manifest) -> _Manifest:
    return {**manifest, "rules": {"decoding": 1, "split": 1, "digest": 0}}


def _manifest_to_5(manifest: _Manifest) -> _Manifest:
    return {**manifest, "rules": {**manifest["rules"], "augmentation": 1}, "classes": None, "digest": None}


def _trials_to_3(connection: Connection, study_id: int, manifest: _Manifest) -> None:
    trial, attribute = TrialModel.__table__.c, TrialUserAttributeModel.__table__.c
    results = select(attribute.trial_id, attribute.value_json).where(
        attribute.key == "result", attribute.trial_id == trial.trial_id, trial.study_id == study_id
    )
    described = select(attribute.trial_id).where(
        attribute.key == "genotype", attribute.trial_id == trial.trial_id, trial.study_id == study_id
    )
    seed = json.dumps(manifest["seed"])
    rows = [{"trial_id": each, "key": "seed", "value_json": seed} for (each,) in connection.execute(described)]
    for trial_id, result in connection.execute(results):
        rows.append({"trial_id": trial_id, "key": "curve", "value_json": json.dumps(json.loads(result)["curve"])})
    if rows:
        connection.execute(insert(TrialUserAttributeModel), rows)


_MANIFEST_STEPS: Mapping[int, Callable[[_Manifest], _Manifest]] = {
    1: _manifest_to_2,
    2: _manifest_to_3,
    3: _manifest_to_4,
    4: _manifest_to_5,
}
"""How the manifest of each older format becomes that of the next."""
_TRIAL_STEPS: Mapping[int, Callable[[Connection, int, _Manifest], None]] = {2: _trials_to_3}
"""How trials do, where they differ."""
