"""Helpers of mechanisms: sigmoid gates, products without overflow, attention between pixels, initialisation."""

import torch
from torch import Tensor, nn
from torch.overrides import handle_torch_function, has_torch_function_unary


def sigmoid_gate(logits: Tensor, identity_init: bool) -> Tensor:
    """``sigmoid(logits)``, doubled with ``identity_init``, so that zero logits give a gate of 1."""
    gate = logits.sigmoid()
    return 2 * gate if identity_init else gate


def widened(x: Tensor) -> Tensor:
    """``x`` in fp32 if it is fp16, in which products of activations overflow; other types unchanged."""
    if has_torch_function_unary(x):
        return handle_torch_function(widened, (x,), x)
    return x.float() if x.dtype == torch.float16 else x


def exact_bmm(x: Tensor, y: Tensor) -> Tensor:
    """The products ``(B, N, M)`` of matrices ``(B, N, K)`` and ``(B, K, M)`` in the type of these, also under autocast."""
    if has_torch_function_unary(x) or has_torch_function_unary(y):
        return handle_torch_function(exact_bmm, (x, y), x, y)
    if torch.jit.is_scripting():
        with torch.autocast("cpu", enabled=False), torch.autocast("cuda", enabled=False):
            return torch.bmm(x, y)
    with torch.autocast(x.device.type, enabled=False):
        return torch.bmm(x, y)


def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Attention ``V softmax(Q^T K)^T`` ``(B, C', N)`` for query and key ``(B, h, N)`` and value ``(B, C', N)``."""
    energy = exact_bmm(widened(query).transpose(1, 2), widened(key))
    attention = energy.softmax(2).to(value.dtype)
    return torch.bmm(attention, value.transpose(1, 2)).transpose(1, 2).contiguous()


def zero_init(*layers: nn.Module) -> None:
    """Set weights and biases to zero."""
    for layer in layers:
        for parameter in layer.parameters():
            nn.init.zeros_(parameter)


def constant_one(layer: nn.Conv2d) -> None:
    """Set weights to zero and biases to one, so that the output is one everywhere."""
    assert layer.bias is not None
    nn.init.zeros_(layer.weight)
    nn.init.ones_(layer.bias)
