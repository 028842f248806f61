"""Effective squeeze-and-excitation. Lee and Park, "CenterMask", arXiv 1911.06667."""

import torch.nn.functional as F
from torch import Tensor, nn

from attn_nas.attention.sizes import positive
from attn_nas.attention.zoo.gates import zero_init
from attn_nas.attention.zoo.pooling import mean_over_pixels


class EffectiveSqueezeExcitation(nn.Module):
    """Channel gate from one full matrix: ``y = x * hardsigmoid(W mean_hw(x) + b)`` (section 3.3).

    Input and output are ``(B, C, H, W)``; the gate is ``(B, C, 1, 1)``; ``C^2 + C`` parameters, which is
    many for wide layers.
    """

    def __init__(self, channels: int, *, identity_init: bool = False) -> None:
        super().__init__()
        positive(channels=channels)
        self.identity_init = identity_init
        self.fc = nn.Conv2d(channels, channels, 1)
        if identity_init:
            zero_init(self.fc)

    def gate(self, x: Tensor) -> Tensor:
        """The gate ``(B, C, 1, 1)`` for ``x`` ``(B, C, H, W)``."""
        gate = F.hardsigmoid(self.fc(mean_over_pixels(x)))
        return 2 * gate if self.identity_init else gate

    def forward(self, x: Tensor) -> Tensor:
        """``x`` ``(B, C, H, W)`` times its gate."""
        return x * self.gate(x)
