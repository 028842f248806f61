"""Everything that a search needs before it begins: settings, data, costs, this machine."""

from __future__ import annotations

import platform
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from attn_nas.cost import CONVENTION, CostTable, Limits
from attn_nas.data import load_dataset
from attn_nas.data.dataset import Dataset
from attn_nas.errors import SpaceError, UsageError
from attn_nas.runs.manifest import described_data, is_data_of, stored_space
from attn_nas.sampling.times import SLOWEST
from attn_nas.space.encoding import Encoding
from attn_nas.space.genotype import Genotype
from attn_nas.space.references import reference_genotypes
from attn_nas.space.schema import TIMED
from attn_nas.storage.formats import FORMAT
from attn_nas.training import Numerics, numerics_here
from attn_nas.training.images import training_size
from attn_nas.training.train import check_steps
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
            **described_data(self.dataset),
            "bare_cost": self.table.bare.to_dict(),
            "reference_point": [self.dataset.task.chance, *map(self._dearest, self.space.objectives.costs)],
            "flops_convention": CONVENTION,
            "format": FORMAT,
            "versions": {"attn_nas": __version__, "torch": torch.__version__, "python": platform.python_version()},
        }

    def _resumed(self, facts: dict[str, Any]) -> dict[str, Any]:
        if not is_data_of(facts, self.dataset):
            raise UsageError(f"the data set {self.dataset.name} is not the one the run was begun with: begin a new run")
        if facts["bare_cost"] != self.table.bare.to_dict():
            raise UsageError("costs are counted in another way than when the run was begun: begin a new run")
        return facts

    def _dearest(self, axis: str) -> float:
        """Cost of the dearest network of the space, or the limit; of times, which are not known before, a large one."""
        if axis in TIMED:
            return SLOWEST
        return int(min(self.table.highest_cost(self.encoding, axis), self.limits.most(axis)))
