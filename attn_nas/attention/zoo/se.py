"""Squeeze-and-excitation. Hu et al., "Squeeze-and-Excitation Networks", arXiv 1709.01507."""

from torch import Tensor, nn

from attn_nas.attention.sizes import hidden_width
from attn_nas.attention.zoo.gates import sigmoid_gate, zero_init
from attn_nas.attention.zoo.pooling import mean_over_pixels


class SqueezeExcitation(nn.Module):
    """Channel gate from the global average: ``y = x * sigmoid(W2 relu(W1 mean_hw(x)))`` (Eq. 2-4).

    Input and output are ``(B, C, H, W)``; the gate is ``(B, C, 1, 1)``. The hidden width is
    ``max(min_hidden, C // reduction)``. Without biases, as in the paper's ablations, it has ``2 C h`` parameters.
    """

    def __init__(
        self,
        channels: int,
        *,
        reduction: int = 16,
        min_hidden: int = 4,
        bias: bool = False,
        identity_init: bool = False,
    ) -> None:
        super().__init__()
        hidden = hidden_width(channels, reduction, min_hidden)
        self.identity_init = identity_init
        self.fc1 = nn.Conv2d(channels, hidden, 1, bias=bias)
        self.fc2 = nn.Conv2d(hidden, channels, 1, bias=bias)
        if identity_init:
            zero_init(self.fc2)

    def gate(self, x: Tensor) -> Tensor:
        """The gate ``(B, C, 1, 1)`` for ``x`` ``(B, C, H, W)``."""
        squeezed = mean_over_pixels(x)
        return sigmoid_gate(self.fc2(self.fc1(squeezed).relu()), self.identity_init)

    def forward(self, x: Tensor) -> Tensor:
        """``x`` ``(B, C, H, W)`` times its gate."""
        return x * self.gate(x)
