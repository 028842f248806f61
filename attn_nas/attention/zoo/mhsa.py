"""Multi-head self-attention with relative positions. Srinivas et al., "Bottleneck Transformers", arXiv 2101.11605."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attn_nas.attention.sizes import group_width, positive
from attn_nas.attention.zoo.gates import exact_bmm, widened


class MultiHeadSelfAttention(nn.Module):
    """All pixels attend to all: ``y = V softmax((Q^T K + Q^T R) / sqrt(d))^T`` per head, ``R = R_h + R_w`` (Fig. 4).

    ``groups`` is the number of heads, ``d = C / groups``. The learned row and column embeddings depend only on the
    distance of two pixels, up to ``max_distance`` and constant beyond, so that one module works at every resolution (the
    tables of the paper have the size of its map). Input ``(B, C, H, W)``, output ``(B, C, H / stride, W / stride)``, where
    stride 2 is an average over 2x2 pixels after the attention; the attention is ``(B groups, H W, H W)``.
    ``3 C^2 + 2 (2 max_distance + 1) d`` parameters.
    """

    def __init__(self, channels: int, *, groups: int = 4, stride: int = 1, max_distance: int = 13) -> None:
        super().__init__()
        self.head_width = group_width(channels, groups)
        positive(stride=stride, max_distance=max_distance)
        self.stride = stride
        self.max_distance = max_distance
        self.qkv = nn.Conv2d(channels, 3 * channels, 1, bias=False)
        scale = self.head_width**-0.5
        self.row_embedding = nn.Parameter(scale * torch.randn(2 * max_distance + 1, self.head_width))
        self.column_embedding = nn.Parameter(scale * torch.randn(2 * max_distance + 1, self.head_width))

    def embeddings(self, table: Tensor, length: int) -> Tensor:
        """Embeddings ``(L, L, d)`` of all pairs of coordinates, looked up in ``table`` by distance."""
        pixels = torch.arange(length, device=table.device)
        distance = (pixels - pixels[:, None]).clamp(-self.max_distance, self.max_distance)
        return table[distance + self.max_distance]

    def forward(self, x: Tensor) -> Tensor:
        """The attended values ``(B, C, H / stride, W / stride)`` of ``x`` ``(B, C, H, W)``."""
        batch, channels, height, width = x.shape
        query, key, value = self.qkv(x).reshape(batch, 3, -1, self.head_width, height * width).unbind(1)
        query, key, value = query.flatten(0, 1), key.flatten(0, 1), value.flatten(0, 1)
        query, key = widened(query).transpose(1, 2) * self.head_width**-0.5, widened(key)
        logits = exact_bmm(query, key).view(-1, height, width, height, width)
        pixels = query.view(-1, height, width, self.head_width)
        rows = pixels.transpose(0, 1).reshape(height, -1, self.head_width)
        columns = pixels.permute(2, 0, 1, 3).reshape(width, -1, self.head_width)
        by_row = exact_bmm(rows, self.embeddings(self.row_embedding, height).to(rows.dtype).transpose(1, 2))
        by_column = exact_bmm(columns, self.embeddings(self.column_embedding, width).to(rows.dtype).transpose(1, 2))
        by_row = by_row.view(height, -1, width, height).permute(1, 0, 2, 3)
        by_column = by_column.view(width, -1, height, width).permute(1, 2, 0, 3)
        logits = logits + by_row.unsqueeze(4) + by_column.unsqueeze(3)
        attention = logits.view(-1, height * width, height * width).softmax(2)
        attended = torch.bmm(attention.to(value.dtype), value.transpose(1, 2)).transpose(1, 2)
        attended = attended.reshape(batch, channels, height, width)
        return F.avg_pool2d(attended, self.stride, ceil_mode=True) if self.stride > 1 else attended
