"""The schema of a search-space file, in the order of the file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from os import PathLike, fspath
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import BeforeValidator, ConfigDict, Field, ValidationError, ValidationInfo, field_validator, model_validator

from attn_nas.attention.mechanism import Mechanism
from attn_nas.errors import SpaceError
from attn_nas.plugins import registry as plugins
from attn_nas.space.data_settings import DataSettings
from attn_nas.space.fields import (
    AS_INTEGER,
    AS_NUMBER,
    Epochs,
    Fraction,
    Integer,
    Number,
    PathText,
    Problem,
    SettingsSection,
    Text,
    choice,
    refuse,
    suggested,
)
from attn_nas.space.keywords import UNUSED_PROXY, expanded, named
from attn_nas.space.limits import Limit
from attn_nas.space.mechanism_settings import MechanismSettings
from attn_nas.space.metric import ACCURACY, Metric
from attn_nas.space.model_settings import ModelSettings
from attn_nas.space.objective import TrainingObjective
from attn_nas.space.refusals import refusal
from attn_nas.space.trunks import MAX_CHANNELS, AnyTrunk, Trunk, get_family, trunk_names
from attn_nas.space.values import number

CostAxis = Literal["flops", "macs", "params", "step_time", "latency"]
TIMED: Mapping[str, str] = {"step_time": "step_ratio", "latency": "latency_1_ratio"}
"""Costs that are measured, and the field of a step profile with their value."""
Granularity = Literal["per_block", "per_stage"]
Precision = Literal["auto", "fp32", "bf16"]
Averaging = Literal["none", "ema", "last"]
Optimizer = Literal["sgd", "adamw"]
Schedule = Literal["one_cycle", "cosine", "constant"]
MetricName = Literal["accuracy", "balanced_accuracy", "top5", "mean_ap", "mean_iou"]


def _family(value: object) -> object:
    return get_family(value).name if isinstance(value, str) else value


_ADDED = ("optimizer", "schedule", "metric", "class_weights", "weights")
"""Settings of a training that runs of format 5 and older do not have."""


def _class_weights(value: object) -> object:
    if isinstance(value, list | tuple):
        found = [*map(number, value)]
        if not found or min(found) <= 0:
            raise SpaceError("write a positive number for each class")
        return found
    if value not in ("none", "balanced"):
        raise SpaceError("write none, balanced, or a list with a positive number for each class")
    return value


class TrunkSettings(SettingsSection):
    """The convolutional network whose blocks receive attention."""

    name: Annotated[Text, BeforeValidator(_family)] = Field(
        description="Family of the trunk.", json_schema_extra=suggested(trunk_names)
    )
    depth: Integer | None = Field(
        None,
        validate_default=True,
        description="Number of weighted layers, as in ResNet-20; by default the only depth of the family.",
    )
    width: Annotated[int, Field(ge=1, le=MAX_CHANNELS), AS_INTEGER] | None = Field(
        None, description="Channels of the first stage; by default the family's published width."
    )

    @field_validator("depth")
    @classmethod
    def _exists(cls, depth: int | None, info: ValidationInfo) -> int | None:
        if "name" in info.data:
            family = get_family(info.data["name"])
            depth = family.default_depth if depth is None else depth
            if depth is None:
                raise SpaceError(f"{family.name} needs a depth: choose from {family.depths}")
            Trunk(family.name, depth, family.default_width)
        return depth

    def trunk(self) -> Trunk:
        """The trunk of these settings."""
        assert self.depth is not None
        return Trunk(self.name, self.depth, self.width or get_family(self.name).default_width)


class LimitSettings(SettingsSection):
    """Largest cost of a candidate: a total (45M), or an addition to the bare trunk (+200k, +5%); checked before training."""

    max_flops: Limit | None = Field(None, description="Complete FLOPs, in multiply-adds.")
    max_params: Limit | None = Field(None, description="Number of parameters.")


class ProxySettings(SettingsSection):
    """The short training run that scores a candidate."""

    epochs: Epochs = Field(description="Number of passes over the training images.")
    batch_size: Annotated[int, Field(ge=2), AS_INTEGER] = Field(description="Number of images of one training step.")
    lr: Number = Field(gt=0, description="Peak learning rate of the schedule.")
    momentum: Fraction = Field(0.9, description="Nesterov momentum; for adamw the decay of the mean gradient.")
    weight_decay: Number = Field(
        5e-4, ge=0, description="Weight decay of matrices and filters; not applied to norms and biases."
    )
    warmup: Annotated[float, Field(gt=0, lt=1), AS_NUMBER] = Field(
        0.25, description="Fraction of the steps in which the learning rate rises."
    )
    label_smoothing: Fraction = Field(0.0, description="Fraction of the target that is spread over all classes.")
    averaging: Annotated[Averaging, choice(get_args(Averaging))] = Field(
        "none",
        description="Weights to score: the final ones, an exponential moving average, or the mean of the last steps.",
    )
    averaging_epochs: Number = Field(0.5, gt=0, description="Half-life of ema, or span of last, in epochs.")
    initial_resolution: Annotated[float, Field(ge=0.25, le=1), AS_NUMBER] = Field(
        1.0, description="Side of the images in the first epoch, as a fraction; it reaches 1 at two thirds of the epochs."
    )
    warm_epochs: Annotated[int, Field(ge=0), AS_INTEGER] = Field(
        0,
        description="First epochs in which the bare trunk is trained, once per seed; candidates start from its weights.",
    )
    precision: Annotated[Precision, choice(get_args(Precision))] = Field(
        "auto",
        description="Arithmetic of the forward pass; auto is bf16 if the hardware supports it, else fp32.",
    )
    optimizer: Annotated[Optimizer, choice(get_args(Optimizer))] = Field(
        "sgd", description="SGD with Nesterov momentum, or AdamW, the usual choice for pretrained weights and for ConvNeXt."
    )
    schedule: Annotated[Schedule, choice(get_args(Schedule))] = Field(
        "one_cycle",
        description="Learning rate: one_cycle rises and falls along a cosine; cosine rises in a line and falls along a cosine; "
        "constant stays at its peak after the warm-up.",
    )
    metric: Annotated[MetricName, choice(get_args(MetricName))] | None = Field(
        None,
        description="Score that the search maximises: accuracy, balanced_accuracy or top5; mean_ap (mean average precision) "
        "for several labels per image; mean_iou or accuracy for segmentation. By default accuracy, mean_ap, mean_iou.",
    )
    class_weights: Annotated[Literal["none", "balanced"] | list[float], BeforeValidator(_class_weights)] = Field(
        "none",
        description="Weights of the classes in the loss: none, balanced (in reverse proportion to their images), or a list "
        "with one number per class.",
    )
    weights: PathText | None = Field(
        None,
        description="A safetensors file of trunk weights that all candidates start from, relative to this file; without it all "
        "weights are drawn at random. Mechanisms with identity_init then begin as the pretrained network.",
    )

    @field_validator("warm_epochs")
    @classmethod
    def _leaves_epochs(cls, value: int, info: ValidationInfo) -> int:
        if value and value >= info.data.get("epochs", value + 1):
            raise SpaceError(f"candidates need an epoch: choose less than the {info.data['epochs']} of proxy.epochs")
        return value

    @property
    def identity(self) -> str:
        """All settings as JSON; those that later versions have added are left out while they have their defaults."""
        fields = type(self).model_fields
        usual = {name for name in _ADDED if getattr(self, name) == fields[name].default}
        return self.model_dump_json(exclude=usual)

    @field_validator("weights")
    @classmethod
    def _one_beginning(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None and info.data.get("warm_epochs"):
            raise SpaceError("candidates start from the weights or from a warmed trunk: set proxy.warm_epochs to 0")
        return value


class ObjectiveSettings(SettingsSection):
    """The costs of the Pareto front, minimised while accuracy (or the metric of ``objective``) is improved.

    ``flops``, ``macs`` and ``params`` are counted before training; ``step_time`` (of a training step) and ``latency`` (of one
    image) are measured as ratios to the bare trunk.
    """

    costs: list[Annotated[CostAxis, choice(get_args(CostAxis))]] = Field(
        ["flops"], min_length=1, max_length=2, description="One or two costs to minimise."
    )

    @field_validator("costs")
    @classmethod
    def _differ(cls, costs: list[CostAxis]) -> list[CostAxis]:
        if len(set(costs)) < len(costs):
            raise SpaceError(f"{costs[0]} appears twice")
        return costs


def _without_null(schema: dict[str, Any]) -> None:
    """Let a file name its data: null stands for data that a program gives."""
    schema.update(schema.pop("anyOf")[0])
    schema.pop("default", None)


def _one_network(schema: dict[str, Any]) -> None:
    """Let a file name either a trunk or a model."""
    schema["description"] = "A search space: network, data, mechanisms and the training that scores candidates."
    schema["oneOf"] = [{"required": ["trunk"]}, {"required": ["model"]}]


class SearchSpace(SettingsSection):
    """A search space: trunk, mechanisms, limits, data, and the training that scores candidates.

    Built from the keywords below or from a YAML file (`load_space`); both give equal values for equal content. Keywords take
    short forms: a trunk or a data set by its name, mechanisms by their names, and the limits at the top. ::

        SearchSpace(trunk="resnet18", mechanisms=["se", "eca", "cbam"], max_flops="+5%")

    Args:
        trunk: a family with its depth (``"resnet18"``), a family that has a single depth (``"mobilenet_v2"``), a `Trunk`, or
            a mapping with ``name``, ``depth`` and ``width`` (channels of the first stage).
        model: a network of your own in the place of a trunk: the function or the class that makes it, ``"FILE.py:FUNCTION"``,
            or a mapping with ``file`` or ``module``, ``function`` and ``arguments``. It is made anew for every candidate.
        example: shape ``(channels, height, width)`` of an input of the model.
        sites: patterns of names of the modules that may receive attention; the repeated blocks by default (see
            `attn_nas.sites`).
        mechanisms: names, `Mechanism` records, or mappings with ``name``, ``reductions``, ``kernel_sizes``, ``groups``,
            ``positions`` and ``identity_init``.
        max_flops: largest complete FLOPs of a candidate in multiply-adds: a total (``45_000_000``, ``"45M"``), an added
            number (``"+200k"``), or an added share of the bare trunk's (``"+5%"``).
        max_params: largest number of parameters, in the same forms.
        data: the name of a data set, or a mapping with ``name``, ``root``, ``num_train``, ``augment`` and so on; None where
            the data are given later (`with_data`).
        granularity: ``"per_block"`` or ``"per_stage"`` (all blocks of a stage share one choice).
        limits: a mapping with ``max_flops`` and ``max_params``.
        proxy: the training that scores a candidate, as a mapping; 12 epochs with batches of 64 by default.
        objectives: a mapping with ``costs``, the one or two quantities to minimise; ``flops`` by default.
        objective: a training loop of your own: ``"train.py:objective"``, or a mapping with ``file``, ``function``, ``metric``,
            ``direction`` and so on. `Search` takes the function itself.
        example: channels, height and width of an image, where an objective trains a trunk of this package without ``data``.
        classes: number of outputs of the network in that case.
        plugins: Python files, relative to the working folder, that register mechanisms and trunks; they are run.

    Raises:
        SpaceError: an unknown keyword (with the nearest valid one), or values that cannot be used; each mistake is on a line
            of its own as ``path = value: how to correct it``.

    """

    model_config = ConfigDict(json_schema_extra=_one_network)

    plugins: list[PathText] = Field(
        [], description="Python files, relative to this file, that register your own mechanisms and trunks."
    )
    model: ModelSettings | None = Field(
        None, description="A network of your own, in the place of a trunk.", json_schema_extra=_without_null
    )
    trunk: TrunkSettings | None = Field(
        None,
        validate_default=True,
        description="The convolutional network whose blocks receive attention.",
        json_schema_extra=_without_null,
    )
    data: DataSettings | None = Field(None, json_schema_extra=_without_null)
    mechanisms: list[MechanismSettings] = Field(
        min_length=1, description="The mechanisms that a block may receive; no mechanism is always a choice."
    )
    granularity: Annotated[Granularity, choice(get_args(Granularity))] = Field(
        "per_block", description="One choice for every block (per_block), or one for all blocks of a stage (per_stage)."
    )
    limits: LimitSettings = LimitSettings.model_validate({})
    proxy: ProxySettings
    objectives: ObjectiveSettings = ObjectiveSettings.model_validate({})
    objective: TrainingObjective | None = Field(
        None,
        json_schema_extra=_without_null,
        description="A training loop of your own, in the place of ours; of the section proxy it uses epochs alone.",
    )

    def __init__(
        self,
        *,
        trunk: str | Trunk | TrunkSettings | Mapping[str, Any] | None = None,
        model: Callable[..., Any] | ModelSettings | Mapping[str, Any] | str | None = None,
        example: Any = None,
        sites: Sequence[str] | None = None,
        mechanisms: Sequence[str | Mechanism | MechanismSettings | Mapping[str, Any]] | None = None,
        max_flops: int | str | None = None,
        max_params: int | str | None = None,
        data: str | DataSettings | Mapping[str, Any] | None = None,
        granularity: Granularity | None = None,
        limits: LimitSettings | Mapping[str, Any] | None = None,
        proxy: ProxySettings | Mapping[str, Any] | None = None,
        objectives: ObjectiveSettings | Mapping[str, Any] | None = None,
        objective: str | TrainingObjective | Mapping[str, Any] | None = None,
        classes: int | None = None,
        plugins: Sequence[str | PathLike[str]] | None = None,
        **unknown: Any,
    ) -> None:
        keywords = {
            "plugins": plugins,
            "model": model,
            "example": example,
            "sites": sites,
            "trunk": trunk,
            "data": data,
            "mechanisms": mechanisms,
            "granularity": granularity,
            "limits": limits,
            "max_flops": max_flops,
            "max_params": max_params,
            "proxy": proxy,
            "objectives": objectives,
            "objective": objective,
            "classes": classes,
            **unknown,
        }
        values = expanded(keywords, type(self))
        try:
            self.__pydantic_validator__.validate_python(values, self_instance=self, context={"named": True})
        except ValidationError as error:
            raise refusal(error, type(self), values) from None

    # As of pydantic's own __init__: `model_validate` checks a mapping (of a file, of a run) without calling it.
    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]

    def with_data(self, data: str | DataSettings | Mapping[str, Any]) -> SearchSpace:
        """The same space on other data, given by name or as a mapping with ``name``, ``root`` and so on.

        Raises:
            SpaceError: no such data set, or a wrong setting of it.

        """
        return self.model_copy(update={"data": _section(DataSettings, "data", named(data))})

    @property
    def metric(self) -> Metric:
        """The metric that candidates are judged by: that of the objective, or of our training."""
        if self.objective:
            return self.objective.shown_metric
        return ACCURACY if self.proxy.metric is None else Metric.of(self.proxy.metric)

    @staticmethod
    def objective_of(value: Any) -> TrainingObjective:
        """The section ``objective`` of a mapping; raises SpaceError for a wrong one."""
        return _section(TrainingObjective, "objective", value)

    def with_objective(self, objective: TrainingObjective) -> SearchSpace:
        """The same space, whose candidates are trained by a function of the user."""
        return self.model_copy(update={"objective": objective})

    def with_data_root(self, root: str | PathLike[str] | None) -> SearchSpace:
        """The same space, whose data set has its files in the folder ``root``; a space without data stays as it is."""
        if self.data is None:
            return self
        changed = self.data.model_copy(update={"root": None if root is None else fspath(root)})
        return self.model_copy(update={"data": changed})

    def with_limits(self, *, max_flops: int | str | None = None, max_params: int | str | None = None) -> SearchSpace:
        """The same space with other limits; None keeps a limit.

        Raises:
            SpaceError: a limit that is neither a total (``"45M"``) nor an addition (``"+200k"``, ``"+5%"``).

        """
        given = {name: value for name, value in (("max_flops", max_flops), ("max_params", max_params)) if value is not None}
        limits = {**self.limits.model_dump(), **given}
        return self.model_copy(update={"limits": _section(LimitSettings, "limits", limits)})

    def with_training(self, **changes: Any) -> SearchSpace:
        """The same space with other values of ``proxy``, by name, as in ``with_training(epochs=30, precision="fp32")``.

        Raises:
            SpaceError: an unknown name, a wrong value, or batches too small for a mechanism of the space.

        """
        proxy = _section(ProxySettings, "proxy", {**self.proxy.model_dump(), **changes})
        values = {**dict(self), "proxy": proxy, "plugins": []}
        try:
            type(self).model_validate(values)
        except ValidationError as error:
            raise refusal(error, type(self), values) from None
        return self.model_copy(update={"proxy": proxy})

    @model_validator(mode="before")
    @classmethod
    def _with_unused(cls, values: Any) -> Any:
        """Fill in the keys of ``proxy`` that a file may leave out, for an objective uses its epochs alone."""
        if isinstance(values, Mapping) and values.get("objective") and isinstance(values.get("proxy"), Mapping):
            return {**values, "proxy": {**UNUSED_PROXY, **values["proxy"]}}
        return values

    @property
    def network(self) -> AnyTrunk:
        """The network whose blocks receive attention: the trunk, or the network of the user's own."""
        if self.model is not None:
            return self.model.host()
        assert self.trunk is not None
        return self.trunk.trunk()

    @field_validator("trunk")
    @classmethod
    def _one_of_both(cls, value: TrunkSettings | None, info: ValidationInfo) -> TrunkSettings | None:
        if "model" in info.data and (value is None) == (info.data["model"] is None):
            raise SpaceError("this key is missing" if value is None else "leave it out: there is a model of your own")
        return value

    @field_validator("plugins")
    @classmethod
    def _loaded(cls, values: list[str], info: ValidationInfo) -> list[str]:
        folder = Path((info.context or {}).get("folder", "."))
        paths = [(folder / value).resolve() for value in values]
        if len({path.stem for path in paths}) < len(paths):
            raise SpaceError("two plug-ins have the same file name: rename one")
        named = bool((info.context or {}).get("named"))
        for path in paths:
            plugins.load_file(path, named=named)
        return [str(path) for path in paths]

    @field_validator("objective")
    @classmethod
    def _in_folder(cls, value: TrainingObjective | None, info: ValidationInfo) -> TrainingObjective | None:
        return value and value.within(Path((info.context or {}).get("folder", ".")))

    @field_validator("mechanisms")
    @classmethod
    def _fit(cls, values: list[MechanismSettings], info: ValidationInfo) -> list[MechanismSettings]:
        if "trunk" not in info.data or "model" not in info.data:
            return values
        if info.data["model"] is not None:
            trunk: AnyTrunk = info.data["model"].host()
            values = [value.with_positions_of(trunk) for value in values]
        else:
            trunk = info.data["trunk"].trunk()
        found: list[Problem] = []
        for index, value in enumerate(values):
            found += [((index, *where), why) for where, why in value.problems(trunk)]
            if value.mechanism.groups and not value.groups and not value.legal_groups(trunk):
                choices = ", ".join(map(str, value.mechanism.groups))
                found.append(
                    ((index, "name"), f"{value.name} has no number of groups for {trunk}: none of {choices} divides it")
                )
            if not any(position in site.positions for site in trunk.sites for position in value.legal_positions):
                found.append(((index, "name"), f"{value.name} has no site in {trunk} at {', '.join(value.legal_positions)}"))
        refuse(found)
        return values

    @field_validator("proxy")
    @classmethod
    def _batches_are_large_enough(cls, value: ProxySettings, info: ValidationInfo) -> ProxySettings:
        needs = {settings.name: settings.mechanism.min_batch for settings in info.data.get("mechanisms", ())}
        refuse(
            [
                (("batch_size",), f"{name} cannot be trained on batches of less than {least}: choose {least} or more")
                for name, least in needs.items()
                if value.batch_size < least
            ]
        )
        return value

    @field_validator("mechanisms")
    @classmethod
    def _once(cls, values: list[MechanismSettings]) -> list[MechanismSettings]:
        names = [value.name for value in values]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise SpaceError(f"{', '.join(repeated)} appears twice")
        return values


_AnySection = TypeVar("_AnySection", bound=SettingsSection)


def _section(model: type[_AnySection], key: str, value: Any) -> _AnySection:
    """The settings of one section of a space; raises SpaceError."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise refusal(error, model, value, (key,)) from None


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a search-space file."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **SearchSpace.model_json_schema()}
