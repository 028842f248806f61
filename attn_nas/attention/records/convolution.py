"""Mechanisms that substitute a convolution."""

from typing import Any

from attn_nas.attention.mechanism import Hyperparameters, Mechanism

_ZOO = "attn_nas.attention.zoo"
_REPLACES: Any = {
    "positions": ("replace",),
    "takes_stride": True,
    "min_batch": 2,
    "trains_on_one_image": False,
    "dynamic_onnx": True,
}

RECORDS = (
    Mechanism(
        "sk",
        f"{_ZOO}.sk:SelectiveKernel",
        "convolution",
        "sum_b softmax_b(A_b z) * relu(bn(conv_b(x))), z = relu(bn(W mean_hw(sum_b ...)))",
        title="Selective Kernel Networks",
        year=2019,
        arxiv="1903.06586",
        reductions=(2, 4, 8, 16, 32),
        typical=Hyperparameters(reduction=16),
        cost_class="B",
        gate_scale=0.5,
        **_REPLACES,
    ),
    Mechanism(
        "split_attention",
        f"{_ZOO}.split_attention:SplitAttention",
        "convolution",
        "sum_r softmax_r(W2 relu(bn(W1 mean_hw(u_1 + u_2)))) * u_r, [u_1, u_2] = relu(bn(conv(x)))",
        title="ResNeSt: Split-Attention Networks",
        year=2020,
        arxiv="2004.08955",
        reductions=(1, 2, 4, 8, 16),
        typical=Hyperparameters(reduction=2),
        cost_class="D",
        gate_scale=0.5,
        **_REPLACES,
    ),
)
