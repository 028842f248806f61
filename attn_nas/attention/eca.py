"""Efficient channel attention. Wang et al., "ECA-Net", arXiv 1910.03151."""

from typing import Literal

from torch import Tensor, nn

from attn_nas.attention.sizes import adaptive_kernel, odd_kernel


class EfficientChannelAttention(nn.Module):
    """Channel gate from a 1-D convolution across channels: ``y = x * sigmoid(conv_k(mean_hw(x)))``.

    Input and output are ``(B, C, H, W)``; the gate is ``(B, C, 1, 1)``; ``k`` parameters, no bias.
    ``kernel_size=None`` takes the paper's adaptive size for ``C``. ``pooling="avg+max"`` is not in the paper: it adds
    the global maximum to the average, which equals two passes of the same (linear) convolution.
    """

    def __init__(self, channels: int, *, kernel_size: int | None = None, pooling: Literal["avg", "avg+max"] = "avg") -> None:
        super().__init__()
        if pooling not in ("avg", "avg+max"):
            raise ValueError(f"pooling = {pooling!r}: choose from 'avg', 'avg+max'")
        if channels < 1:
            raise ValueError(f"channels = {channels}: choose an integer of at least 1")
        size = adaptive_kernel(channels) if kernel_size is None else odd_kernel(kernel_size)
        self.pooling = pooling
        self.conv = nn.Conv1d(1, 1, size, padding=size // 2, bias=False)

    def gate(self, x: Tensor) -> Tensor:
        """The gate ``(B, C, 1, 1)`` for ``x`` ``(B, C, H, W)``."""
        squeezed = x.mean((2, 3))
        if self.pooling == "avg+max":
            squeezed = squeezed + x.amax((2, 3))
        return self.conv(squeezed.unsqueeze(1)).sigmoid().transpose(1, 2).unsqueeze(-1)

    def forward(self, x: Tensor) -> Tensor:
        """``x`` ``(B, C, H, W)`` times its gate."""
        return x * self.gate(x)
