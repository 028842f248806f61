"""Coordinate attention. Hou et al., "Coordinate Attention for Efficient Mobile Network Design", arXiv 2103.02907."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attn_nas.attention.sizes import hidden_width
from attn_nas.attention.zoo.gates import sigmoid_gate, zero_init


class CoordinateAttention(nn.Module):
    """One gate per row and one per column: ``y = x * sigmoid(Fh(z_h)) * sigmoid(Fw(z_w))`` (Eq. 6-9).

    ``[z_h, z_w] = hardswish(bn(W1 [mean_w(x), mean_h(x)]))`` has ``m = max(min_hidden, C // reduction)`` channels and
    ``H + W`` pixels. Input and output are ``(B, C, H, W)``; the gates are ``(B, C, H, 1)`` and ``(B, C, 1, W)``;
    ``C m + 3 m + 2 (m C + C)`` parameters under the names of the authors' code.
    """

    def __init__(self, channels: int, *, reduction: int = 32, min_hidden: int = 8, identity_init: bool = False) -> None:
        super().__init__()
        hidden = hidden_width(channels, reduction, min_hidden)
        self.identity_init = identity_init
        self.conv1 = nn.Conv2d(channels, hidden, 1)
        self.bn1 = nn.BatchNorm2d(hidden)
        self.conv_h = nn.Conv2d(hidden, channels, 1)
        self.conv_w = nn.Conv2d(hidden, channels, 1)
        if identity_init:
            zero_init(self.conv_h, self.conv_w)

    def forward(self, x: Tensor) -> Tensor:
        """``x`` ``(B, C, H, W)`` times the gates of its rows and columns."""
        height, width = x.shape[2:]
        rows, columns = x.mean(3, keepdim=True), x.mean(2, keepdim=True).transpose(2, 3)
        strips = F.hardswish(self.bn1(self.conv1(torch.cat((rows, columns), dim=2))))
        rows, columns = strips.split((height, width), dim=2)
        row_gate = sigmoid_gate(self.conv_h(rows), self.identity_init)
        column_gate = sigmoid_gate(self.conv_w(columns.transpose(2, 3)), self.identity_init)
        return x * row_gate * column_gate
