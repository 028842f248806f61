"""Split attention. Zhang et al., "ResNeSt: Split-Attention Networks", arXiv 2004.08955."""

from torch import Tensor, nn

from attn_nas.attention.sizes import hidden_width


class SplitAttention(nn.Module):
    """A 3x3 convolution in two splits that compete channel by channel: ``y = sum_r softmax_r(W2 z)_r * u_r`` (Eq. 1-3).

    ``[u_1, u_2] = relu(bn(conv(x)))`` is one convolution to ``2 C`` channels in two groups,
    ``z = relu(bn(W1 mean_hw(u_1 + u_2)))`` has ``h = max(min_hidden, C // reduction)`` numbers (the paper's ``2 C / 4``
    is reduction 2). It substitutes a convolution: ``(B, C, H, W)`` to ``(B, C, H / stride, W / stride)``.
    ``9 C^2 + 4 C + C h + 3 h + 2 C h + 2 C`` parameters for even ``C`` (for odd ``C`` the convolution has one
    group, ``18 C^2``). Training needs a batch of at least 2.
    """

    def __init__(self, channels: int, *, reduction: int = 2, stride: int = 1, min_hidden: int = 4) -> None:
        super().__init__()
        hidden = hidden_width(channels, reduction, min_hidden)
        self.conv = nn.Conv2d(channels, 2 * channels, 3, stride, 1, groups=1 if channels % 2 else 2, bias=False)
        self.bn0 = nn.BatchNorm2d(2 * channels)
        self.fc1 = nn.Conv2d(channels, hidden, 1)
        self.bn1 = nn.BatchNorm2d(hidden)
        self.fc2 = nn.Conv2d(hidden, 2 * channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """The two splits of ``x`` ``(B, C, H, W)``, weighted channel by channel."""
        splits = self.bn0(self.conv(x)).relu()
        first, second = splits.chunk(2, dim=1)
        squeezed = splits.mean((2, 3), keepdim=True).unflatten(1, (2, -1)).sum(1)
        scores = self.fc2(self.bn1(self.fc1(squeezed)).relu())
        weights = scores.unflatten(1, (2, -1)).softmax(1).to(splits.dtype)
        return first * weights[:, 0] + second * weights[:, 1]
