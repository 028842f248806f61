"""Device, precision and memory layout of a run: chosen once, recorded, and the same for every candidate."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from attn_nas.errors import DeviceError
from attn_nas.models.build import build_model
from attn_nas.space.genotype import Genotype
from attn_nas.space.schema import Precision
from attn_nas.space.task import Task

Device = Literal["cpu", "cuda"]


@dataclass(frozen=True)
class Numerics:
    """How the forward and backward pass are computed. Weights, statistics and the loss are always fp32."""

    device: Device = "cpu"
    precision: Literal["fp32", "bf16"] = "fp32"
    channels_last: bool = False

    def autocast(self) -> torch.autocast:
        """The context of a forward pass."""
        return torch.autocast(self.device, torch.bfloat16, enabled=self.precision == "bf16")

    @property
    def memory_format(self) -> torch.memory_format:
        """The layout of images and filters."""
        return torch.channels_last if self.channels_last else torch.contiguous_format

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Numerics:
        """The inverse of `to_dict`."""
        return cls(**data)

    def __str__(self) -> str:
        return f"{self.device}, {self.precision}, {'channels_last' if self.channels_last else 'contiguous'}"


def resolve_device(wanted: str) -> Device:
    """``auto`` is CUDA where there is one.

    Raises:
        DeviceError: CUDA is asked for and absent, or the name is unknown.

    """
    if wanted not in ("auto", "cpu", "cuda"):
        raise DeviceError(f"unknown device {wanted!r}: choose from auto, cpu, cuda")
    if wanted == "cuda" and not torch.cuda.is_available():
        raise DeviceError("no CUDA device is available: use --device cpu, or install a CUDA build of torch")
    return "cuda" if wanted != "cpu" and torch.cuda.is_available() else "cpu"


def has_bf16(device: Device) -> bool:
    """Whether the device multiplies bf16 matrices in hardware."""
    if device == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def choose_numerics(
    device: Device, precision: Precision, genotypes: Sequence[Genotype], task: Task, batch_size: int, threads: int
) -> Numerics:
    """The fastest legal combination of precision and layout for all ``genotypes`` together, by timing steps on the CPU.

    It is one choice for a whole search, so that candidates differ in nothing but their placements. On CUDA it is bf16
    (where the hardware has it) in channels_last, without timing.

    Raises:
        DeviceError: bf16 is asked for and the hardware lacks it.

    """
    if precision == "bf16" and not has_bf16(device):
        raise DeviceError(f"this {device} has no bf16 instructions: set proxy.precision to fp32 or auto")
    precisions = [precision] if precision != "auto" else ["fp32", "bf16"] if has_bf16(device) else ["fp32"]
    if device == "cuda":
        return Numerics("cuda", "bf16" if "bf16" in precisions else "fp32", True)
    options = [Numerics("cpu", "bf16" if p == "bf16" else "fp32", last) for p in precisions for last in (False, True)]
    models = [build_model(genotype, task.num_classes, task.channels, seed=0) for genotype in genotypes]
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        return min(options, key=lambda option: sum(_step_seconds(model, option, task, batch_size) for model in models))
    finally:
        torch.set_num_threads(before)


def _step_seconds(model: nn.Module, numerics: Numerics, task: Task, batch_size: int, steps: int = 3) -> float:
    model.to(numerics.device, memory_format=numerics.memory_format)  # type: ignore[call-overload]
    shape = (min(batch_size, 128), task.channels, task.height, task.width)
    images: Tensor = torch.zeros(shape).contiguous(memory_format=numerics.memory_format)
    labels = torch.zeros(len(images), dtype=torch.int64)
    best = float("inf")
    for _ in range(steps):
        start = time.perf_counter()
        with numerics.autocast():
            logits = model(images)
        F.cross_entropy(logits.float(), labels).backward()
        best = min(best, time.perf_counter() - start)
    return best
