"""Global second-order pooling. Gao et al., "Global Second-order Pooling Convolutional Networks", arXiv 1811.12006."""

from torch import Tensor, nn

from attn_nas.attention.sizes import hidden_width
from attn_nas.attention.zoo.gates import exact_bmm, sigmoid_gate, zero_init


class GlobalSecondOrderPooling(nn.Module):
    """Channel gate from the covariance of reduced channels: ``y = x * sigmoid(W rows(cov(z)))``.

    ``z = relu(bn(W1 relu(x)))`` has ``d`` channels; its ``d x d`` covariance over pixels (centred, in fp32 also
    under autocast) is normalised row by row, a filter of its own turns each row into 4 numbers, and a 1x1 convolution
    maps these ``4 d`` numbers to the ``C`` gates. Layers and order follow the authors' ``chan_att``, without its stride 2.

    Input and output are ``(B, C, H, W)`` of any resolution; the gate is ``(B, C, 1, 1)``; ``d = max(min_hidden, C //
    reduction)``; parameters ``C d + d + 4 d + 4 d^2 + 4 d + 4 d C + C``. Training needs a batch of at least 2.
    """

    def __init__(self, channels: int, *, reduction: int = 2, min_hidden: int = 4, identity_init: bool = False) -> None:
        super().__init__()
        self.identity_init = identity_init
        dim = hidden_width(channels, reduction, min_hidden)
        self.reduce = nn.Conv2d(channels, dim, 1)
        self.reduce_bn = nn.BatchNorm2d(dim)
        self.row_bn = nn.BatchNorm2d(dim)
        self.row_conv = nn.Conv2d(dim, 4 * dim, (dim, 1), groups=dim)
        self.expand = nn.Conv2d(4 * dim, channels, 1)
        if identity_init:
            zero_init(self.expand)

    def covariance(self, z: Tensor) -> Tensor:
        """Covariance ``(B, d, d)`` over the pixels of ``z`` ``(B, d, H, W)``, in fp32."""
        flat = z.float().flatten(2)
        centred = flat - flat.mean(2, keepdim=True)
        return exact_bmm(centred, centred.transpose(1, 2)) / flat.shape[2]

    def gate(self, x: Tensor) -> Tensor:
        """The gate ``(B, C, 1, 1)`` for ``x`` ``(B, C, H, W)``."""
        z = self.reduce_bn(self.reduce(x.relu())).relu()
        rows = self.row_bn(self.covariance(z).unsqueeze(-1))
        return sigmoid_gate(self.expand(self.row_conv(rows)), self.identity_init)

    def forward(self, x: Tensor) -> Tensor:
        """``x`` ``(B, C, H, W)`` times its gate."""
        return x * self.gate(x)
