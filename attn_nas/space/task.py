"""The task of a network: the shape of its input, and what it says about an image."""

from dataclasses import dataclass
from typing import Literal

TaskKind = Literal["classification", "multi_label", "segmentation"]

UNKNOWN = 0
"""Number of classes of a network of the user's own, where only its objective knows what its outputs are."""


@dataclass(frozen=True)
class Task:
    """What a network is trained for: images ``(channels, height, width)``, in pixels, ``num_classes`` (or `UNKNOWN`) classes.

    ``kind`` says what a label is: one class of an image (``classification``), any number of classes of an image
    (``multi_label``), or one class for each pixel (``segmentation``). ``ignored`` is the value of the pixels of a mask that
    belong to no class; neither loss nor score counts them.
    """

    channels: int
    height: int
    width: int
    num_classes: int
    kind: TaskKind = "classification"
    ignored: int | None = None

    def __str__(self) -> str:
        size = f"{self.channels} x {self.height} x {self.width}"
        return f"{size} in {self.num_classes} classes" if self.num_classes else size

    @property
    def chance(self) -> float:
        """Accuracy of random guessing if classes are balanced, as a fraction of 1; 0 where no single class is guessed."""
        return 1.0 / self.num_classes if self.kind == "classification" and self.num_classes else 0.0
