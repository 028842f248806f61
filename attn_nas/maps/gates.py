"""What attention modules do to the feature maps that pass through them.

Shapes: ``B`` images, ``C`` channels, ``h x w`` places.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from attn_nas.maps.hooks import watching
from attn_nas.models.build import get_slot
from attn_nas.space.genotype import Genotype, Placement
from attn_nas.space.geometry import Site

Kind = Literal["gate", "change", "output"]
_TOUCH = 1e-6
_FLAT = 0.05
"""What varies by less than this share of its mean is called constant."""


@dataclass(frozen=True)
class Spread:
    """The mean of a gate over everything, and standard deviations.

    ``channels``: of the channels, their mean over the images taken; ``places``: within an image, mean over the images;
    ``images``: of one channel, or of one place, from image to image, whichever is larger.
    """

    mean: float
    channels: float
    places: float
    images: float


@dataclass(frozen=True)
class Gate:
    """What the module of ``placement`` at ``site`` does, by place ``(B, h, w)`` and by channel ``(B, C)``.

    ``kind`` says what is measured. A ``gate`` multiplies its input element by element: output over input, the mean over
    channels or over places; 1 leaves things as they are. A ``change`` is what any other mechanism does to its input: the norm
    of output less input, over the mean norm of the input; 0 leaves things as they are. An ``output`` is that of a module in
    the place of a convolution, which has no input to be held against: its norm over its mean norm.
    """

    site: Site
    placement: Placement
    kind: Kind
    by_place: Tensor
    by_channel: Tensor

    @staticmethod
    def joined(parts: Sequence[Gate]) -> Gate:
        """One gate of those of successive batches."""
        by_place = torch.cat([part.by_place for part in parts])
        return replace(parts[0], by_place=by_place, by_channel=torch.cat([part.by_channel for part in parts]))

    @property
    def spread(self) -> Spread:
        """Mean and deviations over channels, places and images."""
        channels, places = self.by_channel, self.by_place
        from_image_to_image = [values.std(0, correction=0).mean() for values in (channels, places)]
        return Spread(
            mean=float(channels.mean()),
            channels=float(channels.mean(0).std(correction=0)),
            places=float(places.flatten(1).std(1, correction=0).mean()),
            images=float(max(from_image_to_image)),
        )

    def to_dict(self) -> dict[str, Any]:
        """Where it is, its spread and what that amounts to, as plain data."""
        where = {"site": str(self.site), "placement": str(self.placement), "kind": self.kind}
        return {**where, **asdict(self.spread), "finding": self.finding}

    @property
    def finding(self) -> str:
        """What that amounts to, in words; less than 5 % of the mean is nothing."""
        spread = self.spread
        least = _FLAT * abs(spread.mean)
        told = [name for name in ("channels", "places", "images") if getattr(spread, name) > least]
        if self.kind == "change" and spread.mean < _FLAT:
            return "changes next to nothing"
        if not told:
            return "constant: nothing but a scale" if self.kind == "gate" else "the same everywhere"
        if told == ["channels"]:
            return "fixed per channel, whatever the image"
        return f"differs between {' and '.join((', '.join(told[:-1]), told[-1]) if told[1:] else told)}"


def gates_of(model: nn.Module, genotype: Genotype, images: Tensor) -> tuple[Tensor, tuple[Gate, ...]]:
    """Logits ``(B, num_classes)`` of the network of ``genotype``, in eval mode, and what each of its attention modules does."""
    attended = [(site, placement) for site, placement in genotype.sites if placement]
    modules = [get_slot(model, site.slot(placement.position)) for site, placement in attended]
    received: dict[nn.Module, Tensor] = {}

    def watch(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        received[module] = inputs[0]

    with torch.no_grad():
        with watching(modules, watch):
            logits = model(images)
        gates = [_gate(*taken, module, received[module]) for taken, module in zip(attended, modules, strict=True)]
    return logits, tuple(gates)


def without(model: nn.Module, gate: Gate, images: Tensor) -> Tensor:
    """Logits ``(B, num_classes)`` of ``model`` where the module of ``gate`` scales by its mean, or leaves its change out."""
    scale = gate.spread.mean if gate.kind == "gate" else 1.0
    module = get_slot(model, gate.site.slot(gate.placement.position))
    with torch.no_grad(), watching([module], lambda module, inputs, output: scale * inputs[0]):
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
    """Whether ``module`` multiplies ``x`` element by element: whether what is zero stays zero."""
    kept = torch.rand(x.shape, generator=torch.Generator().manual_seed(0)).to(x.device) < 0.5
    return not (module(x * kept) * ~kept).any()


def _relative_norms(x: Tensor, unit: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Norms of ``x`` ``(B, C, h, w)`` by place and by channel, over the image's mean of those of ``unit`` (or of ``x``)."""
    unit = x if unit is None else unit
    by_place = x.norm(dim=1) / unit.norm(dim=1).mean((1, 2))[:, None, None]
    by_channel = x.flatten(2).norm(dim=2) / unit.flatten(2).norm(dim=2).mean(1, keepdim=True)
    return by_place, by_channel
