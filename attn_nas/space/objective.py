"""The section ``objective`` of a search space: a training loop of the user's own, and the metric that it returns."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationInfo, field_validator

from attn_nas.errors import SpaceError
from attn_nas.plugins.user_code import UserCode
from attn_nas.space.fields import AS_INTEGER, Count, PathText, SettingsSection, Text, Truth, choice
from attn_nas.space.metric import Metric
from attn_nas.space.task import Task

Side = Annotated[int, Field(ge=1, le=65_536), AS_INTEGER]


class TrainingObjective(SettingsSection):
    """A function ``objective(model, trial)`` that trains a candidate in the place of our own training.

    It is named by ``file`` or ``module``, and ``function``; a program may give it as an object instead (`Search`).
    """

    file: PathText | None = Field(None, description="Python file with the function, relative to this file.")
    module: Text | None = Field(None, description="Module with the function, in the place of file: one that can be imported.")
    function: Text | None = Field(None, description="Name of the function in the file or the module.")
    metric: Text = Field("score", description="Name of the metric that the function returns, as it is shown everywhere.")
    direction: Annotated[Text, choice(("maximize", "minimize"))] | None = Field(
        None, description="Whether large or small values are good; by default what the name says (loss: minimize), or maximize."
    )
    bounded: Truth | None = Field(
        None,
        description="Whether values lie between 0 and 1, and are shown in %; by default what the name says (dice: true), else "
        "false.",
    )
    unit: Text | None = Field(None, description="Unit of the metric, where it is not shown in %.")
    example: Annotated[list[Side], Field(min_length=3, max_length=3)] | None = Field(
        None,
        description="Channels, height and width of an image, for costs; needed for a trunk of this package without data.",
    )
    classes: Count | None = Field(
        None, description="Number of outputs of the network; needed for a trunk of this package without data."
    )

    @field_validator("metric", "direction", "bounded", "unit", mode="after")
    @classmethod
    def _fits(cls, value: Any, info: ValidationInfo) -> Any:
        """Check each field of the metric as soon as it is there, so that a mistake is reported at its own key."""
        if value is not None:
            names = {"metric": "name"}
            before = {names.get(name, name): info.data.get(name) for name in ("metric", "direction", "bounded", "unit")}
            Metric.of({"name": "score", **{name: given for name, given in before.items() if given is not None},
                       names.get(str(info.field_name), str(info.field_name)): value})  # fmt: skip
        return value

    @field_validator("function", mode="after")
    @classmethod
    def _is_somewhere(cls, value: str | None, info: ValidationInfo) -> str | None:
        if "file" not in info.data or "module" not in info.data:
            return value
        file, module = info.data["file"], info.data["module"]
        if value is not None:
            if file is None and module is None:
                raise SpaceError("name the file or the module that has it")
            UserCode(file, module, value)
        return value

    @property
    def code(self) -> UserCode | None:
        """The function by its name; None if a program gives it."""
        return UserCode(self.file, self.module, self.function) if self.function is not None else None

    @cached_property
    def shown_metric(self) -> Metric:
        """The metric with its direction, bounds and unit."""
        return Metric.of({"name": self.metric, "direction": self.direction, "bounded": self.bounded, "unit": self.unit})

    @property
    def task(self) -> Task | None:
        """Shape of the images and number of outputs; None unless both are given."""
        if self.example is None or self.classes is None:
            return None
        channels, height, width = self.example
        return Task(channels, height, width, self.classes)

    def with_code(self, code: UserCode | None) -> TrainingObjective:
        """The same section with another function; None for one that has no name."""
        named = {} if code is None else code.to_dict()
        return self.model_copy(update={**dict.fromkeys(("file", "module", "function")), **named})

    def with_metric(self, metric: Metric) -> TrainingObjective:
        """The same section with another metric."""
        given = {"direction": metric.direction, "bounded": metric.bounded, "unit": metric.unit or None}
        return self.model_copy(update={"metric": metric.name, **given})

    def within(self, folder: Path) -> TrainingObjective:
        """The same section, whose file is relative to ``folder``."""
        return self if self.file is None else self.model_copy(update={"file": str((folder / self.file).resolve())})
