"""Frequency channel attention. Qin et al., "FcaNet: Frequency Channel Attention Networks", arXiv 2012.11879."""

from math import pi

import torch
from torch import Tensor, nn

from attn_nas.attention.sizes import group_width, hidden_width
from attn_nas.attention.zoo.gates import sigmoid_gate, zero_init

GRID = 7
"""Side of the grid on which the paper ranks the frequencies."""
ROWS = (0, 0, 6, 0, 0, 1, 1, 4, 5, 1, 3, 0, 0, 0, 3, 2, 4, 6, 3, 5, 5, 2, 6, 5, 5, 3, 3, 4, 2, 2, 6, 1)
COLUMNS = (0, 1, 0, 5, 2, 0, 2, 0, 0, 6, 0, 4, 6, 3, 5, 2, 6, 3, 3, 3, 5, 1, 1, 2, 4, 2, 1, 1, 3, 0, 5, 3)
"""The 32 best pairs of frequencies, best first, as in the authors' code."""


class FrequencyChannelAttention(nn.Module):
    """Squeeze-and-excitation that squeezes each group of channels by a cosine of its own (Eq. 9-12).

    ``y = x * sigmoid(W2 relu(W1 s))`` with ``s_c = sum_ij x_cij cos(pi u (i + 1/2) / H) cos(pi v (j + 1/2) / W)``, normalised
    as the discrete cosine transform. The ``groups`` frequency pairs ``(u, v)`` are the paper's best ones, scaled from its
    7 x 7 grid to the map, so that one module serves every resolution. Input and output are ``(B, C, H, W)``; the gate is
    ``(B, C, 1, 1)``; ``2 C h`` parameters, ``h = max(min_hidden, C // reduction)``.
    """

    def __init__(
        self,
        channels: int,
        *,
        reduction: int = 16,
        groups: int = 16,
        min_hidden: int = 4,
        identity_init: bool = False,
    ) -> None:
        super().__init__()
        group_width(channels, groups)
        if groups > len(ROWS):
            raise ValueError(f"groups = {groups}: choose at most {len(ROWS)}, the number of ranked frequencies")
        hidden = hidden_width(channels, reduction, min_hidden)
        self.groups = groups
        self.identity_init = identity_init
        self.fc1 = nn.Conv2d(channels, hidden, 1, bias=False)
        self.fc2 = nn.Conv2d(hidden, channels, 1, bias=False)
        if identity_init:
            zero_init(self.fc2)

    def basis(self, frequencies: tuple[int, ...], length: int, device: torch.device) -> Tensor:
        """One orthonormal cosine ``(G, L)`` per group."""
        frequency = torch.tensor(frequencies[: self.groups], device=device) * max(length // GRID, 1)
        places = (torch.arange(length, device=device) + 0.5) / length
        cosine = (pi * frequency[:, None] * places).cos()
        norm = (torch.where(frequency > 0, 2.0, 1.0) / length).sqrt()
        return cosine * norm[:, None]

    def squeeze(self, x: Tensor) -> Tensor:
        """The component ``(B, C, 1, 1)`` of each channel of ``x`` ``(B, C, H, W)`` at its group's frequency, in fp32."""
        batch, channels, height, width = x.shape
        rows, columns = self.basis(ROWS, height, x.device), self.basis(COLUMNS, width, x.device)
        planes = (rows.unsqueeze(2) * columns.unsqueeze(1)).view(self.groups, height * width, 1)
        with torch.autocast(x.device.type, enabled=False):
            grouped = x.float().reshape(batch, self.groups, -1, height * width)
            return torch.matmul(grouped, planes).view(batch, channels, 1, 1)

    def gate(self, x: Tensor) -> Tensor:
        """The gate ``(B, C, 1, 1)`` for ``x`` ``(B, C, H, W)``."""
        squeezed = self.squeeze(x).to(x.dtype)
        return sigmoid_gate(self.fc2(self.fc1(squeezed).relu()), self.identity_init)

    def forward(self, x: Tensor) -> Tensor:
        """``x`` ``(B, C, H, W)`` times its gate."""
        return x * self.gate(x)
