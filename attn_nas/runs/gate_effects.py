"""Effects of the gates of candidates, estimated from all trainings of their run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attn_nas.runs.candidate import Candidate
from attn_nas.runs.run import Run
from attn_nas.sampling.insight import Effect, own_effects
from attn_nas.space.encoding import Encoding


def gate_effects(run: Run, candidates: Sequence[Candidate]) -> dict[str, Mapping[str, Effect]]:
    """The effect of each gate of the ``candidates`` of ``run``: the change from its site left empty to it, by key and site.

    It is empty for a run of fewer than four networks, and for candidates without an estimate.

    Raises:
        SpaceError: the space of the run cannot be read here, for example because the code of a network is missing.

    """
    judged = [each.record.genotype for each in candidates if each.belief]
    found = own_effects(run.trainings, Encoding(run.space), judged, bounded=run.metric.bounded)
    return {key: {effect.site: effect for effect in effects} for key, effects in found.items()}
