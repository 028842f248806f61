"""Finds the objective of a search: given as a function, named by its space, or kept in the run that goes on."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attn_nas.errors import UsageError
from attn_nas.plugins.user_code import UserCode
from attn_nas.runs.manifest import RunManifest
from attn_nas.space.metric import Metric
from attn_nas.space.objective import TrainingObjective
from attn_nas.space.schema import SearchSpace
from attn_nas.training.objective import Objective, ObjectiveSource

GivenObjective = Objective | str | UserCode | Mapping[str, Any]
"""A function, its name ``"train.py:objective"``, or a mapping with the keys of the YAML's section ``objective``."""


def begun_objective(
    space: SearchSpace, given: GivenObjective | None, metric: str | Metric | Mapping[str, Any] | None
) -> tuple[SearchSpace, ObjectiveSource | None]:
    """The ``space`` of a new search with its objective and metric, and where the function comes from; None without one.

    A file is read now, and run unless the function is ``given`` as an object.

    Raises:
        UsageError: an objective or a metric that cannot be used, or a metric without an objective.
        SpaceError: a wrong key of the objective, or its code cannot be loaded.

    """
    section = space.objective
    function: Objective | None = None
    if isinstance(given, str | UserCode):
        section = (section or TrainingObjective()).with_code(UserCode.from_value(given).within(Path()))
    elif isinstance(given, Mapping):
        before = {} if section is None else section.model_dump(exclude_none=True)
        section = SearchSpace.objective_of({**before, **given}).within(Path())
    elif callable(given):
        function = given
        section = (section or TrainingObjective()).with_code(UserCode.of(given))
    elif given is not None:
        raise UsageError(f'objective = {given!r}: give a function of (model, trial), or its name "FILE.py:NAME"')
    if section is None:
        if metric is not None:
            raise UsageError(f"metric = {metric!r}: it is the metric of an objective; give the objective as well")
        return space, None
    if metric is None and section.metric == TrainingObjective().metric:
        metric = getattr(given, "monitor", None)
    if metric is not None:
        section = section.with_metric(Metric.of(metric))
    code = section.code
    source = ObjectiveSource(code and code.read(named=True), function)
    if code is None and function is None:
        raise UsageError(
            "no objective is given: give the function, or name it in the space (objective.file, objective.function)"
        )
    _check_arguments(source)
    return space.with_objective(section), source


def resumed_objective(manifest: RunManifest, folder: Path, given: GivenObjective | None) -> ObjectiveSource | None:
    """Where the objective of the run in ``folder`` comes from; None for a run without one.

    Raises:
        UsageError: the run needs another objective than the ``given`` one, or one that is given.
        SpaceError: its code cannot be loaded, or is not trusted.

    """
    stored = manifest.space.objective
    if stored is None:
        if given is not None:
            raise UsageError(f"{folder} was begun without an objective: leave it out, or begin a new run")
        return None
    code = stored.within(folder).code
    if given is None and code is None:
        raise UsageError(
            f"{folder} was begun with an objective that has no name (a lambda, a closure or a cell of a notebook): give it "
            "again, as in Search.load(run, objective=...)"
        )
    if given is None or code is None:
        source = ObjectiveSource(code and code.read(), given if callable(given) else None)
        if code is None and not callable(given):
            source = ObjectiveSource(UserCode.from_value(given).within(Path()).read(named=True), None)
    else:
        own = UserCode.of(given) if callable(given) else UserCode.from_value(given).within(Path())
        if own is None or (own.name, own.module) != (code.name, code.module) or own.source() != code.source():
            raise UsageError(f"{folder} keeps its objective, {code.text}, which differs: leave yours out, or begin a new run")
        source = ObjectiveSource(own.read(named=True), given if callable(given) else None)
    _check_arguments(source)
    return source


def _check_arguments(source: ObjectiveSource) -> None:
    """Raise UsageError unless the objective can be called with a model and a trial."""
    function = source.load()
    try:
        inspect.signature(function).bind(None, None)
    except TypeError as error:
        raise UsageError(f"the objective {source.name} must take (model, trial): {error}") from None
    except ValueError:
        pass  # a function without a signature, such as one of C
