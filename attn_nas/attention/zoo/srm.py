"""Style-based recalibration. Lee et al., "SRM: A Style-based Recalibration Module for CNNs", arXiv 1903.10829."""

import torch
from torch import Tensor, nn

from attn_nas.attention.sizes import above_zero, positive
from attn_nas.attention.zoo.gates import sigmoid_gate
from attn_nas.attention.zoo.pooling import free_pixels


class StyleRecalibration(nn.Module):
    """Channel gate from mean and deviation: ``y = x * sigmoid(bn(w1 * mean_hw(x) + w2 * std_hw(x)))`` (Eq. 3-5).

    Input and output are ``(B, C, H, W)``; the gate is ``(B, C, 1, 1)``. The deviation has divisor ``H W - 1`` and is
    computed in fp32. ``4 C`` parameters: two weights per channel, zero at the start, and a batch norm. Training needs a
    batch of at least 2.
    """

    def __init__(self, channels: int, *, eps: float = 1e-5, identity_init: bool = False) -> None:
        super().__init__()
        positive(channels=channels)
        above_zero("eps", eps, "1e-5")
        self.eps = eps
        self.identity_init = identity_init
        self.cfc = nn.Parameter(torch.zeros(channels, 2))
        self.bn = nn.BatchNorm2d(channels)

    def gate(self, x: Tensor) -> Tensor:
        """The gate ``(B, C, 1, 1)`` for ``x`` ``(B, C, H, W)``."""
        exact = x.float()
        mean = exact.mean((2, 3), keepdim=True)
        variance = (exact - mean).square().sum((2, 3), keepdim=True) / free_pixels(x)
        of_mean, of_deviation = self.cfc[:, :, None, None].unbind(1)
        style = of_mean * mean + of_deviation * (variance + self.eps).sqrt()
        return sigmoid_gate(self.bn(style), self.identity_init).to(x.dtype)

    def forward(self, x: Tensor) -> Tensor:
        """``x`` ``(B, C, H, W)`` times its gate."""
        return x * self.gate(x)
