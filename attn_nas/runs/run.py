"""A snapshot of a run: its candidates, front, references and hypervolume."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from difflib import SequenceMatcher
from functools import cached_property
from math import isnan
from os import PathLike
from pathlib import Path
from typing import Any, Final, Literal

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from attn_nas.data import Augmentation, Dataset
from attn_nas.data.augment import augmentation_of
from attn_nas.data.registry import check_test_split
from attn_nas.data.root import located
from attn_nas.errors import RunError, first_line
from attn_nas.plugins import registry as plugins
from attn_nas.runs.beliefs import beliefs_of, costs_of, reference_point_of, trainings_of
from attn_nas.runs.candidate import Candidate
from attn_nas.runs.data_identity import Normalization
from attn_nas.runs.reader import RunContents, RunReader
from attn_nas.runs.record import Record
from attn_nas.runs.verdict import Verdict
from attn_nas.sampling import Beliefs, Training
from attn_nas.sampling.accuracy import MIN_NETWORKS
from attn_nas.sampling.beliefs import Difference
from attn_nas.sampling.insight import Insight
from attn_nas.space.data_settings import DataSettings
from attn_nas.space.encoding import Encoding
from attn_nas.space.genotype import Genotype
from attn_nas.space.limits import most_allowed
from attn_nas.space.metric import ACCURACY, Metric
from attn_nas.space.naming import names_of
from attn_nas.space.schema import SearchSpace
from attn_nas.space.task import Task
from attn_nas.stats.pareto import Point, front_indices, hypervolume

_STEADY = 0.05
"""Largest deviation from 1 of the ratio of a network's step time to its own for which times are shown."""
WITHIN = ("+1%", "+5%")
"""Limits of FLOPs that a pick is named for besides the one without a limit."""


