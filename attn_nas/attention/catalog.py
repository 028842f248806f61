"""The catalogue of mechanisms: the only registry, and what every search space is derived from.

It holds metadata and import paths, so reading it does not import torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from inspect import signature
from typing import TYPE_CHECKING, Any, Literal

from attn_nas.attention.sizes import adaptive_kernel, canonical_reduction, odd_kernel
from attn_nas.errors import SpaceError, choose_from, unknown

if TYPE_CHECKING:
    from torch import nn

Position = Literal["standard", "pre", "inner", "pre_norm", "identity", "post", "replace"]
GATE_POSITIONS: tuple[Position, ...] = ("standard", "pre", "inner", "pre_norm", "identity", "post")
POSITIONS: tuple[Position, ...] = (*GATE_POSITIONS, "replace")
KernelSize = int | Literal["adaptive"]


@dataclass(frozen=True)
class Mechanism:
    """One searchable attention mechanism.

    ``target`` is ``module:Class``; the class takes ``channels`` and keyword-only arguments. Empty ``reductions`` or
    ``kernel_sizes`` mean that the mechanism has no such hyperparameter. ``fixed`` holds keywords that make a named
    variant of a class. ``min_batch`` is the smallest batch it can be trained
    with on a feature map of any size, down to a single pixel.
    """

    name: str
    target: str
    family: Literal["channel", "spatial", "channel and spatial", "second order", "convolution"]
    formula: str
    title: str
    year: int
    arxiv: str
    reductions: tuple[int, ...] = ()
    kernel_sizes: tuple[KernelSize, ...] = ()
    positions: tuple[Position, ...] = GATE_POSITIONS
    fixed: Mapping[str, Any] = field(default_factory=dict)
    takes_stride: bool = False
    min_batch: int = 1
    aliases: tuple[str, ...] = ()

    @property
    def default_position(self) -> Position:
        """``standard`` where it is legal."""
        return "standard" if "standard" in self.positions else self.positions[0]

    def check_position(self, position: str) -> None:
        """Raise SpaceError unless the mechanism may sit at ``position``."""
        if position not in self.positions:
            raise SpaceError(f"{self.name} cannot sit at position {position!r}: choose from {', '.join(self.positions)}")

    def canonical_reduction(self, channels: int, reduction: int | None) -> int | None:
        """The representative reduction at ``channels``, or None if the mechanism has none; raises SpaceError."""
        if not self.reductions:
            return None
        if reduction is None:
            raise SpaceError(f"{self.name} needs a reduction, such as {', '.join(map(str, self.reductions))}")
        try:
            return canonical_reduction(channels, reduction)
        except ValueError as error:
            raise SpaceError(f"{self.name}: {error}") from None

    def canonical_kernel(self, channels: int, kernel_size: KernelSize | None) -> int | None:
        """The kernel size at ``channels``, ``adaptive`` resolved, or None if the mechanism has none; raises SpaceError."""
        if not self.kernel_sizes:
            return None
        if kernel_size == "adaptive" and "adaptive" in self.kernel_sizes:
            return adaptive_kernel(channels)
        if not isinstance(kernel_size, int):
            raise SpaceError(
                f"{self.name} cannot have kernel_size {kernel_size!r}: choose from {', '.join(map(str, self.kernel_sizes))}"
            )
        try:
            return odd_kernel(kernel_size)
        except ValueError as error:
            raise SpaceError(f"{self.name}: {error}") from None

    def arguments(self, reduction: int | None, kernel_size: KernelSize | None, stride: int = 1) -> dict[str, Any]:
        """The keyword arguments of the class for these hyperparameters."""
        chosen: dict[str, Any] = dict(self.fixed)
        if self.reductions:
            chosen["reduction"] = reduction
        if self.kernel_sizes:
            chosen["kernel_size"] = kernel_size
        if self.takes_stride:
            chosen["stride"] = stride
        return chosen

    def load(self) -> type[nn.Module]:
        """The class behind ``target``; imports torch."""
        module, _, name = self.target.partition(":")
        loaded: type[nn.Module] = getattr(import_module(module), name)
        return loaded

    def build(self, channels: int, **arguments: Any) -> nn.Module:
        """A fresh module for a feature map of ``channels`` channels; None stands for an argument left out.

        Raises:
            SpaceError: an argument that the class does not have.
            ValueError: a value that it cannot have.

        """
        module = self.load()
        known = [name for name in signature(module).parameters if name != "channels" and name not in self.fixed]
        given = {name: value for name, value in arguments.items() if value is not None}
        for name, value in given.items():
            if name not in known:
                raise SpaceError(f"{self.name} has no argument {name} (given {value!r}): {choose_from(name, known)}")
        return module(channels, **self.fixed, **given)


_CATALOG: dict[str, Mechanism] = {}
_ALIASES: dict[str, str] = {}


def register(mechanism: Mechanism) -> Mechanism:
    """Add a mechanism to the catalogue.

    Raises:
        SpaceError: its name or one of its aliases is taken, or is the reserved word ``none``.

    """
    for name in (mechanism.name, *mechanism.aliases):
        if name in _CATALOG or name in _ALIASES or name == "none":
            raise SpaceError(f"mechanism name {name!r} is taken: choose another")
    _CATALOG[mechanism.name] = mechanism
    _ALIASES.update(dict.fromkeys(mechanism.aliases, mechanism.name))
    return mechanism


def mechanism_names() -> list[str]:
    """All registered names, in order of registration."""
    return list(_CATALOG)


def get_mechanism(name: str) -> Mechanism:
    """The record for a name or an alias.

    Raises:
        SpaceError: no such mechanism.

    """
    resolved = _ALIASES.get(name, name)
    if resolved not in _CATALOG:
        raise SpaceError(unknown("mechanism", name, [*_CATALOG, *_ALIASES]))
    return _CATALOG[resolved]


_CBAM: Any = {"title": "CBAM: Convolutional Block Attention Module", "year": 2018, "arxiv": "1807.06521"}
_ECA: Any = {"title": "ECA-Net: Efficient Channel Attention for Deep CNNs", "year": 2020, "arxiv": "1910.03151"}

for _record in (
    Mechanism(
        "se",
        "attn_nas.attention.squeeze:SqueezeExcitation",
        "channel",
        "x * sigmoid(W2 relu(W1 mean_hw(x)))",
        title="Squeeze-and-Excitation Networks",
        year=2018,
        arxiv="1709.01507",
        reductions=(2, 4, 8, 16, 32),
        aliases=("SEBlock", "SELayer", "SEAttention"),
    ),
    Mechanism(
        "eca",
        "attn_nas.attention.eca:EfficientChannelAttention",
        "channel",
        "x * sigmoid(conv1d_k(mean_hw(x)))",
        **_ECA,
        kernel_sizes=("adaptive", 3, 5, 7, 9),
        aliases=("ECAAttention",),
    ),
    Mechanism(
        "eca_max",
        "attn_nas.attention.eca:EfficientChannelAttention",
        "channel",
        "x * sigmoid(conv1d_k(mean_hw(x) + max_hw(x)))",
        **_ECA,
        kernel_sizes=("adaptive", 3, 5, 7, 9),
        fixed={"pooling": "avg+max"},
    ),
    Mechanism(
        "sam",
        "attn_nas.attention.cbam:SpatialGate",
        "spatial",
        "x * sigmoid(bn(conv_k([max_c(x), mean_c(x)])))",
        **_CBAM,
        kernel_sizes=(3, 5, 7, 9),
        min_batch=2,
    ),
    Mechanism(
        "cam_gate",
        "attn_nas.attention.cbam:ChannelGate",
        "channel",
        "x * sigmoid(mlp(mean_hw(x)) + mlp(max_hw(x)))",
        **_CBAM,
        reductions=(2, 4, 8, 16, 32),
    ),
    Mechanism(
        "cbam",
        "attn_nas.attention.cbam:CBAM",
        "channel and spatial",
        "sam(cam_gate(x))",
        **_CBAM,
        reductions=(2, 4, 8, 16, 32),
        kernel_sizes=(3, 5, 7, 9),
        min_batch=2,
    ),
    Mechanism(
        "gsop",
        "attn_nas.attention.gsop:GlobalSecondOrderPooling",
        "second order",
        "x * sigmoid(W rows(bn(cov_hw(relu(bn(W1 relu(x)))))))",
        title="Global Second-order Pooling Convolutional Networks",
        year=2019,
        arxiv="1811.12006",
        reductions=(1, 2, 4, 8, 16),
        min_batch=2,
    ),
    Mechanism(
        "sk",
        "attn_nas.attention.sk:SelectiveKernel",
        "convolution",
        "sum_b softmax_b(A_b z) * relu(bn(conv_b(x))), z = relu(bn(W mean_hw(sum_b ...)))",
        title="Selective Kernel Networks",
        year=2019,
        arxiv="1903.06586",
        reductions=(2, 4, 8, 16, 32),
        positions=("replace",),
        takes_stride=True,
        min_batch=2,
    ),
):
    register(_record)
