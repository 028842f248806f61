"""Spatial gates: one number per pixel, or per pixel and group of channels."""

from typing import Any

from attn_nas.attention.mechanism import Hyperparameters, Mechanism

_ZOO = "attn_nas.attention.zoo"
_GE: Any = {
    "family": "spatial",
    "title": "Gather-Excite: Exploiting Feature Context in Convolutional Neural Networks",
    "year": 2018,
    "arxiv": "1810.12348",
    "kernel_sizes": (3, 7, 15),
    "typical": Hyperparameters(kernel_size=15),
    "gate_scale": 0.50,
    "dynamic_onnx": True,
}

RECORDS = (
    Mechanism(
        "sam",
        f"{_ZOO}.cbam:SpatialGate",
        "spatial",
        "x * sigmoid(bn(conv_k([max_c(x), mean_c(x)])))",
        title="CBAM: Convolutional Block Attention Module",
        year=2018,
        arxiv="1807.06521",
        kernel_sizes=(3, 5, 7, 9),
        typical=Hyperparameters(kernel_size=7),
        min_batch=2,
        cost_class="A",
        gate_scale=0.50,
        identity_init=True,
        dynamic_onnx=True,
        note="the spatial half of CBAM; not the optimiser SAM",
    ),
    Mechanism(
        "ge",
        f"{_ZOO}.ge:GatherExcite",
        formula="x * sigmoid(interp(avgpool_e(x))), e = (k + 1) / 2",
        **_GE,
        cost_class="A",
        note="kernel_size is the window of the extents 2, 4, 8; a window larger than the map gives its mean; no parameters",
    ),
    Mechanism(
        "ge_conv",
        f"{_ZOO}.ge:GatherExciteConv",
        formula="x * sigmoid(interp(dwconv_e(x))), e = (k + 1) / 2",
        **_GE,
        closed=True,
        min_batch=2,
        cost_class="A",
        identity_init=True,
        note="kernel_size is the window of the extents 2, 4, 8, gathered by strided depthwise convolutions",
    ),
    Mechanism(
        "sge",
        f"{_ZOO}.sge:SpatialGroupEnhance",
        "spatial",
        "x_g * sigmoid(w_g norm(<x_g, mean_hw(x_g)>) + b_g)",
        title="Spatial Group-wise Enhance: Improving Semantic Feature Learning in Convolutional Networks",
        year=2019,
        arxiv="1905.09646",
        groups=(1, 2, 4, 8, 16, 32, 64),
        typical=Hyperparameters(groups=64),
        cost_class="B",
        gate_scale=0.73,
        identity_init=True,
        dynamic_onnx=True,
    ),
)
