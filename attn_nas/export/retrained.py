"""Winners with the weights of a full training."""

from __future__ import annotations

from pathlib import Path
from statistics import fmean

from attn_nas.export.meaning import Meaning, Reported
from attn_nas.export.model_file import about
from attn_nas.export.winner import Recorded, Winner, described, known, mean_of_seeds, plural
from attn_nas.followups.full_training import FullTraining
from attn_nas.format import percent
from attn_nas.runs.candidate import Candidate
from attn_nas.stats.uncertainty import Mean


def retrained_winner(training: FullTraining, candidate: Candidate) -> Winner:
    """Make the winner of ``candidate`` with the weights of its full training, those of the first seed.

    Raises:
        RunError: the candidate was not trained in full, or its weights cannot be read.

    """
    run, genotype = training.run, candidate.record.genotype
    trainings = training.trainings(candidate)
    seed, weights = training.weights(genotype)
    (own,) = (each for each in trainings if each.result.seed == seed)
    metric, data, epochs = run.metric, run.data_name, training.recipe.epochs
    tests = [(each.test or each.result).accuracy for each in trainings]
    start = f", started from {Path(training.pretrained).name}," if training.pretrained else ""
    reached = (
        f"{metric.text(own.result.accuracy)}"
        if run.space.objective
        else f"{percent(own.result.accuracy)} on the validation split"
    )
    if own.test:
        reached = f"{percent(own.test.accuracy)} on the test split and {reached}"
    name, where = ("Test accuracy", data) if run.space.objective is None else (metric.name, f"the {data}")
    summary = (
        f"{name} {metric.mean_text(Mean.of(tests))} on {where} after a full training of {epochs} epochs{start} with "
        f"{mean_of_seeds(len(tests))}; the weights are those of seed {seed}, which reached {reached}.",
        *described(run, candidate, training.versions),
    )
    facts = {
        "recipe": training.recipe.model_dump(mode="json"),
        "pretrained": training.pretrained and Path(training.pretrained).name,
        **known(run, candidate),
        "versions": dict(training.versions),
        "full_training": [each.to_dict() for each in trainings],
        "weights_seed": seed,
    }
    return Winner(
        genotype,
        run.task,
        weights,
        Recorded.of(run, own.result),
        Meaning.of(run, Reported(metric.value(fmean(tests)), "test" if own.test else None, epochs, len(tests), metric)),
        candidate.record.cost,
        data,
        summary,
        facts,
        about(
            candidate,
            f"{name} {metric.text(fmean(tests))} on {where} after a full training of {epochs} epochs with "
            f"{plural(len(tests), 'seed')}",
        ),
    )
