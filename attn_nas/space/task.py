"""The task of a network: the shape of its input and the number of classes."""

from dataclasses import dataclass

UNKNOWN = 0
"""Number of classes of a network of the user's own, where only its objective knows what its outputs are."""


@dataclass(frozen=True)
class Task:
    """Classification of images ``(channels, height, width)``, in pixels, into ``num_classes`` (or `UNKNOWN`) classes."""

    channels: int
    height: int
    width: int
    num_classes: int

    def __str__(self) -> str:
        size = f"{self.channels} x {self.height} x {self.width}"
        return f"{size} in {self.num_classes} classes" if self.num_classes else size

    @property
    def chance(self) -> float:
        """Accuracy of random guessing if classes are balanced, as a fraction of 1."""
        return 1.0 / self.num_classes
