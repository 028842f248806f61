"""What mechanisms share: a sigmoid that may start at one, products that may not overflow, attention of places."""

import torch
from torch import Tensor, nn


def sigmoid_gate(logits: Tensor, identity_init: bool) -> Tensor:
    """``sigmoid(logits)``; doubled for a gate that starts at the identity, so that zero logits mean one."""
    gate = logits.sigmoid()
    return 2 * gate if identity_init else gate


def widened(x: Tensor) -> Tensor:
    """``x`` in fp32 if it is fp16, whose range products of activations leave; any other type as it is."""
    return x.float() if x.dtype == torch.float16 else x


def wide_product(x: Tensor, gate: Tensor) -> Tensor:
    """``x * gate``, in fp32 under autocast, for a gate that grows with the input."""
    return x * (gate.float() if torch.is_autocast_enabled(x.device.type) else gate)


def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """What each place attends to, ``V softmax(Q^T K)^T``: ``(B, C', N)`` from maps ``(B, h, N)`` twice and ``(B, C', N)``."""
    with torch.autocast(query.device.type, enabled=False):
        energy = torch.bmm(widened(query).transpose(1, 2), widened(key))
    attention = energy.softmax(2).to(value.dtype)
    return torch.bmm(attention, value.transpose(1, 2)).transpose(1, 2).contiguous()


def zero_init(*layers: nn.Module) -> None:
    """Set weights and biases to zero."""
    for layer in layers:
        for parameter in layer.parameters():
            nn.init.zeros_(parameter)


def constant_one(layer: nn.Conv2d) -> None:
    """Zero weights and biases of one, so that the layer's output is one everywhere."""
    assert layer.bias is not None
    nn.init.zeros_(layer.weight)
    nn.init.ones_(layer.bias)
