"""The training of one candidate: from genotype, settings and seed to a result."""

from attn_nas.training.checkpoint import Checkpoint
from attn_nas.training.device import Numerics, choose_numerics, numerics_here
from attn_nas.training.result import OnEpoch, ProxyFailure, ProxyResult
from attn_nas.training.scores import Scores, evaluate_test
from attn_nas.training.step_profile import StepProfile, profile_step
from attn_nas.training.train import measure_throughput, train_proxy, train_until, warm_trunk

__all__ = [
    "Checkpoint",
    "Numerics",
    "OnEpoch",
    "ProxyFailure",
    "ProxyResult",
    "Scores",
    "StepProfile",
    "choose_numerics",
    "evaluate_test",
    "measure_throughput",
    "numerics_here",
    "profile_step",
    "train_proxy",
    "train_until",
    "warm_trunk",
]
