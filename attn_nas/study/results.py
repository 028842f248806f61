"""A run read back: its candidates, front, references and hypervolume."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from optuna.study import Study
from safetensors.torch import load_file
from torch import Tensor

from attn_nas import plugins
from attn_nas.errors import RunError, unknown
from attn_nas.front import Point, front_indices, hypervolume, knee_index
from attn_nas.space.schema import SearchSpace
from attn_nas.space.task import Task
from attn_nas.study.facts import FORMAT, stored_space
from attn_nas.study.folder import RunFolder
from attn_nas.study.record import Record
from attn_nas.study.storage import FACTS, open_study


@dataclass(frozen=True)
class Candidate:
    """A scored candidate of a run; see `Record` for the fields of ``record``."""

    record: Record
    added_flops: int

    @property
    def accuracy(self) -> float:
        """Validation accuracy, a share of 1."""
        assert self.record.result is not None
        return self.record.result.accuracy

    def to_dict(self) -> dict[str, Any]:
        """Key, scores, costs and placements as plain data."""
        record = self.record
        return {
            "key": record.key,
            "accuracy": self.accuracy,
            **record.cost.to_dict(),
            "added_flops": self.added_flops,
            **record.genotype.to_dict(),
            "summary": str(record.genotype),
            "reference": record.reference,
            "trial": record.number,
            "profile": record.profile.to_dict() if record.profile else None,
        }


class Run:
    """A run folder opened for reading; it may still be growing.

    Raises:
        RunError: the folder is not a run.

    """

    def __init__(self, path: str | Path) -> None:
        self.folder = RunFolder(path)
        self.study: Study = open_study(self.folder.study)
        found = self.meta.get("format", 1)
        if found != FORMAT:
            raise RunError(
                f"{self.folder.path} is a run of format {found}, this version reads {FORMAT}: use the one it was made by"
            )

    @cached_property
    def meta(self) -> dict[str, Any]:
        """What was fixed when the run began: space, seed, budget, device, versions, reference point."""
        return dict(self.study.user_attrs[FACTS])

    @cached_property
    def space(self) -> SearchSpace:
        """The search space."""
        return stored_space(self.meta, self.folder.path)

    @property
    def task(self) -> Task:
        """Shape of the images and number of classes."""
        return Task(**self.meta["task"])

    @property
    def cost_axis(self) -> str:
        """The cost that the front trades against accuracy: ``flops``, ``macs`` or ``params``."""
        return self.space.objectives.cost

    @cached_property
    def records(self) -> list[Record]:
        """All described trials, in the order in which they were begun."""
        for file in self.meta["space"].get("plugins", ()):
            plugins.load_file(self.folder.path / file)
        records = map(Record.of, self.study.get_trials(deepcopy=False))
        return [record for record in records if record is not None]

    @property
    def failures(self) -> list[Record]:
        """The trials that ended without a score and count."""
        return [record for record in self.records if record.state == "failed"]

    @cached_property
    def candidates(self) -> list[Candidate]:
        """The trials that have a score."""
        bare = self.meta["bare_cost"]["flops"]
        return [Candidate(record, record.cost.flops - bare) for record in self.records if record.result]

    def point(self, candidate: Candidate) -> Point:
        """Where a candidate lies in the plane of accuracy and cost."""
        return candidate.accuracy, getattr(candidate.record.cost, self.cost_axis)

    @property
    def _points(self) -> list[Point]:
        return [self.point(candidate) for candidate in self.candidates]

    @property
    def front(self) -> list[Candidate]:
        """The non-dominated candidates by rising cost."""
        return [self.candidates[index] for index in front_indices(self._points)]

    @property
    def knee(self) -> Candidate | None:
        """The front's knee."""
        index = knee_index(self._points)
        return None if index is None else self.candidates[index]

    @property
    def references(self) -> list[Candidate]:
        """The hand-made placements, in the order of the study."""
        return [candidate for candidate in self.candidates if candidate.record.reference]

    @property
    def reference_point(self) -> Point:
        """The worst accuracy and cost, fixed when the run began."""
        accuracy, cost = self.meta["reference_point"]
        return accuracy, cost

    @property
    def hypervolume(self) -> float:
        """Area between the front and the reference point, in accuracy x cost."""
        return hypervolume(self._points, self.reference_point)

    def candidate(self, key: str) -> Candidate:
        """The scored candidate whose key begins with ``key``; raises RunError."""
        found = [candidate for candidate in self.candidates if candidate.record.key.startswith(key)]
        if len(found) == 1:
            return found[0]
        keys = [candidate.record.key for candidate in self.candidates]
        if found:
            raise RunError(f"key {key!r} is ambiguous: {', '.join(c.record.key for c in found)}")
        raise RunError(unknown("candidate", key, keys))

    def weights(self, candidate: Candidate) -> dict[str, Tensor]:
        """The trained weights of a member of the front or of a reference; raises RunError."""
        path = self.folder.weights_of(candidate.record.key)
        if not path.exists():
            raise RunError(
                f"the weights of {candidate.record.key} were not kept: only the front and the references keep theirs"
            )
        return load_file(path)

    def to_dict(self) -> dict[str, Any]:
        """The front and the references as one document."""
        accuracy, cost = self.reference_point
        knee = self.knee
        return {
            "run": str(self.folder.path),
            "objectives": {"maximize": "accuracy", "minimize": self.cost_axis},
            "flops_convention": self.meta["flops_convention"],
            "reference_point": {"accuracy": accuracy, self.cost_axis: cost},
            "hypervolume": self.hypervolume,
            "knee": knee.record.key if knee else None,
            "front": [candidate.to_dict() for candidate in self.front],
            "references": [candidate.to_dict() for candidate in self.references],
            "failures": [{"key": record.key, "reason": record.reason} for record in self.failures],
        }
