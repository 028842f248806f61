"""Trainings of an earlier run for the sampler of a new one."""

from __future__ import annotations

from attn_nas.errors import UsageError
from attn_nas.runs.run import Run
from attn_nas.sampling import PriorTraining
from attn_nas.space.genotype import Genotype
from attn_nas.space.schema import SearchSpace

_MOST = 200


def prior_trainings(run: Run, space: SearchSpace) -> list[PriorTraining]:
    """The trainings of ``run`` whose mechanisms are all in ``space``, with their estimated accuracies.

    If there are more than 200: the references, the 100 networks with the highest estimates, and others at even distances.

    Raises:
        UsageError: the run has another trunk or metric, or no candidate with a mechanism of the space.

    """
    trunk = space.network
    if run.space.network != trunk:
        raise UsageError(f"a warm start from {run.folder.path}: a run on {run.space.network} says nothing about {trunk}")
    if run.metric != space.metric:
        raise UsageError(
            f"a warm start from {run.folder.path}: it was judged by {run.metric.name}, this search is by {space.metric.name}"
        )
    names = {settings.name for settings in space.mechanisms}
    usable = [each for each in run.candidates if _mechanisms(each.record.genotype) <= names]
    if not any(_mechanisms(each.record.genotype) for each in usable):
        raise UsageError(f"a warm start from {run.folder.path}: it has no candidate whose mechanisms the space has")
    if len(usable) > _MOST:
        references = [each for each in usable if each.record.reference]
        ordered = sorted((each for each in usable if not each.record.reference), key=lambda each: -each.accuracy)
        best, rest = ordered[: _MOST // 2], ordered[_MOST // 2 :]
        some = _MOST - len(best) - len(references)
        usable = [*references, *best, *(rest[index * len(rest) // some] for index in range(some))]
    return [PriorTraining(each.record.genotype, each.accuracy) for each in usable]


def _mechanisms(genotype: Genotype) -> set[str]:
    return {placement.mechanism for _, placement in genotype.sites if placement}
