"""Compares candidates with the bare trunk and with CBAM everywhere on the same validation images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from attn_nas.data import Split
from attn_nas.errors import RunError, UsageError, first_line
from attn_nas.maps.activation import ActivationMap, activation_maps
from attn_nas.maps.gate_statistics import Gate, gates_of, without
from attn_nas.models.build import build_model
from attn_nas.runs.candidate import Candidate
from attn_nas.runs.run import Run
from attn_nas.space.genotype import Genotype

COMPARED_REFERENCES = ("none", "cbam everywhere")
"""The references that every candidate is compared with, if the run has them."""
MAX_IMAGES = 50
_SAMPLE = 1000
_PIXELS = 2**19


@dataclass(frozen=True, eq=False)
class ObservedNetwork:
    """A trained network and its outputs for a sample of ``S`` validation images.

    Args:
        key: key of the network.
        name: name of the reference, or of the network in its run.
        genotype: trunk and placements.
        model: the network in eval mode.
        logits: logits ``(S, num_classes)``.
        right: True for correctly classified images, ``(S,)``.
        gates: effects of its attention modules.
        worth: accuracy, as a fraction of 1, that is lost without retraining if a gate is replaced by its mean, or a change is
            omitted; None for modules that substitute a convolution.

    """

    key: str
    name: str
    genotype: Genotype
    model: nn.Module
    logits: Tensor
    right: Tensor
    gates: tuple[Gate, ...]
    worth: tuple[float | None, ...]

    @property
    def predicted(self) -> Tensor:
        """The predicted class of each image, ``(S,)``."""
        return self.logits.argmax(1)

    @property
    def probability(self) -> Tensor:
        """The probability of the predicted class, ``(S,)``."""
        return self.logits.softmax(1).amax(1)

    @property
    def accuracy(self) -> float:
        """Fraction of correctly classified images."""
        return float(self.right.float().mean())


@dataclass(frozen=True, eq=False)
class NetworkComparison:
    """A candidate (first of ``networks``) and references on one ``sample`` of the validation split.

    ``outcomes`` are indices of images by the correctness of the first two networks, ``shown`` ``(N,)`` are the indices of
    images to display, and ``activations`` are each network's maps of these for its predicted classes. The networks were
    trained for ``epochs``.
    """

    title: str
    epochs: int
    sample: Split
    networks: tuple[ObservedNetwork, ...]
    outcomes: dict[str, Tensor]
    shown: Tensor
    activations: tuple[tuple[ActivationMap, ...], ...]

    def to_dict(self) -> dict[str, Any]:
        """Accuracies, outcomes and gates as plain data."""
        return {
            "sample": len(self.sample),
            "epochs": self.epochs,
            "networks": [
                {
                    "key": network.key,
                    "name": network.name,
                    "accuracy": network.accuracy,
                    "gates": [
                        {**gate.to_dict(), "worth": worth} for gate, worth in zip(network.gates, network.worth, strict=True)
                    ],
                }
                for network in self.networks
            ],
            "outcomes": {name: len(indices) for name, indices in self.outcomes.items()},
            "shown": self.shown.tolist(),
        }


def outcomes_of(networks: Sequence[ObservedNetwork]) -> dict[str, Tensor]:
    """Indices of images grouped by the correctness of the first and, if present, of the second network."""
    first, *others = networks
    if not others:
        cases = {"right": first.right, "wrong": ~first.right}
    else:
        right, other, name = first.right, others[0].right, others[0].name
        cases = {
            f"right, {name} wrong": right & ~other,
            f"right, {name} right": right & other,
            f"wrong, {name} right": ~right & other,
            f"wrong, {name} wrong": ~right & ~other,
        }
    return {name: case.nonzero()[:, 0] for name, case in cases.items()}


def in_turns(groups: Sequence[Tensor], number: int) -> Tensor:
    """At most ``number`` indices, taken from ``groups`` in turns; sorted by group."""
    turns = sorted((turn, which) for which, group in enumerate(groups) for turn in range(len(group)))[:number]
    return torch.tensor([int(groups[which][turn]) for turn, which in sorted(turns, key=lambda taken: (taken[1], taken[0]))])


def compare(run: Run, candidates: Sequence[Candidate], images: int = 6, *, download: bool = False) -> list[NetworkComparison]:
    """Compare each candidate with `COMPARED_REFERENCES` on the first 1,000 validation images, in fp32 on the CPU.

    Args:
        run: the run.
        candidates: candidates whose weights were kept.
        images: number of images to display, 1 to 50. They are taken in turns from those that only the candidate classifies
            correctly, both, only the bare trunk, and neither.
        download: allow downloads of the data.

    Raises:
        UsageError: ``images`` is out of range.
        RunError: the weights of a candidate were not kept, or do not fit its network.
        DataError: the data set is missing or has changed.

    """
    if not 1 <= images <= MAX_IMAGES:
        raise UsageError(f"images = {images}: choose an integer from 1 to {MAX_IMAGES}")
    beside = [candidate for name in COMPARED_REFERENCES for candidate in run.references if candidate.record.reference == name]
    unique = {candidate.record.key: candidate for candidate in (*candidates, *beside)}
    models = {key: _trained(run, candidate) for key, candidate in unique.items()}
    validation = run.load_dataset(download=download).validation
    sample = validation.take(torch.arange(min(_SAMPLE, len(validation))))
    inputs = _normalised(run, sample)
    observed = {key: _observe(unique[key], model, inputs, sample.labels) for key, model in models.items()}
    compared = []
    for candidate in candidates:
        keys = dict.fromkeys(each.record.key for each in (candidate, *beside))
        compared.append(_compared(run, [observed[key] for key in keys], sample, inputs, images))
    return compared


def _trained(run: Run, candidate: Candidate) -> nn.Module:
    model = build_model(candidate.record.genotype, run.task.num_classes, run.task.channels)
    try:
        model.load_state_dict(run.weights(candidate))
    except RuntimeError as error:
        raise RunError(f"the weights of {candidate.record.key} are not those of its network: {first_line(error)}") from None
    return model.eval()


def _normalised(run: Run, split: Split) -> Tensor:
    normalization = run.normalization
    mean, std = (torch.tensor(values)[:, None, None] for values in (normalization.mean, normalization.std))
    return (split.images.float() / split.scale - mean) / std


def _batches(inputs: Tensor) -> tuple[Tensor, ...]:
    return inputs.split(max(1, _PIXELS // inputs[0, 0].numel()))


def _observe(candidate: Candidate, model: nn.Module, inputs: Tensor, labels: Tensor) -> ObservedNetwork:
    record = candidate.record
    parts = [gates_of(model, record.genotype, batch) for batch in _batches(inputs)]
    logits = torch.cat([part for part, _ in parts])
    gates = tuple(map(Gate.joined, zip(*(gates for _, gates in parts), strict=True)))
    right = logits.argmax(1) == labels
    worth = tuple(_worth(model, gate, inputs, labels, right) for gate in gates)
    return ObservedNetwork(record.key, record.reference or candidate.name, record.genotype, model, logits, right, gates, worth)


def _worth(model: nn.Module, gate: Gate, inputs: Tensor, labels: Tensor, right: Tensor) -> float | None:
    if gate.kind == "output":
        return None
    logits = torch.cat([without(model, gate, batch) for batch in _batches(inputs)])
    return float(right.float().mean() - (logits.argmax(1) == labels).float().mean())


def _compared(run: Run, networks: Sequence[ObservedNetwork], sample: Split, inputs: Tensor, number: int) -> NetworkComparison:
    outcomes = outcomes_of(networks)
    shown = in_turns([*outcomes.values()], number)
    maps = tuple(_activations(network, inputs[shown], network.predicted[shown]) for network in networks)
    return NetworkComparison(run.manifest.space_name, run.verdict.epochs, sample, tuple(networks), outcomes, shown, maps)


def _activations(network: ObservedNetwork, inputs: Tensor, classes: Tensor) -> tuple[ActivationMap, ...]:
    batches = _batches(inputs)
    wanted = classes.split(len(batches[0]))
    trunk = network.genotype.trunk
    parts = [activation_maps(network.model, trunk, *taken) for taken in zip(batches, wanted, strict=True)]
    return tuple(map(ActivationMap.joined, zip(*parts, strict=True)))
