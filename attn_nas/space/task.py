"""What a network is asked to do: the shape of its input and the number of classes."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Task:
    """Images ``(channels, height, width)`` to be told into ``num_classes`` classes."""

    channels: int
    height: int
    width: int
    num_classes: int

    @property
    def chance(self) -> float:
        """Accuracy of guessing among balanced classes."""
        return 1.0 / self.num_classes
