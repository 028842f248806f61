"""The built-in trunk families: their published depths and widths, and the geometry of their blocks."""

from __future__ import annotations

from functools import partial
from typing import Any

from attn_nas.plugins.lazy_class import LazyClass
from attn_nas.space.geometry import Block, Layout, TrunkFamily
from attn_nas.space.layouts import CONVNEXT, cifar_layout, inverted_layout, resnet_layout

_MODELS = "attn_nas.models"


def _cifar_blocks(depth: int, width: int) -> tuple[Block, ...]:
    blocks = []
    channels = width
    for stage in range(3):
        out = width << stage
        for index in range((depth - 2) // 6):
            layout = cifar_layout(keeps_shape=channels == out)
            blocks.append(Block(stage, channels, out, out, out, 2 if stage and not index else 1, layout=layout))
            channels = out
    return tuple(blocks)


RESNET_STAGES = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}


def _resnet_blocks(depth: int, width: int, mid_ratio: int = 1, middle: str = "conv 3x3") -> tuple[Block, ...]:
    bottleneck = depth >= 50
    blocks = []
    channels = width
    for stage, count in enumerate(RESNET_STAGES[depth]):
        mid = (width << stage) * mid_ratio
        out = (width << stage) * (4 if bottleneck else 1)
        for index in range(count):
            stride = 2 if stage and not index else 1
            layout = resnet_layout(bottleneck=bottleneck, keeps_shape=channels == out, replaced=middle)
            blocks.append(Block(stage, channels, mid, mid, out, stride, stride if bottleneck else 1, layout=layout))
            channels = out
    return tuple(blocks)


def _resnet_arguments(depth: int, width: int) -> dict[str, Any]:
    block, expansion = ("Bottleneck", 4) if depth >= 50 else ("BasicBlock", 1)
    return {
        "block": LazyClass(f"{_MODELS}.resnet:{block}"),
        "expansion": expansion,
        "stage_lengths": RESNET_STAGES[depth],
        "width": width,
    }


def _resnext_blocks(depth: int, width: int) -> tuple[Block, ...]:
    return _resnet_blocks(depth, width, 2, "grouped 3x3")


def _resnext_arguments(depth: int, width: int) -> dict[str, Any]:
    return {**_resnet_arguments(depth, width), "block": LazyClass(f"{_MODELS}.resnet:ResNeXtBottleneck")}


