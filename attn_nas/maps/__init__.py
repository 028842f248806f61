"""Class activation maps of networks, statistics of their attention gates, and comparisons of networks."""

from attn_nas.maps.activation import ActivationMap, PooledHead, activation_maps, grad_cam, pooled_head
from attn_nas.maps.gate_statistics import Gate, Kind, Spread, gates_of, without
from attn_nas.maps.network_comparison import NetworkComparison, ObservedNetwork, compare

__all__ = [
    "ActivationMap",
    "Gate",
    "Kind",
    "NetworkComparison",
    "ObservedNetwork",
    "PooledHead",
    "Spread",
    "activation_maps",
    "compare",
    "gates_of",
    "grad_cam",
    "pooled_head",
    "without",
]
