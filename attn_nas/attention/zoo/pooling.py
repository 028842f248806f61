"""Means and maxima of feature maps, over pixels or over channels, whose gradients keep the memory format of the map.

The gradient of ``Tensor.mean`` is contiguous even if the map is in channels_last format; adding it to other gradients of the
map can take longer than the convolution before it. In the backward pass, ``max`` sends the gradient to a stored index, whereas
``amax`` compares the whole map again to divide the gradient among equal values. Without gradients ``amax`` is faster: over
channels by a factor of two to thirty.

Symbolic tracing (torch.fx) cannot look into these functions, whose way depends on the map: as with those of
``torch.nn.functional``, a call becomes one node of the graph. None has an operator that torch refuses to run
deterministically.
"""

import torch
from torch import Tensor
from torch.overrides import handle_torch_function, has_torch_function_unary

PLAIN = {
    "mean_over_pixels": "x.mean((2, 3), keepdim=True)",
    "max_over_pixels": "x.amax((2, 3), keepdim=True)",
    "mean_over_channels": "x.mean(1, keepdim=True)",
    "max_over_channels": "x.amax(1, keepdim=True)",
}
"""What exported source has in place of the functions: equal to the bit on a CPU; their gradients are always contiguous."""


def is_channels_last(x: Tensor) -> bool:
    """True if ``x`` is in channels_last memory format and not contiguous as well."""
    return x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()


def mean_over_pixels(x: Tensor) -> Tensor:
    """The mean of each channel, ``(B, C, 1, 1)`` from ``(B, C, H, W)``."""
    if has_torch_function_unary(x):
        return handle_torch_function(mean_over_pixels, (x,), x)
    if is_channels_last(x):
        return x.permute(0, 2, 3, 1).mean((1, 2))[:, :, None, None]
    return x.mean((2, 3), keepdim=True)


def max_over_pixels(x: Tensor) -> Tensor:
    """The maximum of each channel, ``(B, C, 1, 1)`` from ``(B, C, H, W)``."""
    if has_torch_function_unary(x):
        return handle_torch_function(max_over_pixels, (x,), x)
    if not (x.requires_grad or torch.jit.is_tracing()):
        return x.amax((2, 3), keepdim=True)
    if is_channels_last(x):
        return x.permute(0, 2, 3, 1).flatten(1, 2).max(1)[0][:, :, None, None]
    return x.flatten(2).max(2)[0][:, :, None, None]


def mean_over_channels(x: Tensor) -> Tensor:
    """The mean at each pixel, ``(B, 1, H, W)`` from ``(B, C, H, W)``."""
    if has_torch_function_unary(x):
        return handle_torch_function(mean_over_channels, (x,), x)
    if is_channels_last(x):
        return x.permute(0, 2, 3, 1).mean(3).unsqueeze(1)
    return x.mean(1, keepdim=True)


def max_over_channels(x: Tensor) -> Tensor:
    """The maximum at each pixel, ``(B, 1, H, W)`` from ``(B, C, H, W)``."""
    if has_torch_function_unary(x):
        return handle_torch_function(max_over_channels, (x,), x)
    if not (x.requires_grad or torch.jit.is_tracing()):
        return x.amax(1, keepdim=True)
    if is_channels_last(x):
        return x.permute(0, 2, 3, 1).max(3)[0].unsqueeze(1)
    return x.max(1, keepdim=True)[0]


def free_pixels(x: Tensor) -> int:
    """The divisor of an unbiased variance over the pixels of ``x`` ``(B, C, H, W)``: ``H W - 1``, but 1 for a single pixel."""
    if has_torch_function_unary(x):
        return handle_torch_function(free_pixels, (x,), x)
    pixels = x.shape[2] * x.shape[3]
    if torch.jit.is_tracing():
        return pixels - 1 + (pixels == 1)
    return max(pixels - 1, 1)
