"""Parameter-free energy attention. Yang et al., "SimAM: A Simple, Parameter-Free Attention Module", ICML 2021."""

from torch import Tensor, nn

from attn_nas.attention.sizes import above_zero, positive
from attn_nas.attention.zoo.pooling import free_pixels


class SimAM(nn.Module):
    """Gate of every activation from its distance to the channel mean: ``y = x * sigmoid((x - m)^2 / (4 (v + lambda)) + 1/2)``.

    ``m`` and ``v`` are mean and variance (divisor ``H W - 1``) of the channel over pixels, in fp32 (squares of activations
    beyond 256 overflow fp16). Input, output and gate are ``(B, C, H, W)``; no parameters. The paper places it after the
    last spatial convolution, before its norm: ``pre_norm`` in a basic block.
    """

    def __init__(self, channels: int, *, e_lambda: float = 1e-4) -> None:
        super().__init__()
        positive(channels=channels)
        above_zero("e_lambda", e_lambda, "1e-4")
        self.e_lambda = e_lambda

    def gate(self, x: Tensor) -> Tensor:
        """The gate ``(B, C, H, W)`` for ``x`` ``(B, C, H, W)``."""
        exact = x.float()
        distance = (exact - exact.mean((2, 3), keepdim=True)).square()
        variance = distance.sum((2, 3), keepdim=True) / free_pixels(x)
        scale = 0.25 / (variance + self.e_lambda)
        return (distance * scale + 0.5).sigmoid().to(x.dtype)

    def forward(self, x: Tensor) -> Tensor:
        """``x`` ``(B, C, H, W)`` times its gate."""
        return x * self.gate(x)
