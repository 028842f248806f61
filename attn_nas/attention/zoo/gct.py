"""Gated channel transformation. Yang et al., "Gated Channel Transformation for Visual Recognition", arXiv 1909.11519."""

import torch
from torch import Tensor, nn

from attn_nas.attention.sizes import above_zero, positive


class GatedChannelTransformation(nn.Module):
    """Channels compete by their norms: ``y = x * (1 + tanh(gamma * e / rms_c(e) + beta))``, ``e = alpha * |x|_2`` (Eq. 1-5).

    The norm of each channel is over pixels, in fp32. Input and output are ``(B, C, H, W)``; the gate is ``(B, C, 1, 1)``;
    ``3 C`` parameters. ``gamma`` and ``beta`` start at 0, so the gate starts at the identity.
    """

    def __init__(self, channels: int, *, eps: float = 1e-5) -> None:
        super().__init__()
        positive(channels=channels)
        above_zero("eps", eps, "1e-5")
        self.eps = eps
        self.alpha = nn.Parameter(torch.ones(1, channels, 1, 1))
        self.gamma = nn.Parameter(torch.zeros(1, channels, 1, 1))
        self.beta = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def gate(self, x: Tensor) -> Tensor:
        """The gate ``(B, C, 1, 1)`` for ``x`` ``(B, C, H, W)``."""
        energy = x.float().square().sum((2, 3), keepdim=True)
        embedding = (energy + self.eps).sqrt() * self.alpha
        competition = embedding * (embedding.square().mean(1, keepdim=True) + self.eps).rsqrt()
        return (1 + (self.gamma * competition + self.beta).tanh()).to(x.dtype)

    def forward(self, x: Tensor) -> Tensor:
        """``x`` ``(B, C, H, W)`` times its gate."""
        return x * self.gate(x)
