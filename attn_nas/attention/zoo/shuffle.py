"""Shuffle attention. Zhang and Yang, "SA-Net: Shuffle Attention for Deep CNNs", arXiv 2102.00240."""

import torch
from torch import Tensor, nn

from attn_nas.attention.sizes import group_width


class ShuffleAttention(nn.Module):
    """Gates half of the channels of each group by channel, the other half by pixel, then shuffles all channels.

    ``y = shuffle([a * sigmoid(w1 mean_hw(a) + b1), b * sigmoid(w2 norm(b) + b2)])`` with ``norm`` over pixels per channel
    (Eq. 2-4). The weights are shared by the ``groups``. Input and output are ``(B, C, H, W)``; the channels of the output are
    permuted, so it is not a gate; ``C`` must be divisible by ``2 groups``; ``3 C / groups`` parameters.
    """

    def __init__(self, channels: int, *, groups: int = 8) -> None:
        super().__init__()
        half = group_width(channels, groups, 2) // 2
        self.groups = groups
        self.channel_weight = nn.Parameter(torch.zeros(half, 1, 1))
        self.channel_bias = nn.Parameter(torch.ones(half, 1, 1))
        self.place_weight = nn.Parameter(torch.zeros(half, 1, 1))
        self.place_bias = nn.Parameter(torch.ones(half, 1, 1))
        self.norm = nn.GroupNorm(half, half)

    def forward(self, x: Tensor) -> Tensor:
        """Gated and shuffled ``x`` ``(B, C, H, W)``."""
        batch, channels, height, width = x.shape
        by_channel, by_place = x.reshape(batch * self.groups, -1, height, width).chunk(2, dim=1)
        squeezed = by_channel.mean((2, 3), keepdim=True)
        by_channel = by_channel * (self.channel_weight * squeezed + self.channel_bias).sigmoid()
        normed = torch.group_norm(by_place, self.norm.num_groups, self.norm.weight, self.norm.bias, self.norm.eps)
        by_place = by_place * (self.place_weight * normed + self.place_bias).sigmoid()
        gated = torch.cat((by_channel, by_place), dim=1).view(batch, 2, channels // 2, height, width)
        return gated.transpose(1, 2).reshape(batch, channels, height, width).to(x.dtype)
