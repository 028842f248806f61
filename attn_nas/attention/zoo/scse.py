"""Concurrent spatial and channel squeeze and excitation. Roy et al., arXiv 1803.02579."""

import torch
from torch import Tensor, nn

from attn_nas.attention.sizes import hidden_width
from attn_nas.attention.zoo.gates import sigmoid_gate, zero_init
from attn_nas.attention.zoo.pooling import mean_over_pixels


class ConcurrentSqueezeExcitation(nn.Module):
    """The larger of a channel-gated and a spatially gated copy: ``y = max(x * cSE(x), x * sSE(x))``.

    ``cSE = sigmoid(W2 relu(W1 mean_hw(x)))`` is ``(B, C, 1, 1)``, ``sSE = sigmoid(w x)`` is ``(B, 1, H, W)``. The paper
    adds the two; the maximum is used in the authors' released code and is the best variant of their journal version. Input
    and output are ``(B, C, H, W)``; ``2 C h + C + h + C + 1`` parameters, ``h = max(min_hidden, C // reduction)``.
    """

    def __init__(self, channels: int, *, reduction: int = 2, min_hidden: int = 4, identity_init: bool = False) -> None:
        super().__init__()
        hidden = hidden_width(channels, reduction, min_hidden)
        self.identity_init = identity_init
        self.fc1 = nn.Conv2d(channels, hidden, 1)
        self.fc2 = nn.Conv2d(hidden, channels, 1)
        self.conv = nn.Conv2d(channels, 1, 1)
        if identity_init:
            zero_init(self.fc2, self.conv)

    def forward(self, x: Tensor) -> Tensor:
        """The larger of the two gated copies of ``x`` ``(B, C, H, W)``."""
        channel = sigmoid_gate(self.fc2(self.fc1(mean_over_pixels(x)).relu()), self.identity_init)
        spatial = sigmoid_gate(self.conv(x), self.identity_init)
        return torch.maximum(x * channel, x * spatial)
