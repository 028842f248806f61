"""Helpers for your own tests: contracts that every mechanism and trunk must pass, and a trainer that needs no time."""

from attn_nas.testing.mechanism_contract import MechanismContract
from attn_nas.testing.placements import legal_placements, mechanism_in, perturbed, trunk_in
from attn_nas.testing.trainer import TableTrainer
from attn_nas.testing.trunk_contract import TrunkContract

__all__ = [
    "MechanismContract",
    "TableTrainer",
    "TrunkContract",
    "legal_placements",
    "mechanism_in",
    "perturbed",
    "trunk_in",
]
