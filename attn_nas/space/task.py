"""The task of a network: the shape of its input and the number of classes."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Task:
    """Classification of images ``(channels, height, width)``, in pixels, into ``num_classes`` classes."""

    channels: int
    height: int
    width: int
    num_classes: int

    def __str__(self) -> str:
        return f"{self.channels} x {self.height} x {self.width} in {self.num_classes} classes"

    @property
    def chance(self) -> float:
        """Accuracy of random guessing if classes are balanced, as a fraction of 1."""
        return 1.0 / self.num_classes
