"""A trained network to export, with the accuracy that its training recorded, and its measurements."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from attn_nas.cost import Cost
from attn_nas.errors import ExportError
from attn_nas.export.meaning import Meaning, Preprocessing, Reported
from attn_nas.export.model_file import about, reached
from attn_nas.format import likely
from attn_nas.models.build import build_model
from attn_nas.runs.candidate import Candidate
from attn_nas.runs.run import Run
from attn_nas.sampling import Belief
from attn_nas.space.genotype import Genotype
from attn_nas.space.metric import Metric
from attn_nas.space.task import Task
from attn_nas.training import Numerics, ProxyResult
from attn_nas.training.scores import evaluation_batch, metric_of


@dataclass(frozen=True)
class Recorded:
    """The validation ``accuracy`` (0 to 1), or score of another metric, at the end of the training of the weights.

    It was computed with batches of ``batch`` images, in ``numerics``. ``metric`` is its name in `attn_nas.training.metrics`.
    """

    accuracy: float
    batch: int
    numerics: Numerics
    metric: str = "accuracy"

    @classmethod
    def of(cls, run: Run, trained: ProxyResult) -> Recorded:
        """Read it from one training of ``run``."""
        numerics = run.manifest.numerics
        batch = evaluation_batch((run.task.height, run.task.width), numerics, trained.micro_batch)
        return cls(trained.accuracy, batch, numerics, metric_of(run.space.proxy, run.task))


@dataclass(frozen=True, eq=False)
class Winner:
    """A trained network to be exported.

    ``meaning`` has the preprocessing of its images, the names of its classes, and the accuracy that the model card reports on
    the data set ``data``. ``summary`` has paragraphs about the measurements, and ``facts`` has the measurements as JSON-ready
    data, for ``config.json``. ``about`` has the paragraphs of the docstring of ``model.py``.
    """

    genotype: Genotype
    task: Task
    weights: Mapping[str, Tensor]
    recorded: Recorded
    meaning: Meaning
    cost: Cost
    data: str
    summary: tuple[str, ...]
    facts: Mapping[str, Any]
    about: tuple[str, ...]

    @property
    def key(self) -> str:
        """Key of the genotype."""
        return self.genotype.key

    def model(self) -> nn.Module:
        """Build the trained network, in evaluation mode.

        Raises:
            ExportError: the weights do not fit the genotype.

        """
        model = build_model(self.genotype, self.task.num_classes, self.task.channels)
        try:
            model.load_state_dict(dict(self.weights))
        except RuntimeError as error:
            reasons = [line.strip() for line in str(error).splitlines()]
            raise ExportError(f"the weights of {self.key} do not fit its network: {' '.join(reasons[1:2])}") from None
        return model.eval()

    @classmethod
    def of(cls, run: Run, candidate: Candidate) -> Winner:
        """Make the winner of a candidate, with the weights in the run folder.

        Raises:
            RunError: the weights were not kept, or cannot be read.

        """
        record, seed = candidate.record, run.weights_seed(candidate)
        (trained,) = (result for result in candidate.results if result.seed == seed)
        return cls(
            record.genotype,
            run.task,
            run.weights(candidate),
            Recorded.of(run, trained),
            Meaning.of(run, _reported(run, candidate, trained)),
            record.cost,
            run.data_name,
            _summary(run, candidate, trained),
            _facts(run, candidate, seed),
            about(candidate, reached(candidate)),
        )


def _reported(run: Run, candidate: Candidate, trained: ProxyResult) -> Reported:
    metric, split = run.metric, None if run.space.objective else "validation"
    epochs = run.space.proxy.epochs if run.space.objective else trained.epochs
    return Reported(metric.value(candidate.measured.value), split, epochs, len(candidate.results), metric)


def _summary(run: Run, candidate: Candidate, trained: ProxyResult) -> tuple[str, ...]:
    metric, epochs = run.metric, run.space.proxy.epochs if run.space.objective else trained.epochs
    name = metric.name if run.space.objective else "Validation accuracy"
    where = run.data_name if run.space.data else f"the {run.data_name}"
    return (
        f"{name} {metric.mean_text(candidate.measured)} on {where} after a short proxy "
        f"training of {plural(epochs, 'epoch')} with {mean_of_seeds(len(candidate.results))}; the weights are those "
        f"of seed {trained.seed}, which reached {metric.text(trained.accuracy)}.{_estimate(candidate.belief, metric)}",
        f"Verdict on its search: {run.verdict.text}",
        *described(run, candidate, run.manifest.versions.model_dump()),
    )


def described(run: Run, candidate: Candidate, versions: Mapping[str, str]) -> tuple[str, ...]:
    """Return paragraphs about costs, input and versions, for a short or a full training."""
    cost, manifest = candidate.record.cost, run.manifest
    numerics = (
        manifest.numerics.device if run.space.objective else f"{manifest.numerics.precision} on {manifest.numerics.device}"
    )
    return (
        f"{cost.flops:,} FLOPs ({candidate.added_flops:+,} over the bare trunk; {manifest.flops_convention}), "
        f"{cost.macs:,} MACs in convolutions and matrix products, {cost.params:,} parameters."
        f"{_times(candidate)}",
        *(_input_of_objective(run) if run.space.objective else _input(run)),
        f"Trained with attn-nas {versions['attn_nas']} and torch {versions['torch']}, {numerics}.",
    )


def _shape(run: Run) -> str:
    task = run.task
    return f"Input: {task.channels} x {task.height} x {task.width} (C x H x W)."


def _input(run: Run) -> tuple[str, str]:
    return f"{_shape(run)} {Preprocessing.of(run)}", f"Training images were {run.augmentation}."


def _input_of_objective(run: Run) -> tuple[str]:
    code = run.space.objective and run.space.objective.code
    return (f"{_shape(run)} Trained by {f'the objective {code.text}' if code else 'an objective'} of its user.",)


def mean_of_seeds(number: int) -> str:
    """State the number of seeds of an accuracy, and that it is their mean."""
    return plural(number, "seed") + ", the mean and its standard error" * (number > 1)


def plural(number: int, noun: str) -> str:
    """A number with its noun: ``1 seed``, ``3 seeds``."""
    return f"{number} {noun}" + "s" * (number != 1)


def _estimate(belief: Belief | None, metric: Metric) -> str:
    if belief is None:
        return ""
    low, high = sorted((belief.low, belief.high), key=metric.value)
    return (
        f" Estimated from all trainings of the run, the {metric.name} is between {metric.number(low)} and "
        f"{metric.text(high)} with a probability of 90 %, and the network is the best for its cost with a probability of "
        f"{likely(belief.chance)}."
    )


def _times(candidate: Candidate) -> str:
    profile = candidate.record.profile
    if profile is None:
        return ""
    if candidate.run.note_of_times is not None:
        return f" Memory of a training step, relative to the bare trunk: {profile.step_memory_ratio:.2f} x."
    return (
        f" Relative to the bare trunk, measured in turns: training step {profile.step_ratio:.2f} x, inference of one image "
        f"{profile.latency_1_ratio:.2f} x, of 128 images {profile.latency_128_ratio:.2f} x, memory of a training step "
        f"{profile.step_memory_ratio:.2f} x."
    )


def _facts(run: Run, candidate: Candidate, weights_seed: int) -> dict[str, Any]:
    return {
        "proxy": run.space.proxy.model_dump(mode="json"),
        **known(run, candidate),
        "weights_seed": weights_seed,
    }


def known(run: Run, candidate: Candidate) -> dict[str, Any]:
    """Return the results, costs and settings of a candidate as JSON-ready data."""
    profile = candidate.record.profile
    return {
        "data": run.space.data and run.space.data.model_dump(mode="json", exclude={"root"}),
        "augmentation": run.augmentation and vars(run.augmentation),
        "numerics": run.manifest.numerics.to_dict(),
        "results": candidate.results_in_metric,
        "belief": candidate.to_dict()["belief"],
        "verdict": run.verdict.to_dict(),
        "cost": candidate.record.cost.to_dict(),
        "added_flops": candidate.added_flops,
        "profile": profile.to_dict() if profile else None,
        "flops_convention": run.manifest.flops_convention,
        "versions": run.manifest.versions.model_dump(),
    }
