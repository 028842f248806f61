"""What the numbers at both ends of an exported network mean: preprocessing of its images, names of its classes, its metric."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from attn_nas.data.rules import DataRules
from attn_nas.runs.run import Run
from attn_nas.space.metric import ACCURACY, Metric

_UNNAMED = (
    "The names of the classes are not known: the run was begun by a version of attn-nas that did not keep them. Classes are "
    "numbered in the order of their labels; for a folder of images these are the names of its folders in alphabetical order."
)
_MOST_NAMED = 100
"""Classes that the model card lists; `config.json` has all."""


@dataclass(frozen=True)
class Preprocessing:
    """How a photo becomes the input of a network: see `to_dict`, and `attn_nas.data.pixels.read_image` for the rules.

    ``rule`` is the decoding rule, ``size`` height and width in pixels; ``mean`` and ``std`` are of pixels from 0 to 1, for each
    channel.
    """

    rule: int
    size: tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def of(cls, run: Run) -> Preprocessing:
        """That of ``run``; where its data set is not made of files, photos are decoded by the present rule."""
        manifest, task = run.manifest, run.task
        of_files = run.data.name in ("image_folder", "image_list")
        rule = manifest.rules.decoding if of_files else DataRules().decoding
        return cls(rule, (task.height, task.width), run.normalization.mean, run.normalization.std)

    @property
    def mode(self) -> str:
        """The mode of the image in Pillow: ``RGB`` or ``L`` (grey)."""
        return "L" if len(self.mean) == 1 else "RGB"

    @property
    def normalization(self) -> dict[str, list[float]]:
        """The ``mean`` and the ``std`` as JSON-ready data."""
        return {"mean": list(self.mean), "std": list(self.std)}

    def to_dict(self) -> dict[str, Any]:
        """The steps in their order, as JSON-ready data."""
        is_new = self.rule >= 2
        return {
            "decoding_rule": self.rule,
            "exif_orientation": "applied" if is_new else "ignored",
            "more_than_8_bits": "scaled by the range of the type" if is_new else "clipped at 255",
            "transparency": "on white" if is_new else "dropped",
            "mode": self.mode,
            "crop": "centre, in the proportions of size",
            "size": list(self.size),
            "interpolation": "bilinear, antialiased",
            "pixels": "from 0 to 1",
            **self.normalization,
        }

    def __str__(self) -> str:
        height, width = self.size
        decoding = (
            "turned upright by its EXIF orientation, values of more than 8 bits scaled by the range of their type, transparent "
            "parts put on white"
            if self.rule >= 2
            else "not turned by its EXIF orientation, values of more than 8 bits clipped at 255, transparency dropped"
        )
        return (
            f"A photo is decoded as {self.mode} ({decoding}), cropped at its centre to the proportions {width}:{height}, "
            f"resized to {width} x {height} pixels (width x height; bilinear, antialiased), divided by 255, minus the mean "
            f"{_numbers(self.mean)}, divided by the deviation {_numbers(self.std)}."
        )


@dataclass(frozen=True)
class Reported:
    """What a card reports: ``value`` of the ``metric`` on a ``split``, the mean of ``seeds`` trainings of ``epochs``.

    The split is None for the metric of an objective, which has its own.
    """

    value: float
    split: str | None
    epochs: int
    seeds: int
    metric: Metric = ACCURACY

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready data."""
        values = {name: value for name, value in vars(self).items() if name != "metric" and value is not None}
        return {"name": self.metric.name, **({} if self.metric == ACCURACY else {"direction": self.metric.direction}), **values}

    def __str__(self) -> str:
        epochs, seeds = (f"{n} {noun}{'s' * (n != 1)}" for n, noun in ((self.epochs, "epoch"), (self.seeds, "seed")))
        where = f" on the {self.split} split" if self.split else ""
        return f"{self.metric.name}{where} after {epochs}, mean of {seeds}"


@dataclass(frozen=True)
class Meaning:
    """The meaning of inputs and outputs of a network.

    ``classes`` are None where the run did not keep their names, ``preprocessing`` where an objective of the user prepares the
    inputs and reads the outputs.
    """

    preprocessing: Preprocessing | None
    num_classes: int
    classes: tuple[str, ...] | None
    metric: Reported

    @classmethod
    def of(cls, run: Run, metric: Reported) -> Meaning:
        """That of the networks of ``run``."""
        preprocessing = None if run.space.objective else Preprocessing.of(run)
        return cls(preprocessing, run.task.num_classes, run.manifest.classes, metric)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the classes in the order of the logits; ``class 0`` and so on where they are not known."""
        return self.classes or tuple(f"class {label}" for label in range(self.num_classes))

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready data, for ``config.json``."""
        if self.preprocessing is None:
            return {"outputs": self.num_classes or None, "metric": self.metric.to_dict()}
        return {
            "classes": list(self.names),
            "class_names_known": self.classes is not None,
            "preprocessing": self.preprocessing.to_dict(),
            "metric": self.metric.to_dict(),
        }

    def to_metadata(self) -> dict[str, str]:
        """The same as texts of JSON by name, for the metadata of a file."""
        return {name: json.dumps(value) for name, value in self.to_dict().items()}

    def paragraphs(self) -> list[str]:
        """Paragraphs about the classes for a model card."""
        if self.preprocessing is None:
            outputs = f"It has {self.num_classes} outputs. " if self.num_classes else ""
            return [f"{outputs}What its inputs and outputs mean is said by the objective that trained it."]
        listed = ", ".join(f"{label} {name}" for label, name in enumerate(self.names[:_MOST_NAMED]))
        more = f" and {len(self.names) - _MOST_NAMED:,} more in config.json" if len(self.names) > _MOST_NAMED else ""
        return [f"Classes, in the order of the logits: {listed}{more}.", *[_UNNAMED] * (self.classes is None)]


def _numbers(values: tuple[float, ...]) -> str:
    return "(" + ", ".join(f"{value:.4f}" for value in values) + ")"
