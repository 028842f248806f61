"""Bottleneck attention module. Park et al., "BAM: Bottleneck Attention Module", arXiv 1807.06514."""

from torch import Tensor, nn

from attn_nas.attention.sizes import hidden_width, positive
from attn_nas.attention.zoo.gates import zero_init
from attn_nas.attention.zoo.pooling import mean_over_pixels


class BottleneckAttention(nn.Module):
    """Residual gate between stages: ``y = x * (1 + sigmoid(channel(x) + spatial(x)))`` (Eq. 1-2).

    The channel branch is an MLP on the global average, ``(B, C, 1, 1)``; the spatial one a 1x1 convolution to ``h``
    channels, two dilated 3x3 convolutions and a 1x1 convolution to one map ``(B, 1, H, W)``. The branches are added as in the
    paper (the released code multiplies them), with the norms of the released code (after the hidden layers). Input and
    output are ``(B, C, H, W)``; ``h = max(min_hidden, C // reduction)``; ``2 C h + C + 3 h + C h + 3 h + 2 (9 h^2 + 3 h) +
    h + 1`` parameters. Training needs a batch of at least 2. With ``identity_init`` the gate is ``1/2 + sigmoid``,
    which is 1 for zero branches.
    """

    def __init__(
        self,
        channels: int,
        *,
        reduction: int = 16,
        dilation: int = 4,
        min_hidden: int = 4,
        identity_init: bool = False,
    ) -> None:
        super().__init__()
        hidden = hidden_width(channels, reduction, min_hidden)
        positive(dilation=dilation)
        self.offset = 0.5 if identity_init else 1.0
        self.channel = nn.Sequential(
            nn.Conv2d(channels, hidden, 1), nn.BatchNorm2d(hidden), nn.ReLU(inplace=True), nn.Conv2d(hidden, channels, 1)
        )
        dilated = [
            layer
            for _ in range(2)
            for layer in (
                nn.Conv2d(hidden, hidden, 3, padding=dilation, dilation=dilation),
                nn.BatchNorm2d(hidden),
                nn.ReLU(inplace=True),
            )
        ]
        self.spatial = nn.Sequential(
            nn.Conv2d(channels, hidden, 1),
            nn.BatchNorm2d(hidden),
            nn.ReLU(inplace=True),
            *dilated,
            nn.Conv2d(hidden, 1, 1),
        )
        if identity_init:
            zero_init(self.channel[-1], self.spatial[-1])

    def gate(self, x: Tensor) -> Tensor:
        """The gate ``(B, C, H, W)``, including the residual path, for ``x`` ``(B, C, H, W)``."""
        logits = self.channel(mean_over_pixels(x)) + self.spatial(x)
        return logits.sigmoid() + self.offset

    def forward(self, x: Tensor) -> Tensor:
        """``x`` ``(B, C, H, W)`` times its gate."""
        return x * self.gate(x)
