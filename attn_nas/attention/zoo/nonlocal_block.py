"""Non-local block. Wang et al., "Non-local Neural Networks", arXiv 1711.07971."""

from torch import Tensor, nn

from attn_nas.attention.sizes import hidden_width
from attn_nas.attention.zoo.gates import attend


class NonLocal(nn.Module):
    """Every pixel attends to every pixel: ``y = x + bn(W g(x) softmax(theta(x)^T phi(x))^T)`` (embedded Gaussian, Eq. 4, 6).

    ``theta``, ``phi`` and ``g`` are 1x1 convolutions to ``h = max(min_hidden, C // reduction)`` channels. Input and output are
    ``(B, C, H, W)``; the attention is ``(B, H W, H W)``. The batch norm starts at zero, so the block starts at
    the identity. ``4 C h + 3 h + C + 2 C`` parameters.
    """

    def __init__(self, channels: int, *, reduction: int = 2, min_hidden: int = 4) -> None:
        super().__init__()
        hidden = hidden_width(channels, reduction, min_hidden)
        self.theta = nn.Conv2d(channels, hidden, 1)
        self.phi = nn.Conv2d(channels, hidden, 1)
        self.g = nn.Conv2d(channels, hidden, 1)
        self.expand = nn.Conv2d(hidden, channels, 1)
        self.bn = nn.BatchNorm2d(channels)
        nn.init.zeros_(self.bn.weight)

    def forward(self, x: Tensor) -> Tensor:
        """``x`` ``(B, C, H, W)`` plus the attended values of its pixels."""
        theta, phi, value = self.theta(x).flatten(2), self.phi(x).flatten(2), self.g(x).flatten(2)
        attended = attend(theta, phi, value).unflatten(2, x.shape[2:])
        return x + self.bn(self.expand(attended)).to(x.dtype)
