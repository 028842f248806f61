"""Device, precision and memory layout of a run: chosen once, recorded, and equal for all its candidates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import torch
from torch import nn

from attn_nas.errors import DeviceError, unknown
from attn_nas.space.schema import Precision

Device = Literal["cpu", "cuda"]


@dataclass(frozen=True)
class Numerics:
    """How forward and backward passes are computed. Weights, batch statistics and the loss are always fp32."""

    device: Device = "cpu"
    precision: Literal["fp32", "bf16"] = "fp32"
    channels_last: bool = False

    def autocast(self) -> torch.autocast:
        """Return the context in which forward passes run."""
        return torch.autocast(self.device, torch.bfloat16, enabled=self.precision == "bf16", cache_enabled=False)

    @property
    def memory_format(self) -> torch.memory_format:
        """Memory layout of images and filters."""
        return torch.channels_last if self.channels_last else torch.contiguous_format

    def placed(self, module: nn.Module) -> nn.Module:
        """Move ``module`` to the device and the memory layout, and return it."""
        return module.to(self.device, memory_format=self.memory_format)  # type: ignore[call-overload]

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, the inverse of `from_dict`."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Numerics:
        """Read what `to_dict` wrote; raises TypeError for other data."""
        return cls(**data)

    def __str__(self) -> str:
        return f"{self.device}, {self.precision}, {'channels_last' if self.channels_last else 'contiguous'}"


def resolve_device(wanted: str) -> Device:
    """Return the device that is meant by ``wanted``: ``cpu``, ``cuda``, or ``auto`` for CUDA if it is available.

    Raises:
        DeviceError: ``wanted`` is cuda, which is not available, or is unknown.

    """
    if wanted not in ("auto", "cpu", "cuda"):
        raise DeviceError(f"unknown device {wanted!r}: choose from auto, cpu, cuda")
    if wanted == "cuda" and not torch.cuda.is_available():
        raise DeviceError("no CUDA device is available: choose the device cpu, or install a CUDA build of torch")
    return "cuda" if wanted != "cpu" and torch.cuda.is_available() else "cpu"


def numerics_here(device: str, precision: str) -> Numerics:
    """Return the numerics of this machine for ``device`` (may be ``auto``) and ``precision``; raises DeviceError."""
    return choose_numerics(resolve_device(device), precision)


def has_bf16(device: Device) -> bool:
    """Return True if the device multiplies bf16 matrices in hardware."""
    if device == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def choose_numerics(device: Device, precision: str) -> Numerics:
    """Choose precision and layout by a fixed rule, not by timing, so that runs with equal seeds are equal.

    ``auto`` is bf16 if the hardware multiplies it (AMX, AVX512-BF16, CUDA), otherwise fp32. The layout is always channels_last.
    On AVX512-BF16 this was the fastest of the four combinations, or as fast as the fastest, for the bare ResNet-8 and for each
    mechanism of the embedded space (28 x 16 pixels, batches of 64).

    Raises:
        DeviceError: ``precision`` is bf16, which the hardware lacks, or is unknown.

    """
    if precision not in get_args(Precision):
        raise DeviceError(unknown("precision", precision, get_args(Precision)))
    if precision == "bf16" and not has_bf16(device):
        raise DeviceError(f"this {device} has no bf16 instructions: set proxy.precision to fp32 or auto")
    reduced = precision != "fp32" and has_bf16(device)
    return Numerics(device, "bf16" if reduced else "fp32", channels_last=True)
