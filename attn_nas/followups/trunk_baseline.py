"""Baseline without attention: trains the trunk at other widths and depths by the settings of a run's candidates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from attn_nas.errors import RunError, UsageError
from attn_nas.execution.replicates import ReplicateFolder
from attn_nas.followups.training_plan import FollowUp, TrainingPlan
from attn_nas.followups.trunk_choice import default_trunks, requested_trunks, trunk_cost
from attn_nas.followups.trunk_points import DOCUMENT, TrunkPoint, trunk_name
from attn_nas.followups.trunk_verdict import TrunkBaselineResult, compare_pick, standard_error
from attn_nas.runs.candidate import Candidate
from attn_nas.runs.run import Run
from attn_nas.space.genotype import Genotype
from attn_nas.space.host import Host
from attn_nas.space.metric import ACCURACY
from attn_nas.space.trunks import Trunk
from attn_nas.stats.uncertainty import Mean
from attn_nas.training.protocol import Replicate, Trained


class _FolderWithSearchResults(ReplicateFolder):
    """A folder of trainings that also returns the trainings of ``candidate`` in the search, which have no files here."""

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


class TrunkBaseline(FollowUp):
    """Trains the trunk of ``run``, without attention, at several widths and depths by the run's proxy and with its seeds.

    Every width of ``widths`` is combined with every depth of ``depths``; without either the run's own value is used, without
    both see `attn_nas.followups.trunk_choice.default_trunks`. ``seeds`` is the number of seeds, counted from the seed of the
    search; by default as many as the search trained its trunk without attention with. Trainings of the search are reused.

    Raises:
        UsageError: ``seeds`` is below 1, there is no trunk to train, or the network is the user's own.
        SpaceError: the family lacks a width or depth, or the trunk cannot process the images.
        RunError: the run has no scored candidate yet.

    """

    def __init__(self, run: Run, *, widths: Sequence[int] = (), depths: Sequence[int] = (), seeds: int | None = None) -> None:
        if seeds is not None and seeds < 1:
            raise UsageError(f"--seeds {seeds}: choose at least 1")
        if not run.candidates:
            raise RunError(f"{run.folder.path} has no finished trial yet")
        self.run = run
        proxy = run.space.proxy
        network = run.space.network
        if isinstance(network, Host):
            raise UsageError(
                f"{network} makes a network of your own, which has no widths and depths that attn-nas knows: search again with "
                "larger ones among model.arguments, and compare the bare networks of both runs"
            )
        self.bare: Trunk = network
        bare = Genotype.bare(self.bare)
        searched = next((candidate for candidate in run.candidates if candidate.record.key == bare.key), None)
        number = seeds or (len(searched.results) if searched else 1 + run.manifest.confirm)
        self.costs = {self.bare: trunk_cost(self.bare, run.task, proxy), **self._others(widths, depths)}
        self.plan = TrainingPlan(
            proxy,
            _FolderWithSearchResults(run.folder.path / "plain", searched),
            range(run.manifest.seed, run.manifest.seed + number),
            tuple(Genotype.bare(trunk) for trunk in self.costs),
        )
        self.plans = (self.plan,)

    def _others(self, widths: Sequence[int], depths: Sequence[int]) -> Mapping[Trunk, Any]:
        run = self.run
        if widths or depths:
            return requested_trunks(self.bare, run.task, run.space.proxy, widths, depths)
        max_front_flops = max(candidate.record.cost.flops for candidate in run.front)
        return default_trunks(self.bare, run.task, run.space.proxy, max_front_flops)

    def describe(self) -> dict[str, Any]:
        """Return epochs, seeds and trunks of the baseline as JSON-ready data."""
        return {
            **({} if self.run.metric == ACCURACY else {"metric": self.run.metric.to_dict()}),
            "bare": trunk_name(self.bare),
            "epochs": self.plan.settings.epochs,
            "seeds": list(self.plan.seeds),
            "trunks": [
                {"key": Genotype.bare(trunk).key, "name": trunk_name(trunk), **cost.to_dict()}
                for trunk, cost in self.costs.items()
            ],
        }

    def result(self) -> TrunkBaselineResult:
        """Compare the trunks with the Pareto front; a trunk that lacks a training, or failed with any seed, is left out.

        Raises:
            RunError: no trunk beside the run's own has all its trainings.

        """
        trained = self.plan.trained
        complete = {trunk: trained[key] for trunk in self.costs if (key := Genotype.bare(trunk).key) in trained}
        if not complete.keys() - {self.bare}:
            reasons = "; ".join(dict.fromkeys(self.plan.failures.values()))
            raise RunError(f"no trunk of another size has all its trainings{f': {reasons}' if reasons else ''}")
        error, degrees = standard_error([[each.result.accuracy for each in trainings] for trainings in complete.values()])
        points = [self._point(trunk, trainings, error) for trunk, trainings in complete.items()]
        points.sort(key=lambda point: point.flops)
        return TrunkBaselineResult(
            tuple(points),
            tuple(compare_pick(self.run, points, degrees)),
            {trunk_name(trunk): self._done(trunk) for trunk in self.costs if trunk not in complete},
            self.plan.failures,
            self.describe(),
        )

    def _point(self, trunk: Trunk, trainings: Sequence[Trained], error: float) -> TrunkPoint:
        by_seed = {each.result.seed: each.result.accuracy for each in trainings}
        cost = self.costs[trunk]
        return TrunkPoint(trunk, by_seed, Mean(fmean(by_seed.values()), error), cost, cost.flops - self.costs[self.bare].flops)

    def _done(self, trunk: Trunk) -> int:
        return sum(self.plan.folder.get(Replicate(Genotype.bare(trunk), seed)) is not None for seed in self.plan.seeds)

    def write(self, result: TrunkBaselineResult) -> Path:
        """Write ``result`` as ``plain.json`` into the run's folder and return its path.

        Raises:
            RunError: the file cannot be written.

        """
        return self.run.folder.write_document(DOCUMENT, result.to_dict())
