"""Efficient multi-scale attention with cross-spatial learning. Ouyang et al., arXiv 2305.13563."""

import torch
from torch import Tensor, nn

from attn_nas.attention.sizes import group_width
from attn_nas.attention.zoo.gates import exact_bmm, widened


class EfficientMultiScaleAttention(nn.Module):
    """Spatial gate per group from two branches that weight each other: ``y = x * sigmoid(a1 x2 + a2 x1)``.

    In each group of ``C / G`` channels ``x1`` is the input gated by row and column, then instance-normalised, and ``x2`` a 3x3
    convolution of it; ``a = softmax_c(mean_hw(.))``. The mean of the normalised branch equals the norm's bias, which is
    used instead. Weights are shared by the ``groups``. Input and output are ``(B, C, H, W)``; the gate is ``(B G, 1, H, W)``;
    ``10 (C/G)^2 + 4 C/G`` parameters. The name does not refer to exponential moving averages.
    """

    def __init__(self, channels: int, *, groups: int = 8) -> None:
        super().__init__()
        width = group_width(channels, groups)
        self.groups = groups
        self.gn = nn.GroupNorm(width, width)
        self.conv1x1 = nn.Conv2d(width, width, 1)
        self.conv3x3 = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """``x`` ``(B, C, H, W)`` times the gate of its group."""
        batch, channels, height, width = x.shape
        grouped = x.reshape(batch * self.groups, -1, height, width)
        strips = torch.cat((grouped.mean(3, keepdim=True), grouped.mean(2, keepdim=True).transpose(2, 3)), dim=2)
        rows, columns = self.conv1x1(strips).sigmoid().split((height, width), dim=2)
        gn = self.gn
        directed = torch.group_norm(grouped * rows * columns.transpose(2, 3), gn.num_groups, gn.weight, gn.bias, gn.eps)
        local = self.conv3x3(grouped)
        directed, local = widened(directed).flatten(2), widened(local).flatten(2)
        of_directed = gn.bias.softmax(0).to(local.dtype).expand(local.shape[0], 1, -1)
        of_local = local.mean(2).softmax(1).to(local.dtype).unsqueeze(1)
        logits = exact_bmm(of_directed, local) + exact_bmm(of_local, directed.to(local.dtype))
        gate = logits.sigmoid().to(x.dtype).view(-1, 1, height, width)
        return (grouped * gate).view(batch, channels, height, width)
