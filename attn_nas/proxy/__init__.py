"""One short training run: from genotype, settings and seed to a result."""

from attn_nas.proxy.device import Numerics, choose_numerics
from attn_nas.proxy.result import OnEpoch, ProxyFailure, ProxyResult
from attn_nas.proxy.train import train_proxy

__all__ = ["Numerics", "OnEpoch", "ProxyFailure", "ProxyResult", "choose_numerics", "train_proxy"]
