"""Gather-excite. Hu et al., "Gather-Excite: Exploiting Feature Context in CNNs", arXiv 1810.12348."""

import torch.nn.functional as F
from torch import Tensor, nn

from attn_nas.attention.sizes import odd_kernel, positive
from attn_nas.attention.zoo.gates import sigmoid_gate, zero_init
from attn_nas.attention.zoo.pooling import mean_over_pixels


class GatherExcite(nn.Module):
    """Gate from local averages, without parameters: ``y = x * sigmoid(interp(avgpool_e(x)))`` (section 3.2).

    The average is over ``kernel_size x kernel_size`` pixels at stride ``e``, ``kernel_size = 2 e - 1``, and resized to
    the input's size by nearest neighbour. ``kernel_size=None`` is the global extent, where the gate is the sigmoid of each
    channel's mean. Input and output are ``(B, C, H, W)``.
    """

    def __init__(self, channels: int, *, kernel_size: int | None = None) -> None:
        super().__init__()
        positive(channels=channels)
        self.kernel_size = None if kernel_size is None else odd_kernel(kernel_size)

    def gate(self, x: Tensor) -> Tensor:
        """The gate, ``(B, C, 1, 1)`` or ``(B, C, H, W)``, for ``x`` ``(B, C, H, W)``."""
        if self.kernel_size is None:
            return mean_over_pixels(x).sigmoid()
        padding = self.kernel_size // 2
        gathered = F.avg_pool2d(x, self.kernel_size, padding + 1, padding, count_include_pad=False)
        return F.interpolate(gathered.sigmoid(), size=x.shape[2:])

    def forward(self, x: Tensor) -> Tensor:
        """``x`` ``(B, C, H, W)`` times its gate."""
        return x * self.gate(x)


WINDOWS = (3, 7, 15)
"""Receptive fields, in pixels, of one, two and three strided 3x3 convolutions: the extents 2, 4 and 8."""


class GatherExciteConv(nn.Module):
    """Gather-excite with learned gathering: strided depthwise 3x3 convolutions instead of the average (section 3.3).

    ``log2(e)`` convolutions of stride 2, each with batch norm and all but the last with ReLU, have a receptive field of
    ``kernel_size = 2 e - 1`` pixels; sigmoid and nearest-neighbour resizing follow. Input and output are ``(B, C, H, W)``;
    ``11 C log2(e)`` parameters. Training needs a batch of at least 2.
    """

    def __init__(self, channels: int, *, kernel_size: int = 3, identity_init: bool = False) -> None:
        super().__init__()
        positive(channels=channels)
        if kernel_size not in WINDOWS:
            raise ValueError(f"kernel_size = {kernel_size}: choose from {', '.join(map(str, WINDOWS))}")
        self.identity_init = identity_init
        layers: list[nn.Module] = []
        for _ in range(WINDOWS.index(kernel_size) + 1):
            if layers:
                layers.append(nn.ReLU(inplace=True))
            layers.append(nn.Conv2d(channels, channels, 3, 2, 1, groups=channels, bias=False))
            layers.append(nn.BatchNorm2d(channels))
        self.gather = nn.Sequential(*layers)
        if identity_init:
            zero_init(self.gather[-1])

    def gate(self, x: Tensor) -> Tensor:
        """The gate ``(B, C, H, W)`` for ``x`` ``(B, C, H, W)``."""
        return F.interpolate(sigmoid_gate(self.gather(x), self.identity_init), size=x.shape[2:])

    def forward(self, x: Tensor) -> Tensor:
        """``x`` ``(B, C, H, W)`` times its gate."""
        return x * self.gate(x)
