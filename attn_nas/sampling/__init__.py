"""Which network to train next, and what is believed of those that were trained."""

from attn_nas.sampling.beliefs import Belief, Beliefs, Training
from attn_nas.sampling.known_cost import KnownCostSampler
from attn_nas.sampling.observations import CURVE, SEED, WARM_START, EarlierTraining

__all__ = ["CURVE", "SEED", "WARM_START", "Belief", "Beliefs", "EarlierTraining", "KnownCostSampler", "Training"]
