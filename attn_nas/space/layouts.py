"""Layouts of the blocks of the built-in trunk families."""

from __future__ import annotations

from attn_nas.space.geometry import Layout

_PLAIN_SHORTCUT = ("identity",)
_PROJECTION = ("conv 1x1", "norm", "identity")
_PADDED = ("subsample", "pad", "identity")


def cifar_layout(*, keeps_shape: bool) -> Layout:
    """Two 3x3 convolutions; the shortcut of a block that changes the shape is padded with zeros."""
    return _basic_layout(_PLAIN_SHORTCUT if keeps_shape else _PADDED)


def resnet_layout(*, bottleneck: bool, keeps_shape: bool, replaced: str = "conv 3x3") -> Layout:
    """Two 3x3 convolutions, or 1x1, 3x3 and 1x1; the shortcut of a block that changes the shape is projected."""
    shortcut = _PLAIN_SHORTCUT if keeps_shape else _PROJECTION
    if not bottleneck:
        return _basic_layout(shortcut)
    before = ("pre", "conv 1x1", "norm", "relu", "replace", "norm", "relu", "inner")
    return Layout((*before, "conv 1x1", "pre_norm", "norm", "standard"), shortcut, ("relu", "post"), replaced)


def _basic_layout(shortcut: tuple[str, ...]) -> Layout:
    branch = ("pre", "conv 3x3", "norm", "relu", "inner", "replace", "pre_norm", "norm", "standard")
    return Layout(branch, shortcut, ("relu", "post"), "conv 3x3")


def inverted_layout(*, expands: bool, activation: str, kernel_size: int = 3, own_gate: bool = False) -> Layout:
    """Expansion (if ``expands``), depthwise convolution, the trunk's own SE gate (if ``own_gate``), projection."""
    expansion = ("conv 1x1", "norm", activation) if expands else ()
    gate = ("own se",) if own_gate else ()
    branch = ("pre", *expansion, "replace", "norm", activation, "inner", *gate, "conv 1x1", "pre_norm", "norm", "standard")
    return Layout(branch, replaced=f"depthwise {kernel_size}x{kernel_size}")


CONVNEXT = Layout(
    ("pre", "replace", "pre_norm", "norm", "linear", "gelu", "inner", "linear", "standard", "scale"),
    replaced="depthwise 7x7",
)
