"""The values that a search needs before it begins: space, data, costs, references, numerics, manifest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from os import PathLike
from pathlib import Path

from attn_nas.cost import CostTable, Limits
from attn_nas.data import load_dataset
from attn_nas.data.dataset import Dataset
from attn_nas.data.own import OwnData, read_own
from attn_nas.data.root import located
from attn_nas.data.rules import DataRules
from attn_nas.data.transforms import check_transforms
from attn_nas.errors import SpaceError, UsageError
from attn_nas.runs.choices import RunChoices
from attn_nas.runs.folder import ARRAYS, RunFolder
from attn_nas.runs.manifest import RunManifest
from attn_nas.sampling.times import SLOWEST
from attn_nas.space.encoding import Encoding
from attn_nas.space.genotype import Genotype
from attn_nas.space.metric import ACCURACY
from attn_nas.space.references import reference_genotypes
from attn_nas.space.schema import TIMED, ProxySettings
from attn_nas.space.task import UNKNOWN, Task
from attn_nas.training import Numerics, numerics_here
from attn_nas.training.images import training_size
from attn_nas.training.own_model import check_logits
from attn_nas.training.pretrained import check_pretrained
from attn_nas.training.scores import metric_of
from attn_nas.training.train import check_steps


class Setting:
    """Everything that a search derives from its choices, its data and the machines that train.

    Args:
        choices: the choices for a new run, or the manifest of the run in ``folder`` that goes on. `manifest` is then that of
            the run. `space` names the folder where the files of the data set were found.
        folder: the run folder, where a stored space has its plug-ins; None for a new run whose folder is not chosen yet.
        device: ``"auto"``, ``"cpu"`` or ``"cuda"``; a run that goes on keeps its own.
        data_root: the folder where the files of the data set are, in the place of the one that the space names.
        download: whether missing data may be downloaded.
        own: data that a program has given for a new run, which are read into the folder ``arrays``.
        arrays: an empty folder that becomes the run's; needed with ``own`` alone.
        choose: asks the machines that train for their numerics, from a device and a precision.

    Raises:
        UsageError, SpaceError, DataError, DeviceError: the search is not possible; nothing was written.

    """

    def __init__(
        self,
        choices: RunChoices,
        folder: Path | None,
        *,
        device: str = "auto",
        data_root: str | PathLike[str] | None = None,
        download: bool = False,
        own: OwnData | None = None,
        arrays: Path | None = None,
        choose: Callable[[str, str], Numerics] = numerics_here,
    ) -> None:
        self.space = choices.space.load(folder or Path())
        self.numerics = self._numerics(choices, device, choose)
        kept = RunFolder(folder).kept_data_root if folder else None
        if own and arrays and self.space.data:
            self._dataset: Dataset | None = read_own(own, self.space.data, DataRules(), arrays)
            self.space = self.space.with_data_root(ARRAYS)
        else:
            self._dataset = self._load(choices, kept, data_root, download=download)
        self.encoding = Encoding(self.space)
        self.task = self._dataset.task if self._dataset else self._task_of_objective()
        if not self.space.objective:
            check_logits(self.encoding.trunk, self.task)
        if self.space.proxy.weights is not None:
            check_pretrained(Path(self.space.proxy.weights), self.encoding.trunk, self.task)
        self.table = CostTable(self.encoding.trunk, self.task)
        self._check_objective() if self.space.objective else self._check_training()
        self.references: dict[str, Genotype] = reference_genotypes(self.space, self.encoding)
        self.limits = Limits.of(self.space.limits, self.table.bare)
        self.manifest = self._resumed(choices) if isinstance(choices, RunManifest) else self._begun(choices)

    @property
    def dataset(self) -> Dataset:
        """The data set; raises UsageError where an objective brings its own."""
        return load_dataset(None) if self._dataset is None else self._dataset

    def moved(self, dataset: Dataset) -> None:
        """Take ``dataset``, which has the same images at another place."""
        self._dataset = dataset

    @property
    def about_data(self) -> str:
        """Describes the data set; that it belongs to the objective, if the space names none."""
        return str(self._dataset) if self._dataset else f"data of the objective, {self.task}"

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences about the data set that a user should read."""
        return self._dataset.notes if self._dataset else ()

    def _load(
        self, choices: RunChoices, kept: str | None, data_root: str | PathLike[str] | None, *, download: bool
    ) -> Dataset | None:
        """The data set, whose folder `space` names then; None where an objective brings its own.

        Raises UsageError for a space without data, and DataError.
        """
        if self.space.data is None:
            return None if self.space.objective else load_dataset(None)
        found = located(self.space.data, data_root, kept=kept, download=download)
        self.space = self.space.with_data_root(found.root)
        if isinstance(choices, RunManifest):
            return choices.load_dataset(found, download=download)
        return load_dataset(found, download=download)

    def _task_of_objective(self) -> Task:
        """The task that the space says; raises SpaceError if it says none."""
        objective, model = self.space.objective, self.space.model
        if objective and model:
            channels, height, width = model.example
            return Task(channels, height, width, objective.classes or UNKNOWN)
        task = objective.task if objective else None
        if task is None:
            raise SpaceError(
                "objective.example and objective.classes are missing: give the shape of an image, such as [3, 64, 64], and the "
                "number of outputs of the network, or name data"
            )
        return task

    def _check_objective(self) -> None:
        """Raise SpaceError if an objective cannot give the costs of the front."""
        if timed := [axis for axis in self.space.objectives.costs if axis in TIMED]:
            raise SpaceError(
                f"objectives.costs = {timed[0]}: times are measured by our own training; with an objective of your own choose "
                "flops, macs or params"
            )

    def _check_training(self) -> None:
        """Check the recipe against the data, and name the metric that it has by default in `space`.

        Raises:
            DataError: there are too few images, or the task has no such metric.
            SpaceError: the trunk cannot take the smallest images, or a transform does not exist.

        """
        check_transforms(self.dataset.augmentation.transforms)
        name = metric_of(self.space.proxy, self.dataset.task)
        if name != ACCURACY.name and self.space.proxy.metric is None:
            self.space = self.space.with_training(metric=name)
        check_steps(self.space.proxy, len(self.dataset.train))
        share, epochs = self.space.proxy.initial_resolution, self.space.proxy.epochs
        task = self.dataset.task
        height, width = training_size((task.height, task.width), share, 0, epochs)
        if (height, width) != (task.height, task.width):
            try:
                CostTable(self.encoding.trunk, replace(task, height=height, width=width))
            except SpaceError as error:
                raise SpaceError(f"proxy.initial_resolution = {share}: {error}") from None

    @property
    def training(self) -> ProxySettings:
        """The recipe of the trainings; an objective trains all epochs itself, from a fresh trunk."""
        proxy = self.space.proxy
        return proxy.model_copy(update={"warm_epochs": 0}) if self.space.objective else proxy

    @property
    def reference_names(self) -> dict[str, str]:
        """Names of the references by key."""
        return {genotype.key: name for name, genotype in self.references.items()}

    @property
    def affordable_references(self) -> list[Genotype]:
        """The references within the limits."""
        return [genotype for genotype in self.references.values() if self.affordable(genotype)]

    def affordable(self, genotype: Genotype) -> bool:
        """Whether ``genotype`` is within the limits."""
        return self.limits.allow(self.table.cost(genotype))

    def _numerics(self, choices: RunChoices, device: str, choose: Callable[[str, str], Numerics]) -> Numerics:
        if not isinstance(choices, RunManifest):
            return choose(device, "fp32" if self.space.objective else self.space.proxy.precision)
        stored = choices.numerics
        if device not in ("auto", stored.device):
            raise UsageError(f"the run was begun on {stored.device}: leave the device {device} out, or begin a new run")
        choose(stored.device, "auto")
        return stored

    def _begun(self, choices: RunChoices) -> RunManifest:
        return RunManifest.begun(
            choices.with_data_root(self.space.data.root if self.space.data else None).with_metric(self.space.proxy.metric),
            numerics=self.numerics,
            dataset=self._dataset or self.task,
            bare_cost=self.table.bare,
            reference_point=(self._floor, *map(self._dearest, self.space.objectives.costs)),
        )

    @property
    def _floor(self) -> float | None:
        """The score of a useless network; None for an unbounded metric, where the references will say it."""
        metric = self.space.metric
        if metric == ACCURACY and self._dataset:
            return self.task.chance
        return 0.0 if metric.bounded else None

    def _resumed(self, manifest: RunManifest) -> RunManifest:
        if manifest.bare_cost != self.table.bare:
            raise UsageError("costs are counted in another way than when the run was begun: begin a new run")
        return manifest

    def _dearest(self, axis: str) -> float:
        """Largest cost on ``axis`` within the space and the limits; for times, which are not known before, a large number."""
        if axis in TIMED:
            return SLOWEST
        return int(min(self.table.highest_cost(self.encoding, axis), self.limits.most(axis)))
