"""A run read back: its candidates, front, references and hypervolume."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from functools import cached_property
from pathlib import Path
from typing import Any

from optuna.study import Study
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from attn_nas.errors import RunError, first_line, unknown
from attn_nas.plugins import registry as plugins
from attn_nas.runs.beliefs import beliefs_of, costs_of, trainings_of
from attn_nas.runs.candidate import Candidate
from attn_nas.runs.folder import RunFolder
from attn_nas.runs.manifest import checked_facts, stored_space
from attn_nas.runs.record import Record
from attn_nas.sampling import Beliefs, Training
from attn_nas.sampling.accuracy import MIN_NETWORKS
from attn_nas.sampling.beliefs import Difference
from attn_nas.sampling.insight import Insight
from attn_nas.space.encoding import Encoding
from attn_nas.space.schema import SearchSpace
from attn_nas.space.task import Task
from attn_nas.stats.pareto import Point, front_indices, hypervolume, knee_index
from attn_nas.storage.optuna_db import FACTS
from attn_nas.storage.trials import StoredTrials


class Run:
    """A run folder opened for reading; it may still be growing.

    Raises:
        RunError: the folder is not a run.

    """

    def __init__(self, path: str | Path) -> None:
        self.folder = RunFolder(path)
        self.study: Study = self.folder.study.open()
        self._stored = StoredTrials(self.study)
        self._ended: dict[int, Record | None] = {}

    @cached_property
    def meta(self) -> dict[str, Any]:
        """What was fixed when the run began: space, seed, budget, device, versions, reference point; raises RunError."""
        return checked_facts(self.study.user_attrs[FACTS], self.folder.path)

    @cached_property
    def space(self) -> SearchSpace:
        """The search space."""
        return stored_space(self.meta, self.folder.path)

    @property
    def task(self) -> Task:
        """Shape of the images and number of classes."""
        return Task(**self.meta["task"])

    @property
    def axes(self) -> Sequence[str]:
        """The costs that the front trades against accuracy, as `attn_nas.space.schema.ObjectiveSettings` names them."""
        return self.space.objectives.costs

    @property
    def plugins(self) -> list[Path]:
        """Its copies of the plug-ins that its space names."""
        return [self.folder.path / file for file in self.meta["space"].get("plugins", ())]

    def load_plugins(self) -> None:
        """Have these registered in the place of other versions of them; raises SpaceError."""
        for file in self.plugins:
            plugins.load_file(file)

    @cached_property
    def records(self) -> list[Record]:
        """All described trials, in the order in which they were begun."""
        self.load_plugins()
        found = []
        for trial in self._stored.read():
            if trial.number not in self._ended:
                record = Record.of(trial, self.folder.path)
                if trial.state.is_finished():
                    self._ended[trial.number] = record
            else:
                record = self._ended[trial.number]
            found.append(record)
        return [record for record in found if record is not None]

    @property
    def failures(self) -> list[Record]:
        """The trials that ended without a score and count."""
        return [record for record in self.records if record.state == "failed"]

    @cached_property
    def trainings(self) -> list[Training]:
        """All trainings that have a score, those of the confirmation among them."""
        return trainings_of(self.records)

    @cached_property
    def beliefs(self) -> Beliefs | None:
        """What all trainings together let one believe; None with fewer than four candidates."""
        return beliefs_of(self.records, self.axes)

    @property
    def insight(self) -> Insight:
        """What mechanisms, positions and sites do to accuracy; raises RunError."""
        found = Insight.of(self.trainings, Encoding(self.space))
        if found is None:
            raise RunError(f"{self.folder.path} has {len(self.candidates)} scored candidates: an estimate needs {MIN_NETWORKS}")
        return found

    @cached_property
    def candidates(self) -> list[Candidate]:
        """The candidates that have a score, in the order in which they were begun."""
        bare, costs = self.meta["bare_cost"]["flops"], costs_of(self.records, self.axes)
        scored: dict[str, list[Record]] = {}
        for record in self.records:
            if record.result:
                scored.setdefault(record.key, []).append(record)
        return [
            Candidate(
                records[0],
                tuple(record.result for record in records if record.result),
                dict(zip(self.axes, costs[key], strict=True)),
                records[0].cost.flops - bare,
                self.beliefs.networks.get(key) if self.beliefs else None,
            )
            for key, records in scored.items()
        ]

    def grown(self, *, beliefs: Beliefs | None) -> Run:
        """The run as it is now, with ``beliefs`` of an earlier reading: what has ended is not read again.

        Candidates of which nothing is believed yet are left out of the front, unless nothing is believed at all.
        """
        again = copy(self)
        for name, member in vars(Run).items():
            if isinstance(member, cached_property):
                vars(again).pop(name, None)
        vars(again)["beliefs"] = beliefs
        return again

    def point(self, candidate: Candidate) -> Point:
        """Where a candidate lies among the objectives."""
        return (candidate.accuracy, *candidate.costs.values())

    @cached_property
    def _judged(self) -> list[Candidate]:
        """The candidates whose accuracies can be compared."""
        return [candidate for candidate in self.candidates if candidate.belief or self.beliefs is None]

    @cached_property
    def front(self) -> list[Candidate]:
        """The candidates that none is expected to beat, by rising cost."""
        judged = self._judged
        return [judged[index] for index in front_indices([self.point(candidate) for candidate in judged])]

    @cached_property
    def knee(self) -> Candidate | None:
        """The front's knee."""
        judged = self._judged
        index = knee_index([self.point(candidate) for candidate in judged])
        return None if index is None else judged[index]

    @property
    def references(self) -> list[Candidate]:
        """The hand-made placements, in the order of the study."""
        return [candidate for candidate in self.candidates if candidate.record.reference]

    @property
    def reference_point(self) -> Point:
        """The worst accuracy and costs, fixed when the run began."""
        return tuple(self.meta["reference_point"])

    @property
    def hypervolume(self) -> float:
        """Volume between the front and the reference point, in accuracy x costs."""
        return hypervolume([self.point(candidate) for candidate in self.front], self.reference_point)

    def leads(self, candidate: Candidate) -> list[tuple[Candidate, Difference]]:
        """How far it is believed to be ahead of each reference but itself; empty while nothing is believed of it."""
        if self.beliefs is None or candidate.belief is None:
            return []
        key = candidate.record.key
        others = [each for each in self.references if each.record.key != key and each.belief]
        return [(each, self.beliefs.difference(key, each.record.key)) for each in others]

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
        with self._weights_of(candidate) as path:
            return load_file(path)

    def weights_seed(self, candidate: Candidate) -> int:
        """With which of the candidate's seeds the weights were trained; raises RunError."""
        with self._weights_of(candidate) as path:
            with safe_open(path, "pt") as file:
                found = (file.metadata() or {}).get("seed")
            seeds = {str(result.seed): result.seed for result in candidate.results}
            if found not in seeds:
                raise ValueError(f"its seed is {found}, trained were {', '.join(seeds)}")
            return seeds[found]

    @contextmanager
    def _weights_of(self, candidate: Candidate) -> Iterator[Path]:
        """The file of a candidate's weights; what goes wrong with it in the block is a RunError that says what to do."""
        path, key = self.folder.weights_of(candidate.record.key), candidate.record.key
        again = (
            f"One more seed trains the front again: attn-nas search --resume --run {self.folder.path} "
            f"--confirm {self.meta['confirm'] + 1}"
        )
        if not path.exists():
            kept = "only the front, the references and what was confirmed keep theirs"
            raise RunError(f"the weights of {key} were not kept: {kept}. {again}")
        try:
            yield path
        except (SafetensorError, OSError, ValueError) as error:
            raise RunError(
                f"{path} is damaged, or not what the run has written ({first_line(error)}): delete it. {again}"
            ) from None

    def to_dict(self) -> dict[str, Any]:
        """The front and the references as one document."""
        accuracy, *worst = self.reference_point
        knee = self.knee
        return {
            "run": str(self.folder.path),
            "objectives": {"maximize": "accuracy", "minimize": list(self.axes)},
            "flops_convention": self.meta["flops_convention"],
            "reference_point": {"accuracy": accuracy, **dict(zip(self.axes, worst, strict=True))},
            "hypervolume": self.hypervolume,
            "noise_of_one_training": self.beliefs.noise if self.beliefs else None,
            "knee": knee.record.key if knee else None,
            "front": [candidate.to_dict() for candidate in self.front],
            "references": [candidate.to_dict() for candidate in self.references],
            "failures": [{"key": record.key, "reason": record.reason} for record in self.failures],
        }
