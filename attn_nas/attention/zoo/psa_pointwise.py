"""Point-wise spatial attention. Zhao et al., "PSANet: Point-wise Spatial Attention Network for Scene Parsing", ECCV 2018."""

import torch
from torch import Tensor, nn

from attn_nas.attention.sizes import hidden_width, odd_kernel


class PointwiseSpatialAttention(nn.Module):
    """Every pixel predicts two masks around itself: one to collect from and one to distribute to (Eq. 8-13).

    ``y = x + relu(bn(W [z_c, z_d]))`` with ``z = X softmax(A)``: ``A_c[j, i]`` is the prediction of pixel ``i`` for the pixel
    ``j`` at distance ``j - i``, ``A_d[j, i]`` that of ``j`` for ``i``. A mask has ``kernel_size x kernel_size`` pixels and is
    zero beyond (``2 H - 1`` covers a map of height ``H``). The paper concatenates the result to ``x``; here it is added, so
    that the number of channels does not change. Input and output are ``(B, C, H, W)``; the attention, in fp32, is
    ``(B, H W, H W)``, meant for small maps; ``h = max(min_hidden, C // reduction)``;
    ``2 (C h + 2 h + h^2 + 2 h + h k^2) + 2 h C + 2 C`` parameters.
    """

    def __init__(self, channels: int, *, reduction: int = 4, kernel_size: int = 15, min_hidden: int = 4) -> None:
        super().__init__()
        hidden = hidden_width(channels, reduction, min_hidden)
        self.kernel_size = odd_kernel(kernel_size)
        self.reduce_collect = self._unit(channels, hidden)
        self.mask_collect = nn.Sequential(self._unit(hidden, hidden), nn.Conv2d(hidden, kernel_size**2, 1, bias=False))
        self.reduce_distribute = self._unit(channels, hidden)
        self.mask_distribute = nn.Sequential(self._unit(hidden, hidden), nn.Conv2d(hidden, kernel_size**2, 1, bias=False))
        self.proj = self._unit(2 * hidden, channels)

    @staticmethod
    def _unit(in_channels: int, out_channels: int) -> nn.Sequential:
        conv = nn.Conv2d(in_channels, out_channels, 1, bias=False)
        return nn.Sequential(conv, nn.BatchNorm2d(out_channels), nn.ReLU(inplace=True))

    def offsets(self, length: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """For all pairs of coordinates ``(L, L)``: index of the second in the mask of the first, and True if it is inside."""
        radius = self.kernel_size // 2
        pixels = torch.arange(length, device=device)
        distance = pixels - pixels[:, None]
        return distance.clamp(-radius, radius) + radius, distance.abs() <= radius

    def forward(self, x: Tensor) -> Tensor:
        """``x`` ``(B, C, H, W)`` plus the collected and distributed values of its pixels."""
        batch, _, height, width = x.shape
        pixels = height * width
        (down, has_row), (right, has_column) = self.offsets(height, x.device), self.offsets(width, x.device)
        entry = (down[:, None, :, None] * self.kernel_size + right[:, None, :]).view(pixels, pixels).expand(batch, -1, -1)
        inside = (has_row[:, None, :, None] & has_column[:, None, :]).view(pixels, pixels)
        collected, distributed = self.reduce_collect(x), self.reduce_distribute(x)
        wanted = self.mask_collect(collected).float().flatten(2).transpose(1, 2).gather(2, entry) * inside
        given = self.mask_distribute(distributed).float().flatten(2).transpose(1, 2).gather(2, entry) * inside
        from_others = wanted.softmax(2).transpose(1, 2).to(collected.dtype)
        from_all = given.softmax(1).to(distributed.dtype)
        gathered = torch.bmm(collected.flatten(2), from_others)
        received = torch.bmm(distributed.flatten(2), from_all)
        together = torch.cat((gathered, received), dim=1).unflatten(2, (height, width))
        return x + self.proj(together)
