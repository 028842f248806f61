"""Counters for operators that fvcore does not count, so that every part of a mechanism has a cost.

A counter takes the traced inputs and outputs of one operator and returns its cost in multiply-adds, fvcore's unit.
Elementwise arithmetic costs 1 per output element, a reduction 1 per input element, a sigmoid or another transcendental
function 1, a softmax 3 (exponential, sum, division). ReLU, padding, concatenation and views cost nothing, as in fvcore.
"""

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

Counter = Callable[[Sequence[Any], Sequence[Any]], int]


def _elements(value: Any) -> int:
    """Number of elements of a traced tensor; 0 for a scalar, which belongs to the arithmetic of shapes."""
    from fvcore.nn.jit_handles import get_shape

    shape = get_shape(value)
    return prod(shape) if shape else 0


def per_output(factor: int = 1) -> Counter:
    """Counter of ``factor`` per element of the output."""
    return lambda inputs, outputs: factor * _elements(outputs[0])


def per_input(factor: int = 1) -> Counter:
    """Counter of ``factor`` per element of the first input."""
    return lambda inputs, outputs: factor * _elements(inputs[0])


def average_pool(inputs: Sequence[Any], outputs: Sequence[Any]) -> int:
    """Counter of average pooling: the pixels of the window for every output element.

    The second input is the side of the window, or its two sides. A window of one pixel costs nothing: it is a strided view.
    """
    sides = [side.toIValue() for side in inputs[1].node().inputs()] or inputs[1].toIValue()
    window = int(prod(sides if len(sides) > 1 else 2 * sides))
    return _elements(outputs[0]) * window if window > 1 else 0


def attention(inputs: Sequence[Any], outputs: Sequence[Any]) -> int:
    """Counter of scaled dot-product attention: both matrix products, the scaling and the softmax.

    The first inputs are query ``(..., L, E)``, key ``(..., S, E)`` and value ``(..., S, V)``.
    """
    from fvcore.nn.jit_handles import get_shape

    query, key, value = (get_shape(tensor) for tensor in inputs[:3])
    scores = prod(query[:-1]) * key[-2]
    return int(scores * (query[-1] + value[-1] + 4))


_FREE = (
    "pad expand_as contiguous unflatten split roll numel view_as repeat repeat_interleave clamp_min hardtanh hardtanh_ dropout_"
)
FREE = tuple(f"aten::{name}" for name in _FREE.split())

_ARITHMETIC = "add add_ sub rsub mul mul_ div div_ pow neg abs sign floor round reciprocal maximum minimum addcmul lerp"
_TRANSCENDENTAL = "sigmoid sigmoid_ tanh exp log log1p sin cos erf sqrt rsqrt square softplus"
_ACTIVATION = "silu silu_ gelu hardsigmoid hardswish hardswish_ mish elu elu_ selu leaky_relu leaky_relu_ prelu log_sigmoid"
_COMPARISON = "le lt ge gt eq ne where bitwise_and __and__"

HANDLES: dict[str, Counter] = {
    **{
        f"aten::{name}": per_output()
        for names in (_ARITHMETIC, _TRANSCENDENTAL, _ACTIVATION, _COMPARISON)
        for name in names.split()
    },
    **{f"aten::{name}": per_input() for name in ("mean", "sum", "amax", "amin", "max", "max_pool2d", "adaptive_max_pool2d")},
    **{f"aten::{name}": per_input(2) for name in ("var", "var_mean", "std", "linalg_vector_norm")},
    "aten::avg_pool2d": average_pool,
    "aten::softmax": per_input(3),
    "aten::log_softmax": per_input(3),
    "aten::scaled_dot_product_attention": attention,
}
