"""Effects of attention modules on their feature maps.

Shapes: ``B`` images, ``C`` channels, ``h x w`` pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from attn_nas.maps.hooks import forward_hooks
from attn_nas.models.build import get_slot
from attn_nas.space.genotype import Genotype, Placement
from attn_nas.space.geometry import Site

Kind = Literal["gate", "change", "output"]
_TOUCH = 1e-6
_FLAT = 0.05
"""A gate whose standard deviation is below this fraction of its mean is called constant."""


@dataclass(frozen=True)
class Spread:
    """Mean of a gate, and its standard deviations.

    Args:
        mean: mean over channels, pixels and images.
        channels: deviation between channels, after averaging over images.
        places: deviation between pixels of an image, averaged over images.
        images: deviation between images, of a channel or of a pixel, whichever is larger.

    """

    mean: float
    channels: float
    places: float
    images: float


@dataclass(frozen=True)
class Gate:
    """Effect of the module of ``placement`` at ``site``, by pixel ``(B, h, w)`` and by channel ``(B, C)``.

    ``kind`` is the measured quantity:

    - ``gate``, for modules that multiply their input elementwise: output divided by input, averaged over channels or pixels;
      1 means no effect.
    - ``change``, for other modules: norm of the difference between output and input, divided by the mean norm of the input;
      0 means no effect.
    - ``output``, for modules that substitute a convolution: norm of the output, divided by its mean.
    """

    site: Site
    placement: Placement
    kind: Kind
    by_place: Tensor
    by_channel: Tensor

    @staticmethod
    def joined(parts: Sequence[Gate]) -> Gate:
        """The concatenation of gates of successive batches."""
        by_place = torch.cat([part.by_place for part in parts])
        return replace(parts[0], by_place=by_place, by_channel=torch.cat([part.by_channel for part in parts]))

    @property
    def spread(self) -> Spread:
        """Mean and deviations over channels, pixels and images."""
        channels, places = self.by_channel, self.by_place
        from_image_to_image = [values.std(0, correction=0).mean() for values in (channels, places)]
        return Spread(
            mean=float(channels.mean()),
            channels=float(channels.mean(0).std(correction=0)),
            places=float(places.flatten(1).std(1, correction=0).mean()),
            images=float(max(from_image_to_image)),
        )

    def to_dict(self) -> dict[str, Any]:
        """Site, placement, spread and finding as plain data."""
        where = {"site": str(self.site), "placement": str(self.placement), "kind": self.kind}
        return {**where, **asdict(self.spread), "finding": self.finding}

    @property
    def finding(self) -> str:
        """The spread in words; deviations below 5 % of the mean are ignored."""
        spread = self.spread
        least = _FLAT * abs(spread.mean)
        varying = [name for name in ("channels", "places", "images") if getattr(spread, name) > least]
        if self.kind == "change" and spread.mean < _FLAT:
            return "changes its input by less than 5 %"
        if not varying:
            return "constant: only a scale" if self.kind == "gate" else "constant"
        if varying == ["channels"]:
            return "one value per channel, equal for all images"
        return f"differs between {' and '.join((', '.join(varying[:-1]), varying[-1]) if varying[1:] else varying)}"


def gates_of(model: nn.Module, genotype: Genotype, images: Tensor) -> tuple[Tensor, tuple[Gate, ...]]:
    """Logits ``(B, num_classes)`` of ``model`` (in eval mode), and the effect of each attention module of ``genotype``."""
    attended = [(site, placement) for site, placement in genotype.sites if placement]
    modules = [get_slot(model, site.slot(placement.position)) for site, placement in attended]
    received: dict[nn.Module, Tensor] = {}

    def watch(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        received[module] = inputs[0]

    with torch.no_grad():
        with forward_hooks(modules, watch):
            logits = model(images)
        gates = [_gate(*taken, module, received[module]) for taken, module in zip(attended, modules, strict=True)]
    return logits, tuple(gates)


def without(model: nn.Module, gate: Gate, images: Tensor) -> Tensor:
    """Logits ``(B, num_classes)`` if the module of ``gate`` multiplies by its mean, or leaves its input unchanged."""
    scale = gate.spread.mean if gate.kind == "gate" else 1.0
    module = get_slot(model, gate.site.slot(gate.placement.position))
    with torch.no_grad(), forward_hooks([module], lambda module, inputs, output: scale * inputs[0]):
        return model(images)


def _gate(site: Site, placement: Placement, module: nn.Module, x: Tensor) -> Gate:
    if placement.position == "replace":
        return Gate(site, placement, "output", *_relative_norms(module(x)))
    if _multiplies(module, x):
        touched = torch.where(x == 0, _TOUCH * x.square().mean().sqrt().clamp_min(_TOUCH), x)
        gate = module(touched) / touched
        return Gate(site, placement, "gate", gate.mean(1), gate.mean((2, 3)))
    return Gate(site, placement, "change", *_relative_norms(module(x) - x, x))


def _multiplies(module: nn.Module, x: Tensor) -> bool:
    """True if ``module`` multiplies ``x`` elementwise, which means that zeros stay zero."""
    kept = torch.rand(x.shape, generator=torch.Generator().manual_seed(0)).to(x.device) < 0.5
    return not (module(x * kept) * ~kept).any()


def _relative_norms(x: Tensor, unit: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Norms of ``x`` ``(B, C, h, w)`` by pixel and by channel, over each image's mean norm of ``unit`` (default ``x``)."""
    unit = x if unit is None else unit
    by_place = x.norm(dim=1) / unit.norm(dim=1).mean((1, 2))[:, None, None]
    by_channel = x.flatten(2).norm(dim=2) / unit.flatten(2).norm(dim=2).mean(1, keepdim=True)
    return by_place, by_channel
