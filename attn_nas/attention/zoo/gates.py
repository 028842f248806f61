"""What mechanisms share: a sigmoid that may start at one, and sums that may not overflow."""

import torch
from torch import Tensor, nn


def sigmoid_gate(logits: Tensor, identity_init: bool) -> Tensor:
    """``sigmoid(logits)``; doubled for a gate that starts at the identity, so that zero logits mean one."""
    gate = logits.sigmoid()
    return 2 * gate if identity_init else gate


def widened(x: Tensor) -> Tensor:
    """``x`` in fp32 if it is fp16, whose range products of activations leave; any other type as it is."""
    return x.float() if x.dtype == torch.float16 else x


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
