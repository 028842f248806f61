"""Efficient local attention. Xu and Wan, "ELA: Efficient Local Attention for Deep CNNs", arXiv 2403.01123."""

from math import gcd

import torch
from torch import Tensor, nn

from attn_nas.attention.sizes import odd_kernel, positive
from attn_nas.attention.zoo.gates import sigmoid_gate, zero_init


class EfficientLocalAttention(nn.Module):
    """One gate per row and one per column: ``y = x * g(mean_w(x)) * g(mean_h(x))``, ``g(z) = sigmoid(gn(conv_k(z)))``.

    The depthwise 1-D convolution and the group norm (16 groups where they divide ``C``, else their greatest common divisor)
    are shared by both directions, as in published third-party code; no code of the authors is known. Input and output are
    ``(B, C, H, W)``; the gates are ``(B, C, H, 1)`` and ``(B, C, 1, W)``; ``k C + 2 C`` parameters.
    """

    def __init__(self, channels: int, *, kernel_size: int = 7, identity_init: bool = False) -> None:
        super().__init__()
        positive(channels=channels)
        size = odd_kernel(kernel_size)
        self.identity_init = identity_init
        self.conv = nn.Conv1d(channels, channels, size, padding=size // 2, groups=channels, bias=False)
        self.gn = nn.GroupNorm(gcd(16, channels), channels)
        if identity_init:
            zero_init(self.gn)

    def gate(self, strip: Tensor) -> Tensor:
        """The gate ``(B, C, L)`` of a strip of means ``(B, C, L)``."""
        gn = self.gn
        normed = torch.group_norm(self.conv(strip), gn.num_groups, gn.weight, gn.bias, gn.eps)
        return sigmoid_gate(normed, self.identity_init).to(strip.dtype)

    def forward(self, x: Tensor) -> Tensor:
        """``x`` ``(B, C, H, W)`` times the gates of its rows and columns."""
        return x * self.gate(x.mean(3)).unsqueeze(3) * self.gate(x.mean(2)).unsqueeze(2)
