"""Where networks look and what their attention does: class activation maps, gates, and both side by side."""

from attn_nas.maps.activation import ActivationMap, PooledHead, activation_maps, grad_cam, pooled_head
from attn_nas.maps.comparison import Comparison, Observed, compare
from attn_nas.maps.gates import Gate, Kind, Spread, gates_of, without

__all__ = [
    "ActivationMap",
    "Comparison",
    "Gate",
    "Kind",
    "Observed",
    "PooledHead",
    "Spread",
    "activation_maps",
    "compare",
    "gates_of",
    "grad_cam",
    "pooled_head",
    "without",
]
