"""The record of a mechanism, from which search spaces, canonical forms and models are derived; no torch here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from inspect import signature
from typing import TYPE_CHECKING, Any, Literal, get_args

from attn_nas.attention.sizes import MIN_HIDDEN, adaptive_kernel, canonical_reduction, group_width, odd_kernel, positive
from attn_nas.errors import SpaceError, choose_from
from attn_nas.plugins.lazy_class import LazyClass

if TYPE_CHECKING:
    from torch import nn

Position = Literal["standard", "pre", "inner", "pre_norm", "identity", "post", "replace", "stage_end"]
GATE_POSITIONS: tuple[Position, ...] = ("standard", "pre", "inner", "pre_norm", "identity", "post")
POSITIONS: tuple[Position, ...] = (*GATE_POSITIONS, "replace", "stage_end")
KernelSize = int | Literal["adaptive"]
Family = Literal["channel", "spatial", "channel and spatial", "second order", "self-attention", "convolution"]
CostClass = Literal["A", "B", "C", "D"]


@dataclass(frozen=True)
class Hyperparameters:
    """The searchable hyperparameters of one mechanism; None for those that it lacks."""

    reduction: int | None = None
    kernel_size: KernelSize | None = None
    groups: int | None = None


@dataclass(frozen=True)
class Mechanism:
    """One searchable attention mechanism: a module that maps ``(B, C, H, W)`` to the same shape.

    Args:
        name: lower-case letters, digits and underscores; not ``none``.
        target: ``"module:Class"``. The class takes ``channels`` and keyword-only arguments.
        family: the kind of attention, for reports and colours.
        formula: its equation as text.
        title: title of its paper, with ``year`` and ``arxiv`` number or ``url``.
        reductions: reduction ratios ``C / h`` to choose from; empty if it has no hidden layer.
        kernel_sizes: odd sizes in pixels to choose from, or ``"adaptive"``; empty if it has none.
        groups: numbers of groups (heads, frequencies) to choose from; empty if it has none.
        typical: the hyperparameters of its paper.
        positions: insertion points that it can have.
        fixed: keyword arguments of the class that define a named variant.
        min_hidden: lower bound of ``h = C // reduction`` in the class.
        group_multiple: number that must divide the channels of one group.
        min_channels: smallest number of channels.
        closed: True if kernel sizes and groups outside the lists do not exist.
        takes_stride: True if the class has an argument ``stride``; required for ``replace``.
        min_batch: smallest batch of a training step on a feature map of any size, down to 1 x 1 pixels.
        trains_on_one_image: False if a training step on a single image fails at every size of the map, because the statistics
            of a batch norm would come from one number per channel.
        untraceable: which of ``torch.fx``, ``torch.jit.trace`` and ``torch.jit.script`` cannot take the module.
        deterministic: False if it uses an operator that torch refuses to run on CUDA under
            ``torch.use_deterministic_algorithms(True)``.
        cost_class: complete FLOPs at 64 channels and 32 x 32 pixels, relative to a basic block of two 3x3 convolutions:
            A below 0.5 %, B below 5 %, C below 50 %, D above.
        gate_scale: mean size of the output divided by that of the input, for a new module in training mode and standard
            normal inputs.
        identity_init: True if the class has an option of this name that makes it start as the identity.
        dynamic_onnx: True if it exports to ONNX with dynamic batch, height and width.
        note: a remark for listings.
        aliases: other names.

    Raises:
        SpaceError: the record is invalid: name, family, position or hyperparameter; ``replace`` without ``takes_stride``; or
            ``stage_end`` together with other positions.

    """

    name: str
    target: str
    family: Family
    formula: str
    title: str
    year: int
    arxiv: str = ""
    url: str = ""
    reductions: tuple[int, ...] = ()
    kernel_sizes: tuple[KernelSize, ...] = ()
    groups: tuple[int, ...] = ()
    typical: Hyperparameters = field(default_factory=Hyperparameters)
    positions: tuple[Position, ...] = GATE_POSITIONS
    fixed: Mapping[str, Any] = field(default_factory=dict, compare=False)
    min_hidden: int = MIN_HIDDEN
    group_multiple: int = 1
    min_channels: int = 1
    closed: bool = False
    takes_stride: bool = False
    min_batch: int = 1
    trains_on_one_image: bool = True
    untraceable: tuple[str, ...] = ()
    deterministic: bool = True
    cost_class: CostClass | None = None
    gate_scale: float | None = None
    identity_init: bool = False
    dynamic_onnx: bool = False
    note: str = ""
    aliases: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z][a-z0-9_]*", self.name) or self.name == "none":
            raise SpaceError(f"mechanism name {self.name!r}: choose lower-case letters, digits and underscores, and not none")
        if self.family not in get_args(Family):
            raise SpaceError(f"{self.name}: unknown family {self.family!r}: {choose_from(self.family, get_args(Family))}")
        wrong = [position for position in self.positions if position not in POSITIONS]
        if wrong or not self.positions:
            raise SpaceError(f"{self.name} has positions {self.positions}: choose from {', '.join(POSITIONS)}")
        if "stage_end" in self.positions and len(self.positions) > 1:
            raise SpaceError(f"{self.name}: stage_end cannot be combined with other positions: give it alone")
        if "replace" in self.positions and not self.takes_stride:
            raise SpaceError(
                f"{self.name} has the position replace: give its class an argument stride, and set takes_stride=True"
            )
        try:
            for kernel_size in self.kernel_sizes:
                if kernel_size != "adaptive":
                    odd_kernel(kernel_size)
            for name, values in (("reductions", self.reductions), ("groups", self.groups)):
                for value in values:
                    positive(**{name: value})
        except ValueError as error:
            raise SpaceError(f"{self.name}: {error}") from None

    @property
    def default_position(self) -> Position:
        """``standard`` if the mechanism can have it, else its first position."""
        return "standard" if "standard" in self.positions else self.positions[0]

    def check_position(self, position: str) -> None:
        """Check that the mechanism can have ``position``.

        Raises:
            SpaceError: it cannot; the message lists its positions.

        """
        if position not in self.positions:
            raise SpaceError(f"{self.name} cannot have the position {position!r}: choose from {', '.join(self.positions)}")

    def canonical(self, channels: int, given: Hyperparameters) -> Hyperparameters:
        """The canonical hyperparameters: equal for all that give the same module at ``channels``.

        Raises:
            SpaceError: a hyperparameter is missing, or invalid at ``channels``.

        """
        if channels < self.min_channels:
            raise SpaceError(f"{self.name} needs at least {self.min_channels} channels, but there are {channels}")
        try:
            return Hyperparameters(
                self._reduction(channels, given.reduction),
                self._kernel_size(channels, given.kernel_size),
                self._groups(channels, given.groups),
            )
        except ValueError as error:
            raise (error if isinstance(error, SpaceError) else SpaceError(f"{self.name}: {error}")) from None

    def _reduction(self, channels: int, reduction: int | None) -> int | None:
        if not self.reductions:
            return None
        if reduction is None:
            raise SpaceError(f"{self.name} needs a reduction, such as {', '.join(map(str, self.reductions))}")
        return canonical_reduction(channels, reduction, self.min_hidden)

    def _kernel_size(self, channels: int, kernel_size: KernelSize | None) -> int | None:
        if not self.kernel_sizes:
            return None
        if kernel_size == "adaptive" and "adaptive" in self.kernel_sizes:
            return adaptive_kernel(channels)
        if type(kernel_size) is not int or (self.closed and kernel_size not in self.kernel_sizes):
            choices = ", ".join(map(str, self.kernel_sizes))
            raise SpaceError(f"{self.name} cannot have kernel_size {kernel_size!r}: choose from {choices}")
        return odd_kernel(kernel_size)

    def _groups(self, channels: int, groups: int | None) -> int | None:
        if not self.groups:
            return None
        if groups is None:
            raise SpaceError(f"{self.name} needs groups, such as {', '.join(map(str, self.groups))}")
        if self.closed and groups not in self.groups:
            choices = ", ".join(map(str, self.groups))
            raise SpaceError(f"{self.name} cannot have {groups} groups: choose from {choices}")
        group_width(channels, groups, self.group_multiple)
        return groups

    def legal_groups(self, channels: int) -> tuple[int, ...]:
        """The numbers of groups in the record that divide ``channels``."""
        return tuple(number for number in self.groups if channels % (number * self.group_multiple) == 0)

    def typical_at(self, channels: int) -> Hyperparameters:
        """The hyperparameters of the paper, or the nearest that are valid at ``channels``.

        Raises:
            SpaceError: none are valid.

        """
        legal = self.legal_groups(channels)
        wanted = self.typical.groups or 1
        return self.canonical(
            channels,
            Hyperparameters(
                self.typical.reduction or next(iter(self.reductions), None),
                self.typical.kernel_size or next(iter(self.kernel_sizes), None),
                max((number for number in legal if number <= wanted), default=min(legal, default=wanted)),
            ),
        )

    def arguments(self, chosen: Hyperparameters, *, identity_init: bool = False, stride: int = 1) -> dict[str, Any]:
        """Keyword arguments of the class for the canonical hyperparameters ``chosen``."""
        found = {**self.fixed, **{name: value for name, value in vars(chosen).items() if value is not None}}
        if self.takes_stride:
            found["stride"] = stride
        if identity_init:
            found["identity_init"] = True
        return found

    def load(self) -> type[nn.Module]:
        """The class that ``target`` names; imports torch.

        Raises:
            SpaceError: there is no such class.

        """
        try:
            loaded: type[nn.Module] = LazyClass(self.target).load()
        except SpaceError as error:
            raise SpaceError(f"{self.name}: {error}") from None
        return loaded

    def build(self, channels: int, **arguments: Any) -> nn.Module:
        """A new module for feature maps ``(B, channels, H, W)``; arguments of value None are omitted.

        Raises:
            SpaceError: the class has no such argument.
            ValueError: the class refuses a value; the message names the mechanism.

        """
        module = self.load()
        known = [name for name in signature(module).parameters if name != "channels" and name not in self.fixed]
        given = {name: value for name, value in arguments.items() if value is not None}
        for name, value in given.items():
            if name not in known:
                raise SpaceError(f"{self.name} has no argument {name} (given {value!r}): {choose_from(name, known)}")
        try:
            return module(channels, **self.fixed, **given)
        except ValueError as error:
            raise ValueError(f"{self.name}: {error}") from None

    def build_typical(self, channels: int, **arguments: Any) -> nn.Module:
        """`build` with the hyperparameters of `typical_at`; ``arguments`` override them."""
        return self.build(channels, **{**vars(self.typical_at(channels)), **arguments})
