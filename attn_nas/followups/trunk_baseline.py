"""The plain trunk at other widths and depths, trained as a run's candidates were: what attention has to beat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from attn_nas.errors import RunError, UsageError
from attn_nas.execution.replicates import ReplicateFolder
from attn_nas.followups.training_plan import BesideRun, Series
from attn_nas.followups.trunk_choice import asked_trunks, chosen_trunks, trunk_cost
from attn_nas.followups.trunk_points import DOCUMENT, PlainPoint, trunk_name
from attn_nas.followups.trunk_verdict import PlainVerdict, compared, standard_error
from attn_nas.runs.candidate import Candidate
from attn_nas.runs.run import Run
from attn_nas.space.genotype import Genotype
from attn_nas.space.trunks import Trunk
from attn_nas.stats.uncertainty import Mean
from attn_nas.training.protocol import Replicate, Trained


class _SearchedFirst(ReplicateFolder):
    """A folder of trainings, where those of a ``candidate`` in the search stand for their files."""

    def __init__(self, path: Path, candidate: Candidate | None) -> None:
        super().__init__(path)
        record = candidate.record if candidate else None
        results = candidate.results if candidate else ()
        self._searched = (
            {Replicate(record.genotype, each.seed): Trained(each, record.cost) for each in results} if record else {}
        )

    def get(self, replicate: Replicate) -> Trained | None:
        """See `ReplicateFolder.get`."""
        return self._searched.get(replicate) or super().get(replicate)


class PlainCurve(BesideRun):
    """The bare trunk of ``run`` and others of its family, by the run's proxy and with the search's own seeds.

    ``widths`` and ``depths`` choose every one of these at every one of those, those left out being the run's own; without
    any, see `attn_nas.followups.trunk_choice.chosen_trunks`. ``seeds`` are as many as the search has trained the bare trunk
    with, and the same, unless another number is given; what the search has trained is not trained again.

    Raises:
        UsageError: no seed, or no trunk to train.
        SpaceError: a width or depth that the family does not have, or that cannot take the images.
        RunError: nothing was trained with a score yet.

    """

    def __init__(self, run: Run, *, widths: Sequence[int] = (), depths: Sequence[int] = (), seeds: int | None = None) -> None:
        if seeds is not None and seeds < 1:
            raise UsageError(f"--seeds {seeds}: choose at least 1")
        if not run.candidates:
            raise RunError(f"{run.folder.path} has no finished trial yet")
        self.run = run
        proxy = run.space.proxy
        self.bare = run.space.trunk.trunk()
        bare = Genotype.bare(self.bare)
        searched = next((candidate for candidate in run.candidates if candidate.record.key == bare.key), None)
        number = seeds or (len(searched.results) if searched else 1 + run.manifest.confirm)
        self.costs = {self.bare: trunk_cost(self.bare, run.task, proxy), **self._others(widths, depths)}
        self.series = Series(
            proxy,
            _SearchedFirst(run.folder.path / "plain", searched),
            range(run.manifest.seed, run.manifest.seed + number),
            tuple(Genotype.bare(trunk) for trunk in self.costs),
        )
        self.parts = (self.series,)

    def _others(self, widths: Sequence[int], depths: Sequence[int]) -> Mapping[Trunk, Any]:
        run = self.run
        if widths or depths:
            return asked_trunks(self.bare, run.task, run.space.proxy, widths, depths)
        dearest = max(candidate.record.cost.flops for candidate in run.front)
        return chosen_trunks(self.bare, run.task, run.space.proxy, dearest)

    def describe(self) -> dict[str, Any]:
        """The plan as plain data."""
        return {
            "bare": trunk_name(self.bare),
            "epochs": self.series.settings.epochs,
            "seeds": list(self.series.seeds),
            "trunks": [
                {"key": Genotype.bare(trunk).key, "name": trunk_name(trunk), **cost.to_dict()}
                for trunk, cost in self.costs.items()
            ],
        }

    def verdict(self) -> PlainVerdict:
        """What the trainings say; trunks that lack one, or failed with any seed, are left out.

        Raises:
            RunError: none but the bare trunk has all its trainings.

        """
        trained = self.series.trained
        whole = {trunk: trained[key] for trunk in self.costs if (key := Genotype.bare(trunk).key) in trained}
        if not whole.keys() - {self.bare}:
            reasons = "; ".join(dict.fromkeys(self.series.failures.values()))
            raise RunError(f"no other plain trunk has all its trainings{f': {reasons}' if reasons else ''}")
        error, degrees = standard_error([[each.result.accuracy for each in trainings] for trainings in whole.values()])
        points = [self._point(trunk, trainings, error) for trunk, trainings in whole.items()]
        points.sort(key=lambda point: point.flops)
        return PlainVerdict(
            tuple(points),
            tuple(compared(self.run, points, degrees)),
            {trunk_name(trunk): self._done(trunk) for trunk in self.costs if trunk not in whole},
            self.series.failures,
            self.describe(),
        )

    def _point(self, trunk: Trunk, trainings: Sequence[Trained], error: float) -> PlainPoint:
        by_seed = {each.result.seed: each.result.accuracy for each in trainings}
        cost = self.costs[trunk]
        return PlainPoint(trunk, by_seed, Mean(fmean(by_seed.values()), error), cost, cost.flops - self.costs[self.bare].flops)

    def _done(self, trunk: Trunk) -> int:
        return sum(self.series.folder.get(Replicate(Genotype.bare(trunk), seed)) is not None for seed in self.series.seeds)

    def write(self, verdict: PlainVerdict) -> Path:
        """Write ``verdict`` as ``plain.json`` into the run's folder; raises RunError."""
        return self.run.folder.write_document(DOCUMENT, verdict.to_dict())
