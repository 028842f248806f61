"""Rules for sizes, shared by the mechanisms and the canonical form of genotypes; no torch here."""

import math

MIN_HIDDEN = 4
MAX_KERNEL = 255


def positive(**sizes: int) -> None:
    """Check that all sizes are integers of at least 1.

    Raises:
        ValueError: one is not; the message names it.

    """
    for name, value in sizes.items():
        if type(value) is not int or value < 1:
            raise ValueError(f"{name} = {value!r}: choose an integer of at least 1")


def above_zero(name: str, value: float, like: str) -> None:
    """Check that ``value`` is above 0.

    Raises:
        ValueError: it is not; the message suggests a value ``like`` this.

    """
    if not value > 0:
        raise ValueError(f"{name} = {value}: choose a number above 0, such as {like}")


def hidden_width(channels: int, reduction: int, min_hidden: int = MIN_HIDDEN) -> int:
    """Width of a bottleneck: ``max(min_hidden, channels // reduction)``, with no rounding to a divisor.

    The lower bound is 4, because at 16 channels a single hidden unit before a ReLU is zero for a whole batch in almost half
    of all initialisations.

    Raises:
        ValueError: a size is below 1.

    """
    positive(channels=channels, reduction=reduction, min_hidden=min_hidden)
    return max(min_hidden, channels // reduction)


def canonical_reduction(channels: int, reduction: int, min_hidden: int = MIN_HIDDEN) -> int:
    """The canonical reduction: equal for all reductions that give the same hidden width at ``channels``."""
    hidden = hidden_width(channels, reduction, min_hidden)
    candidate = max(1, channels // hidden)
    return candidate if hidden_width(channels, candidate, min_hidden) == hidden else candidate + 1


def odd_kernel(kernel_size: int) -> int:
    """``kernel_size``, if a convolution with same padding can have it.

    Raises:
        ValueError: the size is even or out of range.

    """
    if type(kernel_size) is not int or not 1 <= kernel_size <= MAX_KERNEL or kernel_size % 2 == 0:
        raise ValueError(f"kernel_size = {kernel_size!r}: choose an odd integer from 1 to {MAX_KERNEL}, such as 3, 5 or 7")
    return kernel_size


def group_width(channels: int, groups: int, multiple: int = 1) -> int:
    """Channels of each of ``groups`` equal groups; a multiple of ``multiple``.

    Raises:
        ValueError: a size is below 1, or the groups do not divide the channels.

    """
    positive(channels=channels, groups=groups)
    if channels % (groups * multiple):
        legal = [number for number in range(1, channels + 1) if channels % (number * multiple) == 0]
        raise ValueError(
            f"groups = {groups} with channels = {channels}: "
            + (f"choose from {', '.join(map(str, legal))}" if legal else f"choose channels divisible by {multiple}")
        )
    return channels // groups


def adaptive_kernel(channels: int, gamma: int = 2, offset: int = 1) -> int:
    """ECA's kernel size for ``channels``: ``log2(C) / gamma + offset / gamma`` made odd (arXiv 1910.03151, Eq. 12).

    As in the authors' code, the number is truncated, and 1 is added if it is even.
    """
    size = int(abs((math.log2(channels) + offset) / gamma))
    return size if size % 2 else size + 1
