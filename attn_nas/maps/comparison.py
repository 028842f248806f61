"""A candidate beside the bare trunk and CBAM everywhere on the same validation images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from attn_nas.data import Split
from attn_nas.errors import RunError, UsageError, first_line
from attn_nas.maps.activation import ActivationMap, activation_maps
from attn_nas.maps.gates import Gate, gates_of, without
from attn_nas.models.build import build_model
from attn_nas.runs.candidate import Candidate
from attn_nas.runs.run import Run
from attn_nas.space.genotype import Genotype

BESIDE = ("none", "cbam everywhere")
"""The references that every candidate is held against, where the run has them."""
MOST_IMAGES = 50
_SAMPLE = 1000
_PIXELS = 2**19


@dataclass(frozen=True, eq=False)
class Observed:
    """A trained network on the sample of ``S`` validation images.

    ``logits`` are ``(S, num_classes)``, ``right`` ``(S,)`` says where it takes an image for what it is, ``gates`` what its
    attention does to each image, and ``worth`` what each of these is worth: accuracy, as a share of 1, that is lost where it
    scales by its mean everywhere, or a change is left out, without training again (None in the place of a convolution).
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
        """The class of each image ``(S,)`` that it takes it for."""
        return self.logits.argmax(1)

    @property
    def probability(self) -> Tensor:
        """How likely it takes that class to be ``(S,)``."""
        return self.logits.softmax(1).amax(1)

    @property
    def accuracy(self) -> float:
        """Share of the sample that it is right on."""
        return float(self.right.float().mean())


@dataclass(frozen=True, eq=False)
class Comparison:
    """A candidate's network, first of ``networks``, beside others on one ``sample`` of the validation split.

    ``outcomes`` are indices of images by who is right; those ``shown`` ``(N,)`` are to be looked at, and ``activations`` are
    each network's maps of them, for the class it takes each for.
    """

    title: str
    sample: Split
    networks: tuple[Observed, ...]
    outcomes: dict[str, Tensor]
    shown: Tensor
    activations: tuple[tuple[ActivationMap, ...], ...]

    def to_dict(self) -> dict[str, Any]:
        """Accuracies, outcomes and gates as plain data."""
        return {
            "sample": len(self.sample),
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


def outcomes_of(networks: Sequence[Observed]) -> dict[str, Tensor]:
    """Indices of images by whether the first network is right and, if there is a second, whether that one is."""
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


def dealt(groups: Sequence[Tensor], number: int) -> Tensor:
    """``number`` indices, or all, taken from ``groups`` of them in turns, the first of each first; sorted by group."""
    turns = sorted((turn, which) for which, group in enumerate(groups) for turn in range(len(group)))[:number]
    return torch.tensor([int(groups[which][turn]) for turn, which in sorted(turns, key=lambda taken: (taken[1], taken[0]))])


def compare(run: Run, candidates: Sequence[Candidate], images: int = 6, *, download: bool = False) -> list[Comparison]:
    """Each candidate beside the references of `BESIDE` on the first 1,000 validation images, in fp32 on the CPU.

    ``images`` of them are to be shown: in turns such that the candidate reads and the bare trunk does not, that both read, that
    only the trunk reads and that neither does, always the first of each kind.

    Raises:
        UsageError: an impossible number of images.
        RunError: the weights of a candidate were not kept, or do not fit it.
        DataError: the data set is missing, or is not what it was.

    """
    if not 1 <= images <= MOST_IMAGES:
        raise UsageError(f"images = {images}: choose an integer from 1 to {MOST_IMAGES}")
    beside = [candidate for name in BESIDE for candidate in run.references if candidate.record.reference == name]
    unique = {candidate.record.key: candidate for candidate in (*candidates, *beside)}
    models = {key: _trained(run, candidate) for key, candidate in unique.items()}
    validation = run.manifest.load_dataset(run.space, download=download).validation
    sample = validation.take(torch.arange(min(_SAMPLE, len(validation))))
    inputs = _normalised(run, sample.images)
    observed = {key: _observe(unique[key], model, inputs, sample.labels) for key, model in models.items()}
    compared = []
    for candidate in candidates:
        keys = dict.fromkeys(each.record.key for each in (candidate, *beside))
        compared.append(_compared(run.manifest.space_name, [observed[key] for key in keys], sample, inputs, images))
    return compared


def _trained(run: Run, candidate: Candidate) -> nn.Module:
    model = build_model(candidate.record.genotype, run.task.num_classes, run.task.channels)
    try:
        model.load_state_dict(run.weights(candidate))
    except RuntimeError as error:
        raise RunError(f"the weights of {candidate.record.key} are not those of its network: {first_line(error)}") from None
    return model.eval()


def _normalised(run: Run, pixels: Tensor) -> Tensor:
    normalization = run.manifest.normalization
    mean, std = (torch.tensor(values)[:, None, None] for values in (normalization.mean, normalization.std))
    return (pixels.float() / 255 - mean) / std


def _batches(inputs: Tensor) -> tuple[Tensor, ...]:
    return inputs.split(max(1, _PIXELS // inputs[0, 0].numel()))


def _observe(candidate: Candidate, model: nn.Module, inputs: Tensor, labels: Tensor) -> Observed:
    record = candidate.record
    parts = [gates_of(model, record.genotype, batch) for batch in _batches(inputs)]
    logits = torch.cat([part for part, _ in parts])
    gates = tuple(map(Gate.joined, zip(*(gates for _, gates in parts), strict=True)))
    right = logits.argmax(1) == labels
    worth = tuple(_worth(model, gate, inputs, labels, right) for gate in gates)
    return Observed(record.key, record.reference or record.key, record.genotype, model, logits, right, gates, worth)


def _worth(model: nn.Module, gate: Gate, inputs: Tensor, labels: Tensor, right: Tensor) -> float | None:
    if gate.kind == "output":
        return None
    logits = torch.cat([without(model, gate, batch) for batch in _batches(inputs)])
    return float(right.float().mean() - (logits.argmax(1) == labels).float().mean())


def _compared(title: str, networks: Sequence[Observed], sample: Split, inputs: Tensor, number: int) -> Comparison:
    outcomes = outcomes_of(networks)
    shown = dealt([*outcomes.values()], number)
    maps = tuple(_activations(network, inputs[shown], network.predicted[shown]) for network in networks)
    return Comparison(title, sample, tuple(networks), outcomes, shown, maps)


def _activations(network: Observed, inputs: Tensor, classes: Tensor) -> tuple[ActivationMap, ...]:
    batches = _batches(inputs)
    wanted = classes.split(len(batches[0]))
    trunk = network.genotype.trunk
    parts = [activation_maps(network.model, trunk, *taken) for taken in zip(batches, wanted, strict=True)]
    return tuple(map(ActivationMap.joined, zip(*parts, strict=True)))
