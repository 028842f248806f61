"""Selective kernels. Li et al., "Selective Kernel Networks", arXiv 1903.06586."""

from math import gcd

from torch import Tensor, nn

from attn_nas.attention.sizes import group_width, hidden_width
from attn_nas.attention.zoo.pooling import mean_over_pixels


class SelectiveKernel(nn.Module):
    """A 3x3 convolution with a choice of receptive field: ``y = sum_b softmax_b(A_b z) * branch_b(x)``.

    Two branches (dilation 1 and 2, each grouped convolution, batch norm, ReLU) are added, averaged over pixels and reduced to
    ``z = relu(bn(W s))`` of ``d = max(min_hidden, C // reduction)`` numbers, from which each channel weights the branches.
    The module substitutes a convolution: ``(B, C, H, W)`` to ``(B, C, H / stride, W / stride)``. ``groups=None`` is 32, as
    in the paper, if 32 divides ``C``, else the greatest common divisor of 32 and ``C`` (then the branches are depthwise for
    ``C`` of 8, 16 and 32). ``2 (9 C^2 / G + 2 C) + C d + 2 d + 2 d C`` parameters. Training needs a batch of at least 2.
    """

    def __init__(
        self, channels: int, *, reduction: int = 16, stride: int = 1, groups: int | None = None, min_hidden: int = 4
    ) -> None:
        super().__init__()
        hidden = hidden_width(channels, reduction, min_hidden)
        groups = gcd(channels, 32) if groups is None else groups
        group_width(channels, groups)
        self.branches = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(channels, channels, 3, stride, dilation, dilation, groups=groups, bias=False),
                nn.BatchNorm2d(channels),
                nn.ReLU(inplace=True),
            )
            for dilation in (1, 2)
        )
        self.reduce = nn.Conv2d(channels, hidden, 1, bias=False)
        self.bn = nn.BatchNorm2d(hidden)
        self.select = nn.Conv2d(hidden, 2 * channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """The branches of ``x`` ``(B, C, H, W)``, weighted channel by channel."""
        small, large = self.branches[0](x), self.branches[1](x)
        squeezed = mean_over_pixels(small + large)
        scores = self.select(self.bn(self.reduce(squeezed)).relu())
        weights = scores.unflatten(1, (2, -1)).softmax(1)
        return small * weights[:, 0] + large * weights[:, 1]
