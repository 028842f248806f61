"""Spatial group-wise enhance. Li et al., "Spatial Group-wise Enhance", arXiv 1905.09646."""

import torch
from torch import Tensor, nn

from attn_nas.attention.sizes import above_zero, group_width
from attn_nas.attention.zoo.gates import exact_bmm, sigmoid_gate
from attn_nas.attention.zoo.pooling import free_pixels


class SpatialGroupEnhance(nn.Module):
    """Spatial gate per group of channels: ``y_g = x_g * sigmoid(w_g * norm(<x_g, mean_hw(x_g)>) + b_g)`` (Eq. 3-6).

    The similarity of each pixel to the mean vector of its group, ``(B, G, H, W)``, is normalised over pixels (deviation with
    divisor ``H W - 1``, in fp32). Input and output are ``(B, C, H, W)``; ``2 G`` parameters, started at ``w = 0`` and
    ``b = 1`` as in the authors' code (0 with ``identity_init``).
    """

    def __init__(self, channels: int, *, groups: int = 8, eps: float = 1e-5, identity_init: bool = False) -> None:
        super().__init__()
        group_width(channels, groups)
        above_zero("eps", eps, "1e-5")
        self.groups = groups
        self.eps = eps
        self.identity_init = identity_init
        self.weight = nn.Parameter(torch.zeros(groups, 1))
        self.bias = nn.Parameter(torch.zeros(groups, 1) if identity_init else torch.ones(groups, 1))

    def gate(self, x: Tensor) -> Tensor:
        """The gate ``(B, G, 1, H, W)`` for ``x`` ``(B, C, H, W)``."""
        batch, _, height, width = x.shape
        grouped = x.float().reshape(batch * self.groups, -1, height * width)
        similarity = exact_bmm(grouped.mean(2, keepdim=True).transpose(1, 2), grouped).view(batch, self.groups, -1)
        centred = similarity - similarity.mean(2, keepdim=True)
        variance = centred.square().sum(2, keepdim=True) / free_pixels(x)
        logits = centred / (variance.clamp_min(1e-20).sqrt() + self.eps) * self.weight + self.bias
        return sigmoid_gate(logits, self.identity_init).view(batch, self.groups, 1, height, width).to(x.dtype)

    def forward(self, x: Tensor) -> Tensor:
        """``x`` ``(B, C, H, W)`` times the gate of its group."""
        return (x.unflatten(1, (self.groups, -1)) * self.gate(x)).flatten(1, 2)
