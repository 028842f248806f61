"""Triplet attention. Misra et al., "Rotate to Attend: Convolutional Triplet Attention Module", arXiv 2010.03045."""

import torch
from torch import Tensor, nn

from attn_nas.attention.sizes import odd_kernel, positive
from attn_nas.attention.zoo.gates import sigmoid_gate, zero_init


class PlaneGate(nn.Module):
    """Gate over two dimensions, from maximum and mean over the third: ``sigmoid(bn(conv_k([max, mean])))``."""

    def __init__(self, kernel_size: int, identity_init: bool) -> None:
        super().__init__()
        self.identity_init = identity_init
        self.conv = nn.Conv2d(2, 1, kernel_size, padding=kernel_size // 2, bias=False)
        self.bn = nn.BatchNorm2d(1, momentum=0.01)
        if identity_init:
            zero_init(self.bn)

    def forward(self, maximum: Tensor, mean: Tensor) -> Tensor:
        """Two maps ``(B, P, Q)`` to their gate ``(B, P, Q)``."""
        pooled = torch.stack((maximum, mean), dim=1)
        return sigmoid_gate(self.bn(self.conv(pooled)), self.identity_init).squeeze(1)


class TripletAttention(nn.Module):
    """Mean of three gated copies, with gates over ``(C, W)``, ``(H, C)`` and ``(H, W)`` (Eq. 4).

    ``y = x * (g_cw + g_hc + g_hw) / 3``: the gates are added before they multiply ``x``, so that the map is not copied and
    rotated. Input and output are ``(B, C, H, W)``; ``3 (2 k^2 + 2)`` parameters for any ``C``.
    """

    def __init__(self, channels: int, *, kernel_size: int = 7, identity_init: bool = False) -> None:
        super().__init__()
        positive(channels=channels)
        size = odd_kernel(kernel_size)
        self.cw = PlaneGate(size, identity_init)
        self.hc = PlaneGate(size, identity_init)
        self.hw = PlaneGate(size, identity_init)

    def forward(self, x: Tensor) -> Tensor:
        """``x`` ``(B, C, H, W)`` times the mean of its three gates."""
        cw = self.cw(x.amax(2), x.mean(2)) / 3
        hc = self.hc(x.amax(3).transpose(1, 2), x.mean(3).transpose(1, 2)).transpose(1, 2) / 3
        hw = self.hw(x.amax(1), x.mean(1)) / 3
        return x * (cw.unsqueeze(2) + hc.unsqueeze(3) + hw.unsqueeze(1))
