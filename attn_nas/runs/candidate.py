"""A scored candidate of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attn_nas.runs.record import Record
from attn_nas.sampling import Belief
from attn_nas.space.metric import ACCURACY, Metric
from attn_nas.space.naming import glyph_of
from attn_nas.space.schema import TIMED
from attn_nas.stats.uncertainty import Mean
from attn_nas.training import ProxyResult

if TYPE_CHECKING:
    from attn_nas.runs.run import Run


@dataclass(frozen=True, repr=False)
class Candidate:
    """A scored candidate of a run.

    Attributes:
        run: the snapshot that it belongs to.
        record: its first training, as a rule that of the search.
        results: the results of all its trainings, each with a seed of its own.
        costs: the costs that the run minimises, by name; times are means over the trainings.
        added_flops: FLOPs (multiply-adds) above those of the bare trunk.
        belief: the estimate of its accuracy from all trainings of the run; None in a run of fewer than four candidates.

    """

    run: Run = field(compare=False)
    record: Record
    results: tuple[ProxyResult, ...]
    costs: Mapping[str, float]
    added_flops: int
    belief: Belief | None

    def __repr__(self) -> str:
        """Name, value of the metric and added FLOPs, as ``<Candidate ECA before block 0: 94.51 %, +1,536 FLOPs>``."""
        return f"<Candidate {self.name}: {self.run.metric.text(self.accuracy)}, {self.added_flops:+,} FLOPs>"

    @property
    def name(self) -> str:
        """Its name in the run, such as ``ECA before block 0``; at most 60 characters."""
        return self.run.names[self.record.key]

    @property
    def glyph(self) -> str:
        """Its blocks as characters, such as ``■│□│□``; see `attn_nas.space.naming.glyph_of`."""
        return glyph_of(self.record.genotype)

    @property
    def added_share(self) -> float:
        """FLOPs above those of the bare trunk, as a share of these."""
        return self.added_flops / self.run.manifest.bare_cost.flops

    @cached_property
    def measured(self) -> Mean:
        """Mean validation accuracy (or score) over the seeds, with its standard error; shares of 1."""
        return Mean.of([result.accuracy for result in self.results])

    @cached_property
    def expected(self) -> Mean:
        """Validation accuracy with its standard deviation, a share of 1: the estimate, or else the measured mean."""
        return (
            Mean(self.belief.mean, self.belief.standard_deviation) if self.belief else Mean(self.measured.value, float("nan"))
        )

    @property
    def accuracy(self) -> float:
        """The mean of `expected`, a share of 1; for another metric than accuracy its score, see `value`."""
        return self.expected.value

    @property
    def value(self) -> float:
        """The value of the run's metric, in its own direction: the estimate, or else the measured mean."""
        return self.run.metric.value(self.accuracy)

    @property
    def is_tied(self) -> bool:
        """Whether it is a member of the front that is not shown to be more accurate than a cheaper one."""
        return self.record.key in self.run.verdict.tied

    @property
    def ratios(self) -> dict[str, float]:
        """Times as ratios to the bare trunk's, where they were measured: ``step_time``, and ``latency`` if it is minimised.

        A step time that is not minimised is left out where the run's times do not hold (`Run.note_of_times`).
        """
        profile = self.record.profile
        return {
            **({"step_time": profile.step_ratio} if profile and self.run.note_of_times is None else {}),
            **{axis: cost for axis, cost in self.costs.items() if axis in TIMED},
        }

    @property
    def results_in_metric(self) -> list[dict[str, Any]]:
        """The results of all trainings as plain data, in the run's metric."""
        metric = self.run.metric
        if metric == ACCURACY:
            return [result.to_dict() for result in self.results]
        unused = ("accuracy", "curve", "loss", "margin", "loss_curve", "margin_curve", "train_loss", "micro_batch")
        return [
            {
                metric.name: metric.value(result.accuracy),
                "curve": [metric.value(score) for score in result.curve],
                **{name: value for name, value in result.to_dict().items() if name not in unused},
            }
            for result in self.results
        ]

    def export(self, to: str | PathLike[str], *, formats: Sequence[str] | None = None, force: bool = False) -> Path:
        """Write the network as a folder ``to/KEY``: source, weights and card, verified in a process of its own.

        Args:
            to: folder in which the network's folder is made.
            formats: names as of ``attn-nas export --format``; source, weights and ``insert.py`` by default.
            force: whether an earlier folder is replaced.

        Returns:
            The folder ``to/KEY``.

        Raises:
            RunError: its weights were not kept or are damaged.
            UsageError: an unknown format, or the folder exists.
            ExportError: the written model does not reproduce the recorded accuracy, or the data set is missing.

        """
        from attn_nas.export import DEFAULT_FORMATS, export_candidates

        (folder,) = export_candidates(self.run, [self], Path(to), formats=formats or DEFAULT_FORMATS, force=force)
        return folder

    def to_dict(self) -> dict[str, Any]:
        """Key, scores, costs and placements as plain data."""
        record, metric = self.record, self.run.metric
        return {
            "key": record.key,
            metric.name: self.value,
            "belief": _in_metric(self.belief, metric) if self.belief else None,
            "measured": replace(self.measured, value=metric.value(self.measured.value)).to_dict(),
            "costs": dict(self.costs),
            "by_seed": {str(result.seed): metric.value(result.accuracy) for result in self.results},
            **record.cost.to_dict(),
            "added_flops": self.added_flops,
            **record.genotype.to_dict(),
            "name": self.name,
            "glyph": self.glyph,
            "summary": str(record.genotype),
            "reference": record.reference,
            "trial": record.number,
            "profile": record.profile.to_dict() if record.profile else None,
        }


def _in_metric(belief: Belief, metric: Metric) -> dict[str, float | None]:
    """A belief as plain data, in values of ``metric``."""
    low, high = sorted((metric.value(belief.low), metric.value(belief.high)))
    return {**belief.to_dict(), "mean": metric.value(belief.mean), "low": low, "high": high}
