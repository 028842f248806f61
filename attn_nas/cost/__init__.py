"""Exact costs of candidates (FLOPs, MACs, parameters), counted before any training."""

from attn_nas.cost.cost_limits import Limits
from attn_nas.cost.count import CONVENTION, Cost, count_cost, count_network
from attn_nas.cost.table import CostTable

__all__ = ["CONVENTION", "Cost", "CostTable", "Limits", "count_cost", "count_network"]
