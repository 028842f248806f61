"""Frequency channel attention. Qin et al., "FcaNet: Frequency Channel Attention Networks", arXiv 2012.11879."""

import math

import torch
from torch import Tensor, nn
from torch.overrides import handle_torch_function, has_torch_function_unary

from attn_nas.attention.sizes import group_width, hidden_width
from attn_nas.attention.zoo.gates import sigmoid_gate, zero_init
from attn_nas.attention.zoo.pooling import is_channels_last

ROWS = (0, 0, 6, 0, 0, 1, 1, 4, 5, 1, 3, 0, 0, 0, 3, 2, 4, 6, 3, 5, 5, 2, 6, 5, 5, 3, 3, 4, 2, 2, 6, 1)
COLUMNS = (0, 1, 0, 5, 2, 0, 2, 0, 0, 6, 0, 4, 6, 3, 5, 2, 6, 3, 3, 3, 5, 1, 1, 2, 4, 2, 1, 1, 3, 0, 5, 3)
"""The 32 best pairs of frequencies, best first, of the paper's grid of 7 x 7 pixels, as in the authors' code."""


def grid_scale(length: int) -> int:
    """The factor from frequencies of the grid to those of ``length`` pixels: ``length // 7``, but at least 1."""
    scale = length // 7
    return scale + (scale == 0) if torch.jit.is_tracing() else max(scale, 1)


def cosines(frequencies: list[int], length: int, device: torch.device) -> Tensor:
    """Orthonormal cosines ``(G, L)``, one per frequency of the 7 x 7 grid, scaled to ``length`` pixels."""
    frequency = torch.tensor(frequencies, device=device) * grid_scale(length)
    pixels = (torch.arange(length, device=device) + 0.5) / length
    norm = (torch.where(frequency > 0, 2.0, 1.0) / length).sqrt()
    return (math.pi * frequency[:, None] * pixels).cos() * norm[:, None]


def cosine_planes(x: Tensor, rows: list[int], columns: list[int]) -> Tensor:
    """The cosine plane ``(1, C, H, W)`` of each channel of ``x`` ``(B, C, H, W)``, in the memory format of ``x``.

    ``rows`` and ``columns`` are the frequencies of the groups of channels.
    """
    channels, height, width = x.shape[1], x.shape[2], x.shape[3]
    by_row, by_column = cosines(rows, height, x.device), cosines(columns, width, x.device)
    planes = (by_row.unsqueeze(2) * by_column.unsqueeze(1)).repeat_interleave(channels // len(rows), dim=0)[None]
    return planes.contiguous(memory_format=torch.channels_last) if is_channels_last(x) else planes.contiguous()


def frequency_sum(x: Tensor, rows: list[int], columns: list[int]) -> Tensor:
    """The component ``(B, C)`` of each channel of ``x`` ``(B, C, H, W)`` at the frequency of its group, in fp32."""
    if has_torch_function_unary(x):
        return handle_torch_function(frequency_sum, (x,), x, rows, columns)
    return (x * cosine_planes(x, rows, columns)).sum((2, 3))


class FrequencyChannelAttention(nn.Module):
    """Squeeze-and-excitation that pools each group of channels with its own cosine plane (Eq. 9-12).

    ``y = x * sigmoid(W2 relu(W1 s))`` with ``s_c = sum_ij x_cij cos(pi u (i + 1/2) / H) cos(pi v (j + 1/2) / W)``,
    normalised as the discrete cosine transform. The ``groups`` frequency pairs ``(u, v)`` are the best of the paper, scaled
    from its 7 x 7 grid to the map, so that one module works at every resolution (planes are cached per size).
    Input and output are ``(B, C, H, W)``; the gate is ``(B, C, 1, 1)``; ``2 C h`` parameters, ``h = max(min_hidden, C //
    reduction)``.
    """

    __jit_ignored_attributes__ = ("planes",)

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
        self.rows, self.columns = list(ROWS[:groups]), list(COLUMNS[:groups])
        self.identity_init = identity_init
        self.planes: dict[object, Tensor] = {}
        self.fc1 = nn.Linear(channels, hidden, bias=False)
        self.fc2 = nn.Linear(hidden, channels, bias=False)
        if identity_init:
            zero_init(self.fc2)

    def squeeze(self, x: Tensor) -> Tensor:
        """The component ``(B, C)`` of each channel of ``x`` ``(B, C, H, W)`` at its group's frequency, in fp32."""
        if torch.jit.is_scripting() or torch.jit.is_tracing() or torch.compiler.is_compiling() or has_torch_function_unary(x):
            return frequency_sum(x, self.rows, self.columns)
        size = (x.shape[2], x.shape[3], x.device, is_channels_last(x))
        if size not in self.planes:
            with torch.inference_mode(False), torch.no_grad():
                self.planes[size] = cosine_planes(x, self.rows, self.columns)
        return (x * self.planes[size]).sum((2, 3))

    def gate(self, x: Tensor) -> Tensor:
        """The gate ``(B, C, 1, 1)`` for ``x`` ``(B, C, H, W)``."""
        squeezed = self.squeeze(x).to(x.dtype)
        return sigmoid_gate(self.fc2(self.fc1(squeezed).relu()), self.identity_init)[:, :, None, None]

    def forward(self, x: Tensor) -> Tensor:
        """``x`` ``(B, C, H, W)`` times its gate."""
        return x * self.gate(x)
