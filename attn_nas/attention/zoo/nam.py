"""Normalization-based attention. Liu et al., "NAM: Normalization-based Attention Module", arXiv 2111.12419."""

from torch import Tensor, nn

from attn_nas.attention.sizes import positive


class NormalizationAttention(nn.Module):
    """Channel attention from the scales of a batch norm: ``y = x * sigmoid(w * bn(x))``, ``w_c = |gamma_c| / sum |gamma|``.

    Input, output and gate are ``(B, C, H, W)``; ``2 C`` parameters (the batch norm's). As in the authors' code no gradient
    flows through ``w``. The paper's spatial form works at one resolution only and is not included.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        positive(channels=channels)
        self.bn = nn.BatchNorm2d(channels)

    def gate(self, x: Tensor) -> Tensor:
        """The gate ``(B, C, H, W)`` for ``x`` ``(B, C, H, W)``."""
        scale = self.bn.weight.detach().abs()
        weights = scale / scale.sum()
        return (self.bn(x) * weights[:, None, None]).sigmoid().to(x.dtype)

    def forward(self, x: Tensor) -> Tensor:
        """``x`` ``(B, C, H, W)`` times its gate."""
        return x * self.gate(x)
