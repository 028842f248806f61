"""What is fixed when a run begins, and how a resumed search finds it again."""

from __future__ import annotations

import platform
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import ValidationError

from attn_nas import plugins
from attn_nas.cost import CONVENTION, CostTable, Limits
from attn_nas.data import Dataset, load_dataset
from attn_nas.errors import DataError, SpaceError, UsageError
from attn_nas.proxy import Numerics, numerics_here
from attn_nas.proxy.images import channel_statistics, training_size
from attn_nas.proxy.train import check_steps
from attn_nas.sampling.times import SLOWEST
from attn_nas.space.encoding import Encoding
from attn_nas.space.genotype import Genotype
from attn_nas.space.references import reference_genotypes
from attn_nas.space.schema import TIMED, SearchSpace
from attn_nas.study.storage.formats import FORMAT
from attn_nas.version import __version__


class Setting:
    """Everything a search needs that follows from its settings, its data and this machine.

    ``facts`` is the document that the run in ``folder`` keeps: given as it was begun, it comes back unchanged but for the
    budget, the confirmations and early stopping. ``choose`` asks the machines that train for device and precision.

    Raises:
        UsageError, SpaceError, DataError, DeviceError: it cannot be searched; nothing was written.

    """

    def __init__(
        self,
        facts: dict[str, Any],
        folder: Path,
        *,
        device: str = "auto",
        precision: str | None = None,
        download: bool = False,
        choose: Callable[[str, str], Numerics] = numerics_here,
    ) -> None:
        self.space = stored_space(facts, folder)
        self.numerics = self._numerics(facts, device, precision, choose)
        self.dataset: Dataset = load_dataset(self.space.data, download=download)
        check_steps(self.space.proxy, len(self.dataset.train))
        self.encoding = Encoding(self.space)
        self.table = CostTable(self.encoding.trunk, self.dataset.task)
        self._check_resolution()
        self.references: dict[str, Genotype] = reference_genotypes(self.space, self.encoding)
        self.limits = Limits.of(self.space.limits, self.table.bare)
        self.facts = self._resumed(facts) if "task" in facts else {**facts, **self._begun()}

    def _check_resolution(self) -> None:
        """Raise SpaceError if the trunk cannot take the smallest training images."""
        share, epochs = self.space.proxy.initial_resolution, self.space.proxy.epochs
        task = self.dataset.task
        height, width = training_size((task.height, task.width), share, 0, epochs)
        if (height, width) != (task.height, task.width):
            try:
                CostTable(self.encoding.trunk, replace(task, height=height, width=width))
            except SpaceError as error:
                raise SpaceError(f"proxy.initial_resolution = {share}: {error}") from None

    @property
    def affordable_references(self) -> list[Genotype]:
        """The references within the limits."""
        return [genotype for genotype in self.references.values() if self.affordable(genotype)]

    def affordable(self, genotype: Genotype) -> bool:
        """Whether ``genotype`` is within the limits."""
        return self.limits.allow(self.table.cost(genotype))

    def _numerics(
        self, facts: dict[str, Any], device: str, precision: str | None, choose: Callable[[str, str], Numerics]
    ) -> Numerics:
        if "numerics" not in facts:
            return choose(device, precision or self.space.proxy.precision)
        stored = Numerics.from_dict(facts["numerics"])
        if device not in ("auto", stored.device):
            raise UsageError(f"the run was begun on {stored.device}: leave --device {device} out, or begin a new run")
        if precision not in (None, "auto", stored.precision):
            raise UsageError(f"the run was begun in {stored.precision}: leave --precision {precision} out, or begin a new run")
        choose(stored.device, "auto")
        return stored

    def _begun(self) -> dict[str, Any]:
        return {
            "numerics": self.numerics.to_dict(),
            **_described(self.dataset),
            "bare_cost": self.table.bare.to_dict(),
            "reference_point": [self.dataset.task.chance, *map(self._dearest, self.space.objectives.costs)],
            "flops_convention": CONVENTION,
            "format": FORMAT,
            "versions": {"attn_nas": __version__, "torch": torch.__version__, "python": platform.python_version()},
        }

    def _resumed(self, facts: dict[str, Any]) -> dict[str, Any]:
        if not is_data_of(facts, self.dataset):
            raise UsageError(f"the data set {self.space.data.name} is not the one the run was begun with: begin a new run")
        if facts["bare_cost"] != self.table.bare.to_dict():
            raise UsageError("costs are counted in another way than when the run was begun: begin a new run")
        return facts

    def _dearest(self, axis: str) -> float:
        """Cost of the dearest network of the space, or the limit; of times, which are not known before, a large one."""
        if axis in TIMED:
            return SLOWEST
        return int(min(self.table.dearest(self.encoding, axis), self.limits.most(axis)))


