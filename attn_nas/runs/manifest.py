"""The manifest of a run: all that is fixed when it begins, as one typed value that never changes."""

from __future__ import annotations

import logging
import platform
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, Self

import torch
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    field_serializer,
)

from attn_nas.cost import CONVENTION, Cost
from attn_nas.data import Dataset, load_dataset
from attn_nas.data.rules import DataRules
from attn_nas.errors import DataError, RunError, UsageError
from attn_nas.runs.choices import RunChoices, settings_with_sources
from attn_nas.runs.data_identity import DataDigest, DataIdentity, Normalization
from attn_nas.runs.folder import RunFolder
from attn_nas.space.data_settings import DataSettings
from attn_nas.space.metric import Metric
from attn_nas.space.schema import SearchSpace
from attn_nas.space.task import Task
from attn_nas.storage.formats import FORMAT, upgraded
from attn_nas.training.device import Numerics
from attn_nas.version import __version__

logger = logging.getLogger(__name__)


def _without_defaults(kind: type[Any]) -> BeforeValidator:
    """Refuse a stored ``kind`` that lacks a field: defaults are those of new runs, not of stored ones."""

    def check(value: object) -> object:
        missing = [field.name for field in fields(kind) if isinstance(value, Mapping) and field.name not in value]
        if missing:
            raise ValueError(f"{', '.join(missing)} is missing")
        return value

    return BeforeValidator(check)


def _not_negative(cost: Cost) -> Cost:
    if min(cost.astuple()) < 0:
        raise ValueError(f"{cost} has a negative number")
    return cost


def _integer_or_float(value: object, handler: ValidatorFunctionWrapHandler) -> object:
    """A number as it was stored: counted costs stay integers."""
    return value if type(value) is int else handler(value)


_Number = Annotated[float, WrapValidator(_integer_or_float)]


