"""Efficient channel attention. Wang et al., "ECA-Net", arXiv 1910.03151."""

from typing import Literal

from torch import Tensor, nn

from attn_nas.attention.sizes import adaptive_kernel, odd_kernel, positive
from attn_nas.attention.zoo.gates import sigmoid_gate, zero_init
from attn_nas.attention.zoo.pooling import max_over_pixels, mean_over_pixels


class EfficientChannelAttention(nn.Module):
    """Channel gate from a 1-D convolution across channels: ``y = x * sigmoid(conv_k(mean_hw(x)))``.

    Input and output are ``(B, C, H, W)``; the gate is ``(B, C, 1, 1)``; ``k`` parameters, no bias.
    ``kernel_size=None`` takes the paper's adaptive size for ``C``. ``pooling="avg+max"`` is not in the paper: it adds
    the global maximum to the average, which equals two passes of the same (linear) convolution.
    """

    def __init__(
        self,
        channels: int,
        *,
        kernel_size: int | None = None,
        pooling: Literal["avg", "avg+max"] = "avg",
        identity_init: bool = False,
    ) -> None:
        super().__init__()
        if pooling not in ("avg", "avg+max"):
            raise ValueError(f"pooling = {pooling!r}: choose from 'avg', 'avg+max'")
        positive(channels=channels)
        size = adaptive_kernel(channels) if kernel_size is None else odd_kernel(kernel_size)
        self.pooling = pooling
        self.identity_init = identity_init
        self.conv = nn.Conv1d(1, 1, size, padding=size // 2, bias=False)
        if identity_init:
            zero_init(self.conv)

    def gate(self, x: Tensor) -> Tensor:
        """The gate ``(B, C, 1, 1)`` for ``x`` ``(B, C, H, W)``."""
        squeezed = mean_over_pixels(x)
        if self.pooling == "avg+max":
            squeezed = squeezed + max_over_pixels(x)
        gate = sigmoid_gate(self.conv(squeezed.flatten(1).unsqueeze(1)), self.identity_init)
        return gate.transpose(1, 2).unsqueeze(-1)

    def forward(self, x: Tensor) -> Tensor:
        """``x`` ``(B, C, H, W)`` times its gate."""
        return x * self.gate(x)