def _described(dataset: Dataset) -> dict[str, Any]:
    mean, std = channel_statistics(dataset.train)
    return {
        "task": asdict(dataset.task),
        "normalization": {"mean": (mean.flatten() / 255).tolist(), "std": (std.flatten() / 255).tolist()},
    }


def is_data_of(facts: dict[str, Any], dataset: Dataset) -> bool:
    """Whether a run was begun with ``dataset``, as far as its shape and its pixels' statistics tell."""
    now = _described(dataset)
    return facts["task"] == now["task"] and all(
        np.allclose(facts["normalization"][name], now["normalization"][name], rtol=1e-4) for name in ("mean", "std")
    )


def dataset_of(facts: dict[str, Any], space: SearchSpace, *, download: bool = False) -> Dataset:
    """The data set that a run of ``space`` was begun with; raises DataError if it is missing, or is another one."""
    dataset = load_dataset(space.data, download=download)
    if not is_data_of(facts, dataset):
        raise DataError(f"{dataset.name} is not the data set that the run was begun with")
    return dataset


def new_facts(
    name: str, space: SearchSpace, seed: int, budget: int | None, confirm: int, early_stopping: bool
) -> dict[str, Any]:
    """The first entries of the document: what the user chose; ``budget`` is None where time alone ends the search."""
    return {
        "space_name": name,
        "space": space.model_dump(mode="json"),
        "seed": seed,
        "budget": budget,
        "confirm": confirm,
        "early_stopping": early_stopping,
    }


def stored_space(facts: dict[str, Any], folder: Path) -> SearchSpace:
    """The search space of a run's document; its plug-ins are files of the run's ``folder``. Raises SpaceError."""
    try:
        return SearchSpace.model_validate(facts["space"], context={"folder": folder})
    except ValidationError as error:
        reasons = "; ".join(details["msg"].removeprefix("Value error, ") for details in error.errors())
        raise SpaceError(f"the search space of {folder} cannot be used any more: {reasons}") from None


def _said(space: SearchSpace) -> dict[str, Any]:
    """What a space says, and its plug-ins as they were read."""
    return {**space.model_dump(), "plugins": [plugins.active_file(path).source for path in space.plugins]}


def stored_facts(
    facts: dict[str, Any],
    where: Path,
    space: SearchSpace | None,
    seed: int | None,
    budget: int | None,
    time_budget: float | None,
    confirm: int | None,
    early_stopping: bool | None,
) -> dict[str, Any]:
    """The document of a run to be resumed, with a new budget, confirmations and early stopping if they are given.

    With a time budget alone there is no other one.

    Raises:
        UsageError: another space or seed than the run was begun with.

    """
    if space is not None and _said(space) != _said(stored_space(facts, where)):
        raise UsageError(f"{where} was begun with another search space: leave --space out, or begin a new run")
    if seed is not None and seed != facts["seed"]:
        raise UsageError(f"{where} was begun with seed {facts['seed']}: leave --seed out, or begin a new run")
    confirmed = facts["confirm"] if confirm is None else confirm
    stopping = facts["early_stopping"] if early_stopping is None else early_stopping
    trials = budget or (facts["budget"] if time_budget is None else None)
    return {**facts, "budget": trials, "confirm": confirmed, "early_stopping": stopping}
