"""Dual attention. Fu et al., "Dual Attention Network for Scene Segmentation", arXiv 1809.02983."""

import torch
from torch import Tensor, nn

from attn_nas.attention.sizes import hidden_width, positive
from attn_nas.attention.zoo.gates import attend, exact_bmm


class PositionAttention(nn.Module):
    """Every pixel attends to every pixel: ``y = x + gamma * V softmax(Q^T K)^T`` (PAM, Eq. 1-2).

    ``Q`` and ``K`` have ``h = max(min_hidden, C // reduction)`` channels (no scaling by their root, as in the paper), ``V``
    has ``C``. Input and output are ``(B, C, H, W)``; the attention is ``(B, H W, H W)``. ``gamma`` starts at zero,
    so the block starts at the identity. ``2 (C h + h) + C^2 + C + 1`` parameters.
    """

    def __init__(self, channels: int, *, reduction: int = 8, min_hidden: int = 4) -> None:
        super().__init__()
        hidden = hidden_width(channels, reduction, min_hidden)
        self.query_conv = nn.Conv2d(channels, hidden, 1)
        self.key_conv = nn.Conv2d(channels, hidden, 1)
        self.value_conv = nn.Conv2d(channels, channels, 1)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        """``x`` ``(B, C, H, W)`` plus the attended values of its pixels."""
        query, key, value = self.query_conv(x).flatten(2), self.key_conv(x).flatten(2), self.value_conv(x).flatten(2)
        return x + (self.gamma * attend(query, key, value).view_as(x)).to(x.dtype)


class ChannelRelation(nn.Module):
    """Every channel attends to the channels least like it: ``y = x + gamma * softmax(-E) X``, ``E = X X^T`` (CAM).

    Input and output are ``(B, C, H, W)``; the attention, in fp32, is ``(B, C, C)``. The authors' code subtracts ``E`` from
    the maximum of its row, which gives the same softmax. ``gamma``, the one parameter, starts at zero, so the block starts at
    the identity.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        positive(channels=channels)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        """``x`` ``(B, C, H, W)`` plus the attended values of its channels."""
        exact = x.float().flatten(2)
        energy = exact_bmm(exact, exact.transpose(1, 2))
        attended = exact_bmm((-energy).softmax(2), exact)
        return x + (self.gamma * attended.view_as(x)).to(x.dtype)
