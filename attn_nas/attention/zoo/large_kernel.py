"""Large-kernel attention.

Guo et al., "Visual Attention Network", arXiv 2202.09741; Li et al., "Large Selective Kernel Network for Remote Sensing Object
Detection", arXiv 2303.09030.
"""

import torch
from torch import Tensor, nn

from attn_nas.attention.sizes import positive
from attn_nas.attention.zoo.gates import constant_one


class LargeKernelAttention(nn.Module):
    """Linear gate with a receptive field of 23 x 23 pixels: ``y = x * conv1x1(dwconv7_dilated3(dwconv5(x)))`` (LKA, Eq. 2-3).

    Input, output and gate are ``(B, C, H, W)``; ``77 C + C^2`` parameters. The product is taken in the type of the weights,
    fp32 under autocast, and so is the output, because gate and input both grow with the input. With ``identity_init`` the
    output of the 1x1 convolution starts as 1.
    """

    def __init__(self, channels: int, *, identity_init: bool = False) -> None:
        super().__init__()
        positive(channels=channels)
        self.conv0 = nn.Conv2d(channels, channels, 5, padding=2, groups=channels)
        self.conv_spatial = nn.Conv2d(channels, channels, 7, padding=9, dilation=3, groups=channels)
        self.conv1 = nn.Conv2d(channels, channels, 1)
        if identity_init:
            constant_one(self.conv1)

    def gate(self, x: Tensor) -> Tensor:
        """The gate ``(B, C, H, W)`` for ``x`` ``(B, C, H, W)``."""
        return self.conv1(self.conv_spatial(self.conv0(x)))

    def forward(self, x: Tensor) -> Tensor:
        """``x`` ``(B, C, H, W)`` times its gate."""
        return x * self.gate(x).to(self.conv1.weight.dtype)


class LargeSelectiveKernel(nn.Module):
    """Linear gate that selects between two large receptive fields for each pixel (LSK, Eq. 4-8).

    ``u1 = conv1x1(dwconv5(x))`` and ``u2 = conv1x1(dwconv7_dilated3(dwconv5(x)))`` have ``C // 2`` channels each;
    ``[s1, s2] = sigmoid(conv7([mean_c(u), max_c(u)]))`` and ``y = x * conv1x1(u1 s1 + u2 s2)``. Input, output and gate are
    ``(B, C, H, W)`` with ``C`` of at least 2; ``76 C + 2 (C h + h) + h C + C + 198`` parameters, ``h = C // 2``.
    The product is taken in the type of the weights, fp32 under autocast, and so is the output, because gate and input both
    grow with the input.
    """

    def __init__(self, channels: int, *, identity_init: bool = False) -> None:
        super().__init__()
        if channels < 2:
            raise ValueError(f"channels = {channels}: choose an integer of at least 2")
        half = channels // 2
        self.conv0 = nn.Conv2d(channels, channels, 5, padding=2, groups=channels)
        self.conv_spatial = nn.Conv2d(channels, channels, 7, padding=9, dilation=3, groups=channels)
        self.conv1 = nn.Conv2d(channels, half, 1)
        self.conv2 = nn.Conv2d(channels, half, 1)
        self.conv_squeeze = nn.Conv2d(2, 2, 7, padding=3)
        self.conv = nn.Conv2d(half, channels, 1)
        if identity_init:
            constant_one(self.conv)

    def gate(self, x: Tensor) -> Tensor:
        """The gate ``(B, C, H, W)`` for ``x`` ``(B, C, H, W)``."""
        near = self.conv0(x)
        far = self.conv2(self.conv_spatial(near))
        near = self.conv1(near)
        mean = (near.mean(1, keepdim=True) + far.mean(1, keepdim=True)) / 2
        maximum = torch.maximum(near.amax(1, keepdim=True), far.amax(1, keepdim=True))
        choice = self.conv_squeeze(torch.cat((mean, maximum), dim=1)).sigmoid()
        return self.conv(near * choice[:, :1] + far * choice[:, 1:])

    def forward(self, x: Tensor) -> Tensor:
        """``x`` ``(B, C, H, W)`` times its gate."""
        return x * self.gate(x).to(self.conv.weight.dtype)