class Run:
    """A snapshot of a run: its manifest and its trials as they were when it was read.

    It never changes, even while a search goes on; `refreshed` makes a newer one. Candidates, beliefs and the front are computed
    when they are first asked for. Opening a run registers its plug-ins.

    Args:
        source: the run folder, or the contents that a `RunReader` has read of it.
        beliefs: the estimates to judge candidates by, perhaps of an older snapshot; None for accuracies as measured. By
            default they are computed from all trainings of this snapshot.
        data_root: the folder where the files of the data set are now, if they have moved.

    Raises:
        RunError: the folder is not a run, or cannot be read.
        SpaceError: a plug-in of the run cannot be used.

    """

    def __init__(
        self,
        source: str | PathLike[str] | RunContents,
        *,
        beliefs: Beliefs | Literal["computed"] | None = "computed",
        data_root: str | PathLike[str] | None = None,
    ) -> None:
        contents = source if isinstance(source, RunContents) else RunReader(source).read()
        self._contents: Final = contents
        self._beliefs: Final = beliefs
        self.data_root: Final = data_root
        self.folder: Final = contents.folder
        self.study: Final = contents.study
        self.manifest: Final = contents.manifest
        self.records: Final = contents.records

    def refreshed(self, *, beliefs: Beliefs | None) -> Run:
        """A new snapshot of the run as it is now, judged by ``beliefs``; trials that had ended are not read again.

        Candidates without a belief are left out of the front, unless ``beliefs`` is None. One thread at a time may call this.

        Raises:
            RunError, SpaceError: as when a run is opened.

        """
        return Run(self._contents.reader.read(), beliefs=beliefs, data_root=self.data_root)

    def with_beliefs(self, beliefs: Beliefs | None) -> Run:
        """The same snapshot, judged by ``beliefs``; nothing is read."""
        return Run(self._contents, beliefs=beliefs, data_root=self.data_root)

    @cached_property
    def space(self) -> SearchSpace:
        """The search space; raises SpaceError."""
        return self.manifest.space.load(self.folder.path)

    @property
    def data(self) -> DataSettings:
        """The settings of the data set that the run trains on; raises RunError if its objective brings its own data."""
        if self.space.data is None:
            raise RunError(f"{self.folder.path}: the objective of this run brings its own data, and its images are not known")
        return self.space.data

    @property
    def metric(self) -> Metric:
        """The metric that candidates are judged by."""
        return self.manifest.metric

    @property
    def data_name(self) -> str:
        """The name of the data set, or of the objective that brings its own data."""
        if self.space.data:
            return self.space.data.name
        code = self.space.objective and self.space.objective.code
        return f"data of {code.text}" if code else "data of the objective"

    @property
    def normalization(self) -> Normalization:
        """Statistics of the training pixels; raises RunError if the objective of the run brings its own data."""
        if self.manifest.normalization is None:
            raise RunError(
                f"{self.folder.path}: the objective of this run brings its own data, whose normalisation is not known"
            )
        return self.manifest.normalization

    def load_dataset(self, *, download: bool = False) -> Dataset:
        """The data set that the run was begun with, with its training and validation split in memory.

        Raises:
            DataError: it is missing, or has changed; the message says what.

        """
        data = located(self.data, self.data_root, kept=self.folder.kept_data_root, download=download)
        return self.manifest.load_dataset(data, download=download)

    def check_test_split(self) -> None:
        """Raise DataError if the names of the test images show that no training can be scored on them; reads no image."""
        check_test_split(self.data, self.manifest.rules, self.data_root, kept=self.folder.kept_data_root)

    @property
    def augmentation(self) -> Augmentation | None:
        """The augmentation of the training images; None where an objective trains."""
        return None if self.space.objective or self.space.data is None else augmentation_of(self.data, self.manifest.rules)

    @property
    def task(self) -> Task:
        """Shape of the images and number of classes."""
        return self.manifest.task

    @property
    def axes(self) -> Sequence[str]:
        """The costs that the front trades against accuracy, as `attn_nas.space.schema.ObjectiveSettings` names them."""
        return self.space.objectives.costs

    @property
    def plugins(self) -> list[Path]:
        """The run's copies of the plug-ins that its space names."""
        return [self.folder.path / file for file in self.manifest.space.plugins]

    def load_plugins(self) -> None:
        """Register the run's plug-ins in the place of other versions of them; raises SpaceError."""
        for file in self.plugins:
            plugins.load_file(file)

    @property
    def failures(self) -> list[Record]:
        """The trials that failed; each used up one unit of the budget."""
        return [record for record in self.records if record.state == "failed"]

    @cached_property
    def trainings(self) -> list[Training]:
        """All trainings that have a score, including those of the confirmation."""
        return trainings_of(self.records)

    @cached_property
    def beliefs(self) -> Beliefs | None:
        """Estimates of all candidates' accuracies from all trainings together; None with fewer than four candidates."""
        return (
            beliefs_of(self.records, self.axes, bounded=self.metric.bounded) if self._beliefs == "computed" else self._beliefs
        )

    @property
    def insight(self) -> Insight:
        """What placements add to the bare trunk, and to the pick unless that is the bare trunk.

        Raises:
            RunError: there are fewer than four scored candidates.

        """
        encoding = Encoding(self.space)
        pick = self.pick.record.genotype if self.pick else Genotype.bare(encoding.trunk)
        name = self.pick.name if self.pick else None
        found = Insight.of(self.trainings, encoding, pick, name=name, bounded=self.metric.bounded)
        if found is None:
            raise RunError(f"{self.folder.path} has {len(self.candidates)} scored candidates: an estimate needs {MIN_NETWORKS}")
        return found

    @cached_property
    def candidates(self) -> list[Candidate]:
        """The candidates that have a score, in the order in which they were begun."""
        bare, costs = self.manifest.bare_cost.flops, costs_of(self.records, self.axes)
        scored: dict[str, list[Record]] = {}
        for record in self.records:
            if record.result:
                scored.setdefault(record.key, []).append(record)
        return [
            Candidate(
                self,
                records[0],
                tuple(record.result for record in records if record.result),
                dict(zip(self.axes, costs[key], strict=True)),
                records[0].cost.flops - bare,
                self.beliefs.networks.get(key) if self.beliefs else None,
            )
            for key, records in scored.items()
        ]

    def point(self, candidate: Candidate) -> Point:
        """The objectives of a candidate: accuracy, then its costs."""
        return (candidate.accuracy, *candidate.costs.values())

    @cached_property
    def _judged(self) -> list[Candidate]:
        """The candidates whose accuracies are comparable: all with a belief, or all if there are no beliefs."""
        return [candidate for candidate in self.candidates if candidate.belief or self.beliefs is None]

    @cached_property
    def front(self) -> list[Candidate]:
        """The candidates that no other is expected to beat in all objectives, by rising cost."""
        judged = self._judged
        return [judged[index] for index in front_indices([self.point(candidate) for candidate in judged])]

    @property
    def pick(self) -> Candidate | None:
        """The pick of the verdict: the cheapest candidate that cannot be told apart from the most accurate.

        It is the bare trunk if nothing is told from it; None without candidates.
        """
        return self._by_key.get(self.verdict.pick or "")

    def best_within(self, limit: int | str) -> Candidate | None:
        """The pick if it has at most ``limit`` FLOPs, else that among the candidates which have; None if there are none.

        Args:
            limit: complete FLOPs (multiply-adds): a total (``45000000``, ``"45M"``), or an addition to the bare trunk's
                (``"+200k"``, ``"+5%"``).

        Raises:
            SpaceError: the limit has none of these forms.

        """
        most = most_allowed(limit, self.manifest.bare_cost.flops)
        if self.pick and self.pick.record.cost.flops <= most:
            return self.pick
        allowed = {key for key, candidate in self._by_key.items() if candidate.record.cost.flops <= most}
        return self._by_key.get(self.verdict.picking.among(allowed).pick or "")

    @cached_property
    def _by_key(self) -> dict[str, Candidate]:
        return {candidate.record.key: candidate for candidate in self.candidates}

    @cached_property
    def names(self) -> Mapping[str, str]:
        """Names of the networks by key, such as ``ECA before block 0``; each is different, and as the search has called it."""
        return names_of(record.genotype for record in self.records)

    @cached_property
    def note_of_times(self) -> str | None:
        """Why step times are not shown; None if they may be.

        They may if the trunk without attention, timed beside itself, took its own time within 5 % in each of its trainings.
        """
        timed = [(record.genotype.num_attended, record.profile.step_ratio) for record in self.records if record.profile]
        own = [ratio for attended, ratio in timed if not attended]
        if timed and not own:
            return "Step times are not shown: the network without attention was not timed."
        farthest = max(own, key=lambda ratio: abs(ratio - 1), default=1.0)
        if abs(farthest - 1) <= _STEADY:
            return None
        return (
            f"Step times are not shown: the network without attention took {farthest:.2f} times its own time, so other "
            "programs kept the machine busy."
        )

    @property
    def references(self) -> list[Candidate]:
        """The hand-made placements, in the order of the study."""
        return [candidate for candidate in self.candidates if candidate.record.reference]

    @property
    def reference_point(self) -> Point:
        """The worst score and costs, which the hypervolume is measured from; see `reference_point_of`."""
        return reference_point_of(self.manifest.reference_point, self.records, self.manifest.seed)

    @property
    def hypervolume(self) -> float:
        """Volume between the front and the reference point, in accuracy x costs."""
        return hypervolume([self.point(candidate) for candidate in self.front], self.reference_point)

    @cached_property
    def verdict(self) -> Verdict:
        """What the run may claim, by the trainings with seeds that selected nothing."""
        return Verdict.of(
            self.records,
            self.beliefs,
            seed=self.manifest.seed,
            epochs=self.space.proxy.epochs,
            metric=self.metric,
            axes=self.axes,
            names=self.names,
        )

    def leads(self, candidate: Candidate) -> list[tuple[Candidate, Difference]]:
        """Estimated lead of ``candidate`` over each other reference, in accuracy.

        It is empty unless the verdict allows claims, and for a candidate without a belief.
        """
        if self.beliefs is None or candidate.belief is None or not self.verdict.allows_claims:
            return []
        key = candidate.record.key
        others = [each for each in self.references if each.record.key != key and each.belief]
        return [(each, self.beliefs.difference(key, each.record.key)) for each in others]

    def candidate(self, key: str) -> Candidate:
        """The scored candidate whose key begins with ``key``; raises RunError."""
        found = [candidate for candidate in self.candidates if candidate.record.key.startswith(key)]
        if len(found) == 1:
            return found[0]
        if found:
            raise RunError(f"key {key!r} is ambiguous: {', '.join(c.record.key for c in found)}")
        near = ", ".join(f"{each.record.key} ({each.name})" for each in self.closest(key))
        advice = f"the closest: {near}" if near else "it has no candidate with a score yet"
        raise RunError(f"there is no candidate {key!r} in {self.folder.path}; {advice}")

    def closest(self, text: str, most: int = 3) -> list[Candidate]:
        """The candidates whose keys or names resemble ``text`` most, the most similar first."""
        written = text.strip().lower()

        def likeness(candidate: Candidate) -> float:
            return max(SequenceMatcher(None, written, each.lower()).ratio() for each in (candidate.record.key, candidate.name))

        return sorted(self.candidates, key=likeness, reverse=True)[:most]

    def weights(self, candidate: Candidate) -> dict[str, Tensor]:
        """The trained weights of a member of the front or of a reference; raises RunError."""
        with self._weights_of(candidate) as path:
            return load_file(path)

    def weights_seed(self, candidate: Candidate) -> int:
        """The seed of the training that the kept weights come from; raises RunError."""
        with self._weights_of(candidate) as path:
            with safe_open(path, "pt") as file:
                found = (file.metadata() or {}).get("seed")
            seeds = {str(result.seed): result.seed for result in candidate.results}
            if found not in seeds:
                raise ValueError(f"its seed is {found}, trained were {', '.join(seeds)}")
            return seeds[found]

    @contextmanager
    def _weights_of(self, candidate: Candidate) -> Iterator[Path]:
        """The file of a candidate's weights; errors of the block that reads it become RunError, with advice."""
        path, key = self.folder.weights_of(candidate.record.key), candidate.record.key
        advice = (
            f"One more seed trains the front again: attn-nas search --resume --run {self.folder.path} "
            f"--confirm {self.manifest.confirm + 1}"
        )
        if not path.exists():
            kept = "only the front, the references and confirmed candidates keep theirs"
            raise RunError(f"the weights of {key} were not kept: {kept}. {advice}")
        try:
            yield path
        except (SafetensorError, OSError, ValueError) as error:
            raise RunError(
                f"{path} is damaged, or not as the run has written it ({first_line(error)}): delete it. {advice}"
            ) from None

    def to_dict(self) -> dict[str, Any]:
        """Verdict, pick, front, references and failures as plain data; ``pick`` is a key, ``picked`` its row."""
        metric = self.metric
        floor, *worst = self.reference_point
        within = {limit: self.best_within(limit) for limit in WITHIN}
        objectives: dict[str, Any] = {"maximize": metric.name, "minimize": [*self.axes]}
        if metric.is_minimized:
            objectives = {"minimize": [metric.name, *self.axes]}
        return {
            "run": str(self.folder.path),
            **({} if metric == ACCURACY else {"metric": metric.to_dict()}),
            "objectives": objectives,
            "flops_convention": self.manifest.flops_convention,
            "augmentation": asdict(self.augmentation) if self.augmentation else None,
            "reference_point": {
                metric.name: None if isnan(floor) else metric.value(floor),
                **dict(zip(self.axes, worst, strict=True)),
            },
            "hypervolume": self.hypervolume,
            "noise_of_one_training": self.beliefs.noise if self.beliefs else None,
            "verdict": self.verdict.to_dict(),
            "pick": self.verdict.pick,
            "pick_name": self.pick.name if self.pick else None,
            "picked": self.pick.to_dict() if self.pick else None,
            "best": self.verdict.best,
            "best_within": {limit: found.record.key if found else None for limit, found in within.items()},
            "front": [candidate.to_dict() for candidate in self.front],
            "references": [candidate.to_dict() for candidate in self.references],
            "failures": [{"key": record.key, "reason": record.reason} for record in self.failures],
        }
