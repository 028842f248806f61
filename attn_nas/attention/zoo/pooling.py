"""Means and maxima of feature maps, over places or over channels, that keep the order of the map's memory in the backward pass.

The gradient of a plain mean is laid out as ``(B, C, H, W)`` whatever the map was: under channels_last adding it to other
gradients of the map takes longer than the convolution before it. A maximum that remembers where it stood sends its gradient
there, where ``amax`` compares the whole map again to share it among equals; without a gradient to come ``amax`` is the faster
of the two, over channels by two to thirty times.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def is_channels_last(x: Tensor) -> bool:
    """Whether the channels of one place lie together in memory, and the places of one channel do not."""
    return x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()


def mean_over_places(x: Tensor) -> Tensor:
    """The mean of each channel, ``(B, C, 1, 1)`` from ``(B, C, H, W)``."""
    if is_channels_last(x):
        return x.permute(0, 2, 3, 1).mean((1, 2))[:, :, None, None]
    return x.mean((2, 3), keepdim=True)


def max_over_places(x: Tensor) -> Tensor:
    """The maximum of each channel, ``(B, C, 1, 1)`` from ``(B, C, H, W)``."""
    if x.requires_grad or is_channels_last(x):
        return F.adaptive_max_pool2d(x, 1)
    return x.amax((2, 3), keepdim=True)


def mean_over_channels(x: Tensor) -> Tensor:
    """The mean at each place, ``(B, 1, H, W)`` from ``(B, C, H, W)``."""
    if is_channels_last(x):
        return x.permute(0, 2, 3, 1).mean(3).unsqueeze(1)
    return x.mean(1, keepdim=True)


def max_over_channels(x: Tensor) -> Tensor:
    """The maximum at each place, ``(B, 1, H, W)`` from ``(B, C, H, W)``."""
    if not x.requires_grad:
        return x.amax(1, keepdim=True)
    if is_channels_last(x):
        return x.permute(0, 2, 3, 1).max(3).values.unsqueeze(1)
    return x.max(1, keepdim=True).values
