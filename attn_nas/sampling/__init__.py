"""Chooses the next network to train, and estimates the true accuracies of trained networks."""

from attn_nas.sampling.beliefs import Belief, Beliefs, Training
from attn_nas.sampling.known_cost import KnownCostSampler
from attn_nas.sampling.observations import CURVE, SEED, WARM_START, PriorTraining

__all__ = ["CURVE", "SEED", "WARM_START", "Belief", "Beliefs", "KnownCostSampler", "PriorTraining", "Training"]
