"""The convolutional block attention module and its halves. Woo et al., "CBAM", arXiv 1807.06521."""

import torch
from torch import Tensor, nn

from attn_nas.attention.sizes import hidden_width, odd_kernel, positive
from attn_nas.attention.zoo.gates import sigmoid_gate, zero_init
from attn_nas.attention.zoo.pooling import max_over_channels, max_over_pixels, mean_over_channels, mean_over_pixels


class ChannelGate(nn.Module):
    """CBAM's channel half: ``y = x * sigmoid(mlp(mean_hw(x)) + mlp(max_hw(x)))`` with one shared MLP.

    Input and output are ``(B, C, H, W)``; the gate is ``(B, C, 1, 1)``. ``2 C h + C + h`` parameters with biases, as in
    the authors' code; the hidden width is ``h = max(min_hidden, C // reduction)``.
    """

    def __init__(
        self,
        channels: int,
        *,
        reduction: int = 16,
        min_hidden: int = 4,
        bias: bool = True,
        identity_init: bool = False,
    ) -> None:
        super().__init__()
        hidden = hidden_width(channels, reduction, min_hidden)
        self.identity_init = identity_init
        self.fc1 = nn.Conv2d(channels, hidden, 1, bias=bias)
        self.fc2 = nn.Conv2d(hidden, channels, 1, bias=bias)
        if identity_init:
            zero_init(self.fc2)

    def gate(self, x: Tensor) -> Tensor:
        """The gate ``(B, C, 1, 1)`` for ``x`` ``(B, C, H, W)``."""
        average = self.fc2(self.fc1(mean_over_pixels(x)).relu())
        maximum = self.fc2(self.fc1(max_over_pixels(x)).relu())
        return sigmoid_gate(average + maximum, self.identity_init)

    def forward(self, x: Tensor) -> Tensor:
        """``x`` ``(B, C, H, W)`` times its gate."""
        return x * self.gate(x)


class SpatialGate(nn.Module):
    """CBAM's spatial half: ``y = x * sigmoid(bn(conv_k([max_c(x), mean_c(x)])))``.

    Input and output are ``(B, C, H, W)``; the gate is ``(B, 1, H, W)``. The order of the two maps, the convolution without
    bias and the batch norm after it (momentum 0.01) follow the authors' code; ``2 k^2 + 2`` parameters for any ``C``.
    """

    def __init__(self, channels: int, *, kernel_size: int = 7, identity_init: bool = False) -> None:
        super().__init__()
        positive(channels=channels)
        size = odd_kernel(kernel_size)
        self.identity_init = identity_init
        self.conv = nn.Conv2d(2, 1, size, padding=size // 2, bias=False)
        self.bn = nn.BatchNorm2d(1, momentum=0.01)
        if identity_init:
            zero_init(self.bn)

    def gate(self, x: Tensor) -> Tensor:
        """The gate ``(B, 1, H, W)`` for ``x`` ``(B, C, H, W)``."""
        pooled = torch.cat((max_over_channels(x), mean_over_channels(x)), dim=1)
        return sigmoid_gate(self.bn(self.conv(pooled)), self.identity_init)

    def forward(self, x: Tensor) -> Tensor:
        """``x`` ``(B, C, H, W)`` times its gate."""
        return x * self.gate(x)


class CBAM(nn.Module):
    """Channel gate, then spatial gate on its result: ``y = spatial(channel(x))`` (section 3).

    Input and output are ``(B, C, H, W)``; ``2 C h + C + h + 2 k^2 + 2`` parameters.
    """

    def __init__(
        self,
        channels: int,
        *,
        reduction: int = 16,
        kernel_size: int = 7,
        min_hidden: int = 4,
        bias: bool = True,
        identity_init: bool = False,
    ) -> None:
        super().__init__()
        self.channel = ChannelGate(channels, reduction=reduction, min_hidden=min_hidden, bias=bias, identity_init=identity_init)
        self.spatial = SpatialGate(channels, kernel_size=kernel_size, identity_init=identity_init)

    def forward(self, x: Tensor) -> Tensor:
        """``x`` ``(B, C, H, W)`` gated by channel, then by pixel."""
        return self.spatial(self.channel(x))