class Versions(BaseModel):
    """Versions of the software that began a run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    attn_nas: str
    torch: str
    python: str

    @classmethod
    def here(cls) -> Versions:
        """Those of this process."""
        return cls(attn_nas=__version__, torch=torch.__version__, python=platform.python_version())


class RunManifest(RunChoices):
    """All that is fixed when a run begins; `resumed` makes that of a search that goes on.

    ``bare_cost`` is the cost of the trunk without attention, ``reference_point`` the worst score and costs that the hypervolume
    is measured from (the score is None for an unbounded metric: see `attn_nas.runs.beliefs.reference_point_of`), and
    ``flops_convention`` says in words how FLOPs are counted. ``classes`` are the names of the classes in the order of their
    labels; these and ``digest`` are None in runs of versions that kept none. A run whose objective brings its own data has no
    ``normalization`` either.
    """

    numerics: Annotated[Numerics, _without_defaults(Numerics)]
    task: Task
    normalization: Normalization | None
    classes: tuple[str, ...] | None
    digest: Annotated[DataDigest, _without_defaults(DataDigest)] | None
    bare_cost: Annotated[Cost, AfterValidator(_not_negative)]
    reference_point: Annotated[tuple[_Number | None, ...], Field(min_length=2, max_length=3)]
    flops_convention: str
    format: int
    versions: Versions
    rules: Annotated[DataRules, _without_defaults(DataRules)]

    @classmethod
    def begun(
        cls,
        choices: RunChoices,
        *,
        numerics: Numerics,
        dataset: Dataset | Task,
        bare_cost: Cost,
        reference_point: tuple[float | None, ...],
    ) -> RunManifest:
        """The manifest of a run that begins now, with the rules, the format and the versions of this process.

        Without a ``dataset`` its place is taken by the task that an objective trains for.
        """
        identity = DataIdentity(dataset, None, None, None) if isinstance(dataset, Task) else DataIdentity.of(dataset)
        return cls(
            **{name: getattr(choices, name) for name in RunChoices.model_fields},
            numerics=numerics,
            task=identity.task,
            normalization=identity.normalization,
            classes=identity.classes,
            digest=identity.digest,
            bare_cost=bare_cost,
            reference_point=reference_point,
            flops_convention=CONVENTION,
            format=FORMAT,
            versions=Versions.here(),
            rules=DataRules(),
        )

    @classmethod
    def from_stored(cls, stored: object, where: object) -> Self:
        """The manifest of the run at ``where`` from its ``stored`` entries, which may be of an older format.

        Raises:
            RunError: the format or a rule is of a later version, or an entry is missing, unknown or not of its type.

        """
        manifest = cls._checked(upgraded(stored, where), where)
        if manifest.rules.unknown:
            raise RunError(
                f"{where} was made by attn-nas {manifest.versions.attn_nas} with {', '.join(manifest.rules.unknown)}, which "
                "this version does not know: update attn-nas"
            )
        return manifest

    @classmethod
    def read(cls, folder: RunFolder) -> Self:
        """The manifest of a run folder, read without the trials; raises RunError."""
        return cls.from_stored(folder.study.stored_manifest(), folder.path)

    @field_serializer("task")
    def _without_usual(self, task: Task) -> dict[str, Any]:
        """The task as older versions stored it: what it shares with all tasks of classes is left out."""
        return {each.name: value for each in fields(task) if (value := getattr(task, each.name)) != each.default}

    def to_stored(self) -> dict[str, Any]:
        """The entries as a study stores them, as plain data."""
        return self.model_dump(mode="json")

    def check(self, where: Path, *, space: SearchSpace | None = None, seed: int | None = None) -> None:
        """Raise UsageError if the run in the folder ``where`` was begun with another space or seed; None is not checked.

        Raises:
            SpaceError: the stored space cannot be used any more.

        """
        if space is not None:
            given = settings_with_sources(space)  # before the plug-ins of the stored space take the place of its own
            if given != settings_with_sources(self.space.load(where)):
                raise UsageError(f"{where} was begun with another search space: leave the space out, or begin a new run")
        if seed is not None and seed != self.seed:
            raise UsageError(f"{where} was begun with seed {self.seed}: leave the seed out, or begin a new run")

    def resumed(
        self,
        *,
        budget: int | None = None,
        time_budget: float | None = None,
        confirm: int | None = None,
        early_stopping: bool | None = None,
    ) -> Self:
        """The manifest with which a search goes on; None keeps a choice.

        With a time budget alone there is no budget of trials.
        """
        return self.model_copy(
            update={
                "budget": budget or (self.budget if time_budget is None else None),
                "confirm": self.confirm if confirm is None else confirm,
                "early_stopping": self.early_stopping if early_stopping is None else early_stopping,
            }
        )

    def with_files(self, plugins: Sequence[str], objective: str | None = None, model: str | None = None) -> Self:
        """The manifest whose space names its plug-ins, and the files of its objective and its network, by these paths."""
        return self.model_copy(update={"space": self.space.with_files(plugins, objective, model)})

    @property
    def metric(self) -> Metric:
        """The metric that candidates are judged by."""
        return self.space.metric

    @property
    def data(self) -> DataIdentity:
        """The identity of the data set that the run was begun with."""
        return DataIdentity(self.task, self.normalization, self.classes, self.digest)

    def load_dataset(self, settings: DataSettings, *, download: bool = False) -> Dataset:
        """The data set that the run was begun with, read by its rules; ``settings`` are those of its space.

        What cannot be compared with the data of then is logged as a warning.

        Raises:
            DataError: it is missing, or has changed; the message says what.

        """
        dataset = load_dataset(settings, rules=self.rules, download=download)
        compared = self.data.compare(dataset)
        if compared.changes:
            about = "".join(f". {note}" for note in dataset.notes)  # such as files that cannot be read any more
            raise DataError(
                f"{dataset.name} is not the data set that the run was begun with: {'; '.join(compared.changes)}. Restore the "
                f"data, name their folder if they have moved, or begin a new run{about}"
            )
        for note in compared.notes:
            logger.warning(note)
        return dataset