def round_channels(channels: float) -> int:
    """The multiple of 8 nearest to ``channels``, at most 10 % below it: the rule by which MobileNets are scaled."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded


V2_ROWS = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
"""MobileNetV2: expansion ratio, output channels, number of blocks, stride of the first block (arXiv 1801.04381, table 2)."""

V3_ROWS = (
    (16, 16, 3, False, False, 1),
    (64, 24, 3, False, False, 2),
    (72, 24, 3, False, False, 1),
    (72, 40, 5, True, False, 2),
    (120, 40, 5, True, False, 1),
    (120, 40, 5, True, False, 1),
    (240, 80, 3, False, True, 2),
    (200, 80, 3, False, True, 1),
    (184, 80, 3, False, True, 1),
    (184, 80, 3, False, True, 1),
    (480, 112, 3, True, True, 1),
    (672, 112, 3, True, True, 1),
    (672, 160, 5, True, True, 2),
    (960, 160, 5, True, True, 1),
    (960, 160, 5, True, True, 1),
)
"""MobileNetV3-large: hidden channels, output channels, kernel size, SE, hard swish, stride (arXiv 1905.02244, table 1)."""


def _inverted(rows: list[tuple[int, int, int, str, Layout]], in_channels: int) -> tuple[Block, ...]:
    """Inverted residual blocks.

    ``rows`` are hidden channels, output channels, stride, path of the depthwise convolution in the block, and layout.
    """
    blocks = []
    stage = 0
    for hidden, out, stride, depthwise, layout in rows:
        stage += stride > 1
        shortcut = stride == 1 and in_channels == out
        blocks.append(Block(stage, in_channels, hidden, hidden, out, stride, stride, depthwise, shortcut, layout))
        in_channels = out
    return tuple(blocks)


def _mobilenet_v2_blocks(depth: int, width: int) -> tuple[Block, ...]:
    channels = round_channels(width)
    rows = []
    for expansion, out, count, stride in V2_ROWS:
        for index in range(count):
            depthwise = "conv.0.0" if expansion == 1 else "conv.1.0"
            out_channels = round_channels(out * width / 32)
            layout = inverted_layout(expands=expansion > 1, activation="relu6")
            rows.append((channels * expansion, out_channels, 1 if index else stride, depthwise, layout))
            channels = rows[-1][1]
    return _inverted(rows, round_channels(width))


def _mobilenet_v3_blocks(depth: int, width: int, *, own_gates: bool) -> tuple[Block, ...]:
    channels = round_channels(width)
    rows = []
    for hidden, out, kernel_size, has_gate, hard_swish, stride in V3_ROWS:
        wide = round_channels(hidden * width / 16)
        layout = inverted_layout(
            expands=wide != channels,
            activation="h-swish" if hard_swish else "relu",
            kernel_size=kernel_size,
            own_gate=own_gates and has_gate,
        )
        depthwise = "block.0.0" if wide == channels else "block.1.0"
        rows.append((wide, round_channels(out * width / 16), stride, depthwise, layout))
        channels = rows[-1][1]
    return _inverted(rows, round_channels(width))


CONVNEXT_STAGES = {59: (3, 3, 9, 3), 113: (3, 3, 27, 3)}
"""Blocks of the stages of ConvNeXt-T and -S by depth (arXiv 2201.03545)."""


def _convnext_block(stage: int, channels: int) -> Block:
    return Block(stage, channels, 4 * channels, channels, channels, replace_slot="block.0", layout=CONVNEXT)


def _convnext_blocks(depth: int, width: int) -> tuple[Block, ...]:
    return tuple(
        _convnext_block(stage, width << stage) for stage, count in enumerate(CONVNEXT_STAGES[depth]) for _ in range(count)
    )


def _width_alone(depth: int, width: int) -> dict[str, Any]:
    return {"width": width}


FAMILIES = (
    TrunkFamily(
        "cifar_resnet",
        "ResNet of He et al. for small images, parameter-free shortcuts (arXiv 1512.03385, section 4.2)",
        f"{_MODELS}.cifar_resnet:CifarResNet",
        "6n + 2: 8, 14, 20, 32, 44, 56, 110, ...",
        lambda depth: depth >= 8 and depth % 6 == 2,
        _cifar_blocks,
        default_width=16,
    ),
    TrunkFamily(
        "resnet",
        "ResNet of He et al. for large images, with torchvision's parameter names (arXiv 1512.03385)",
        f"{_MODELS}.resnet:ResNet",
        ", ".join(map(str, RESNET_STAGES)),
        lambda depth: depth in RESNET_STAGES,
        _resnet_blocks,
        _resnet_arguments,
        default_width=64,
    ),
    TrunkFamily(
        "resnext",
        "ResNeXt 32x4d of Xie et al., with torchvision's parameter names (arXiv 1611.05431)",
        f"{_MODELS}.resnet:ResNet",
        "50",
        lambda depth: depth == 50,
        _resnext_blocks,
        _resnext_arguments,
        default_depth=50,
        default_width=64,
    ),
    TrunkFamily(
        "mobilenet_v2",
        "MobileNetV2 of Sandler et al., with torchvision's parameter names (arXiv 1801.04381)",
        f"{_MODELS}.mobilenet:MobileNetV2",
        "53",
        lambda depth: depth == 53,
        _mobilenet_v2_blocks,
        _width_alone,
        default_depth=53,
        default_width=32,
    ),
    TrunkFamily(
        "mobilenet_v3_large",
        "MobileNetV3-large of Howard et al. with its own SE, with torchvision's parameter names (arXiv 1905.02244)",
        f"{_MODELS}.mobilenet:MobileNetV3",
        "48",
        lambda depth: depth == 48,
        partial(_mobilenet_v3_blocks, own_gates=True),
        lambda depth, width: {"width": width, "own_gate": LazyClass(f"{_MODELS}.mobilenet:OwnSqueezeExcitation")},
        default_depth=48,
        default_width=16,
    ),
    TrunkFamily(
        "mobilenet_v3_large_bare",
        "MobileNetV3-large without its own SE, the other parameters under torchvision's names (arXiv 1905.02244)",
        f"{_MODELS}.mobilenet:MobileNetV3",
        "48",
        lambda depth: depth == 48,
        partial(_mobilenet_v3_blocks, own_gates=False),
        lambda depth, width: {"width": width, "own_gate": None},
        default_depth=48,
        default_width=16,
    ),
    TrunkFamily(
        "convnext",
        "ConvNeXt-T (59) and -S (113) of Liu et al., with torchvision's parameter names (arXiv 2201.03545)",
        f"{_MODELS}.convnext:ConvNeXt",
        ", ".join(map(str, CONVNEXT_STAGES)),
        lambda depth: depth in CONVNEXT_STAGES,
        _convnext_blocks,
        lambda depth, width: {"stage_lengths": CONVNEXT_STAGES[depth], "width": width},
        default_depth=59,
        default_width=96,
    ),
)
