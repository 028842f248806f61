"""The choices that a user makes when a search begins: the first entries of the manifest, read without torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from attn_nas.errors import RunError, SpaceError
from attn_nas.plugins import registry as plugins
from attn_nas.space.metric import ACCURACY, Metric
from attn_nas.space.mistakes import dotted, mistakes_of
from attn_nas.space.objective import TrainingObjective
from attn_nas.space.schema import SearchSpace
from attn_nas.storage.formats import upgraded

_MOST_SHOWN = 60
"""Characters of a damaged value that a message shows."""
Count = Annotated[int, Field(ge=0, strict=True)]


class StoredSpace(BaseModel):
    """A search space as a run stores it; it is checked when it is loaded, since that runs its plug-ins."""

    model_config = ConfigDict(frozen=True, extra="allow")

    plugins: tuple[str, ...] = ()

    @classmethod
    def of(cls, space: SearchSpace) -> StoredSpace:
        """The stored form of ``space``."""
        return cls.model_validate(space.model_dump(mode="json"))

    def load(self, folder: Path) -> SearchSpace:
        """The search space, whose plug-ins are files of the run ``folder``; registers the plug-ins.

        Raises:
            SpaceError: this version, or this machine, cannot use it any more.

        """
        try:
            return SearchSpace.model_validate(self.to_dict(), context={"folder": folder})
        except ValidationError as error:
            reasons = "; ".join(f"{dotted(mistake.path)}: {mistake.text}" for mistake in mistakes_of(error, SearchSpace))
            raise SpaceError(f"the search space of {folder} cannot be used any more: {reasons}") from None

    def with_data_root(self, root: str | None) -> Self:
        """The same space whose data set has its files in the folder ``root``."""
        settings = self.to_dict()
        if settings.get("data") is None:
            return self
        return type(self).model_validate({**settings, "data": {**settings["data"], "root": root}})

    def with_files(self, plugins: Sequence[str], objective: str | None = None, model: str | None = None) -> Self:
        """The same space, which names its plug-ins, and the files of its objective and its network, by these paths.

        They are relative to the run's folder; None for code that no file has.
        """
        settings = {**self.to_dict(), "plugins": [*plugins]}
        for section, file in (("objective", objective), ("model", model)):
            if file is not None:
                settings[section] = {**settings[section], "file": file}
        return type(self).model_validate(settings)

    @property
    def objective(self) -> TrainingObjective | None:
        """The section ``objective``, with the file as the run names it; its code is not loaded."""
        objective = self.to_dict().get("objective")
        return TrainingObjective.model_validate(objective) if objective else None

    def with_metric(self, name: str | None) -> Self:
        """The same space, whose training maximises the score ``name``; None for accuracy."""
        if name is None:
            return self
        settings = self.to_dict()
        return type(self).model_validate({**settings, "proxy": {**settings["proxy"], "metric": name}})

    @property
    def metric(self) -> Metric:
        """The metric of the objective, or of our training."""
        if self.objective:
            return self.objective.shown_metric
        name = self.to_dict().get("proxy", {}).get("metric")
        return ACCURACY if name is None else Metric.of(name)

    @property
    def model_file(self) -> str | None:
        """Path of the file of the model in the run's folder; None for a trunk, or a model that no file makes."""
        model = self.to_dict().get("model")
        return model.get("file") if isinstance(model, dict) else None

    @property
    def unnamed_model(self) -> str | None:
        """The function of a network of the user's own that neither a file nor a module names; None for other spaces."""
        model = self.to_dict().get("model")
        named = not isinstance(model, dict) or model.get("file") or model.get("module")
        return None if named or not isinstance(model, dict) else str(model["function"])

    @property
    def trunk_name(self) -> str | None:
        """The trunk's family, or the function of a model of the user's own, if the space names one."""
        stored = self.to_dict()
        trunk, model = stored.get("trunk"), stored.get("model")
        if isinstance(model, dict) and "function" in model:
            return str(model["function"])
        return str(trunk["name"]) if isinstance(trunk, dict) and "name" in trunk else None

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as a search-space file has it."""
        return self.model_dump(mode="json")


def settings_with_sources(space: SearchSpace) -> dict[str, Any]:
    """The settings of ``space`` but for the place of its data, with the source text of its plug-ins, model and objective.

    The plug-ins must be those that were run last.
    """
    settings = space.model_dump(exclude={"data": {"root"}, "model": {"found"}})
    if space.objective and space.objective.code:
        settings["objective"]["file"] = space.objective.code.source()
    if space.model is not None and space.model.code is not None:
        settings["model"]["file"] = space.model.code.source()
    return {**settings, "plugins": [plugins.active_file(path).source for path in space.plugins]}


class RunChoices(BaseModel):
    """The choices of the user; ``budget`` is None where time alone ends the search."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    space_name: str
    space: StoredSpace
    seed: Count
    budget: Count | None
    confirm: Count
    early_stopping: bool

    def with_data_root(self, root: str | None) -> Self:
        """The same choices, with the folder ``root`` for the files of the data set."""
        return self.model_copy(update={"space": self.space.with_data_root(root)})

    def with_metric(self, name: str | None) -> Self:
        """The same choices, with the score ``name`` that our training maximises; None for accuracy."""
        return self.model_copy(update={"space": self.space.with_metric(name)})

    @classmethod
    def from_stored(cls, stored: object, where: object) -> Self:
        """The choices in the ``stored`` manifest of the run at ``where``, which may be of an older format.

        Raises:
            RunError: the format is unknown, or a choice is missing or not of its type.

        """
        entries = upgraded(stored, where)
        return cls._checked({name: entries[name] for name in cls.model_fields if name in entries}, where)

    @classmethod
    def _checked(cls, entries: Mapping[str, Any], where: object) -> Self:
        """The model of ``entries``; raises RunError with the first that is damaged."""
        try:
            return cls.model_validate(entries)
        except ValidationError as error:
            first = error.errors()[0]
            path, shown = ".".join(map(str, first["loc"])), repr(first["input"])
            value = "" if first["type"] == "missing" else f" = {shown[:_MOST_SHOWN]}{'...' * (len(shown) > _MOST_SHOWN)}"
            raise RunError(
                f"{where}: the manifest in its study is damaged, {path}{value}: {first['msg']}. "
                "Restore study.db, or begin a new run"
            ) from None
