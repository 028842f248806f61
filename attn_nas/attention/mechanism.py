"""What is known of a mechanism: its record, from which search spaces, canonical forms and models are derived; no torch here."""

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
    """The searchable numbers of one mechanism; None where it has no such number."""

    reduction: int | None = None
    kernel_size: KernelSize | None = None
    groups: int | None = None


@dataclass(frozen=True)
class Mechanism:
    """One searchable attention mechanism.

    ``target`` is ``module:Class``; the class takes ``channels`` and keyword-only arguments. Empty ``reductions``,
    ``kernel_sizes`` or ``groups`` mean that the mechanism has no such hyperparameter; ``typical`` holds the values of its
    paper; ``closed`` says that no other kernel sizes and groups exist. ``fixed`` holds keywords that make a named variant of
    a class. ``min_hidden`` is the class's floor of ``C // reduction``; ``group_multiple`` must divide the channels of one
    group; ``min_channels`` is the fewest channels. ``min_batch`` is the smallest batch it can be trained
    with on a feature map of any size, down to a single pixel.

    ``cost_class`` says how its complete FLOPs at 64 channels and 32 x 32 places compare with a basic block of two 3x3
    convolutions there: A below 0.5 %, B below 5 %, C below 50 %, D above. ``gate_scale`` is the mean size of the output over
    that of the input, for a fresh module in training mode and standard normal inputs. ``identity_init`` says that the class
    has an option of this name with which it starts as the identity. ``dynamic_onnx`` claims that it exports to ONNX with
    batch, height and width left open.

    Raises:
        SpaceError: a record that cannot be: no lower-case name, an unknown family or position, hyperparameters that are no
            sizes, ``replace`` without a stride to pass on, ``stage_end`` beside other positions.

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
            raise SpaceError(f"{self.name}: stage_end is the end of a block under another name: let it stand alone")
        if "replace" in self.positions and not self.takes_stride:
            raise SpaceError(f"{self.name} may replace a convolution: let its class take stride, and say takes_stride=True")
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
        """``standard`` where it is legal."""
        return "standard" if "standard" in self.positions else self.positions[0]

    def check_position(self, position: str) -> None:
        """Raise SpaceError unless the mechanism may sit at ``position``."""
        if position not in self.positions:
            raise SpaceError(f"{self.name} cannot sit at position {position!r}: choose from {', '.join(self.positions)}")

    def canonical(self, channels: int, given: Hyperparameters) -> Hyperparameters:
        """The one set of hyperparameters that stands for all which give the same module at ``channels``.

        Raises:
            SpaceError: one is missing, or cannot be at ``channels``.

        """
        if channels < self.min_channels:
            raise SpaceError(f"{self.name} needs at least {self.min_channels} channels, and there are {channels}")
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
        """The record's numbers of groups that divide ``channels``."""
        return tuple(number for number in self.groups if channels % (number * self.group_multiple) == 0)

    def typical_at(self, channels: int) -> Hyperparameters:
        """The hyperparameters of its paper, or the nearest that ``channels`` allow; raises SpaceError if none do."""
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
        """The keyword arguments of the class for canonical hyperparameters."""
        found = {**self.fixed, **{name: value for name, value in vars(chosen).items() if value is not None}}
        if self.takes_stride:
            found["stride"] = stride
        if identity_init:
            found["identity_init"] = True
        return found

    def load(self) -> type[nn.Module]:
        """The class behind ``target``; imports torch. Raises SpaceError if there is none."""
        try:
            loaded: type[nn.Module] = LazyClass(self.target).load()
        except SpaceError as error:
            raise SpaceError(f"{self.name}: {error}") from None
        return loaded

    def build(self, channels: int, **arguments: Any) -> nn.Module:
        """A fresh module for a feature map of ``channels`` channels; None stands for an argument left out.

        Raises:
            SpaceError: an argument that the class does not have.
            ValueError: a value that it cannot have; the message names the mechanism.

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
        """`build` with the hyperparameters of `typical_at`, unless ``arguments`` say otherwise."""
        return self.build(channels, **{**vars(self.typical_at(channels)), **arguments})
