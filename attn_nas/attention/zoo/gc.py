"""Global context block. Cao et al., "GCNet", arXiv 1904.11492."""

import torch
from torch import Tensor, nn

from attn_nas.attention.sizes import hidden_width
from attn_nas.attention.zoo.gates import zero_init


class GlobalContext(nn.Module):
    """Adds one attention-pooled vector to every pixel: ``y = x + W2 relu(LN(W1 sum_j a_j x_j))``, ``a = softmax_j(w x_j + b)``.

    Input and output are ``(B, C, H, W)``; the added context is ``(B, C, 1, 1)`` (Eq. 4). The last layer starts at zero, so
    the block starts at the identity. ``2 C h + C + 1 + h + C + 2 h`` parameters, ``h = max(min_hidden, C // reduction)``;
    the softmax over pixels is in fp32.
    """

    def __init__(self, channels: int, *, reduction: int = 16, min_hidden: int = 4) -> None:
        super().__init__()
        hidden = hidden_width(channels, reduction, min_hidden)
        self.conv_mask = nn.Conv2d(channels, 1, 1)
        self.fc1 = nn.Conv2d(channels, hidden, 1)
        self.norm = nn.LayerNorm(hidden)
        self.fc2 = nn.Conv2d(hidden, channels, 1)
        zero_init(self.fc2)

    def context(self, x: Tensor) -> Tensor:
        """The pooled context ``(B, C, 1, 1)`` of ``x`` ``(B, C, H, W)``."""
        weights = self.conv_mask(x).float().flatten(2).softmax(2).to(x.dtype)
        return torch.bmm(x.flatten(2), weights.transpose(1, 2)).unsqueeze(-1)

    def forward(self, x: Tensor) -> Tensor:
        """``x`` ``(B, C, H, W)`` plus its transformed context."""
        hidden = self.norm(self.fc1(self.context(x)).flatten(1)).relu()
        return x + self.fc2(hidden[:, :, None, None])
