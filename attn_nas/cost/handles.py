"""Counters for the operators that fvcore leaves out, so that no part of a mechanism is free by accident.

A counter takes the traced inputs and outputs of one operator and returns its cost in fvcore's unit (one multiply-add is
one). Elementwise arithmetic costs one per output element, a reduction one per input element, a sigmoid or another
transcendental function one, a softmax three (exponential, sum, division). ReLU, padding, concatenation and views stay
free, as in fvcore.
"""

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

Counter = Callable[[Sequence[Any], Sequence[Any]], int]


def _elements(value: Any) -> int:
    from fvcore.nn.jit_handles import get_shape

    return prod(get_shape(value) or [1])


def per_output(factor: int = 1) -> Counter:
    """``factor`` per element of the output."""
    return lambda inputs, outputs: factor * _elements(outputs[0])


def per_input(factor: int = 1) -> Counter:
    """``factor`` per element of the first input."""
    return lambda inputs, outputs: factor * _elements(inputs[0])


def attention(inputs: Sequence[Any], outputs: Sequence[Any]) -> int:
    """Scaled dot-product attention: both matrix products, the scaling and the softmax.

    Inputs begin with query ``(..., L, E)``, key ``(..., S, E)`` and value ``(..., S, V)``.
    """
    from fvcore.nn.jit_handles import get_shape

    query, key, value = (get_shape(tensor) for tensor in inputs[:3])
    scores = prod(query[:-1]) * key[-2]
    return int(scores * (query[-1] + value[-1] + 4))


FREE = tuple(f"aten::{name}" for name in ("pad", "expand_as", "contiguous", "unflatten", "split", "roll", "numel"))

HANDLES: dict[str, Counter] = {
    **{
        f"aten::{name}": per_output()
        for name in ("add", "add_", "sub", "rsub", "mul", "mul_", "div", "div_", "pow", "neg", "reciprocal")
    },
    **{f"aten::{name}": per_output() for name in ("sigmoid", "sigmoid_", "tanh", "exp", "sqrt", "rsqrt", "square")},
    **{f"aten::{name}": per_output() for name in ("silu", "silu_", "gelu", "hardsigmoid", "hardswish", "hardswish_")},
    **{f"aten::{name}": per_input() for name in ("mean", "sum", "amax", "amin", "max", "max_pool2d", "adaptive_max_pool2d")},
    **{f"aten::{name}": per_input(2) for name in ("var", "std", "linalg_vector_norm")},
    "aten::softmax": per_input(3),
    "aten::scaled_dot_product_attention": attention,
}
