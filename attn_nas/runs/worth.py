"""What the gates of candidates are worth, estimated from all trainings of their run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attn_nas.runs.candidate import Candidate
from attn_nas.runs.run import Run
from attn_nas.sampling.insight import Effect, worth_of
from attn_nas.space.encoding import Encoding


def gate_worth(run: Run, candidates: Sequence[Candidate]) -> dict[str, Mapping[str, Effect]]:
    """What the score of each of the ``candidates`` of ``run`` loses where a gate is left out, by key and then by site.

    It is empty for a run of fewer than four networks, and for candidates without an estimate.

    Raises:
        SpaceError: the space of the run cannot be read here, for example because the code of a network is missing.

    """
    judged = [each.record.genotype for each in candidates if each.belief]
    found = worth_of(run.trainings, Encoding(run.space), judged, bounded=run.metric.bounded)
    return {key: {effect.site: effect for effect in effects} for key, effects in found.items()}
