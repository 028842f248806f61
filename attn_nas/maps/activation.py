"""Class activation maps: evidence for a class at each pixel of a feature map.

Shapes: ``B`` images ``(B, C, H, W)``, feature maps of ``K`` channels and ``h x w`` pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from attn_nas.maps.hooks import forward_hooks
from attn_nas.models.build import get_slot
from attn_nas.space.trunks import AnyTrunk


@dataclass(frozen=True)
class ActivationMap:
    """Evidence for one class per image, ``values`` ``(B, h, w)``, with its ``method`` and its layer (``where``)."""

    method: Literal["CAM", "Grad-CAM"]
    where: str
    values: Tensor

    @staticmethod
    def joined(parts: Sequence[ActivationMap]) -> ActivationMap:
        """The concatenation of maps of successive batches."""
        return replace(parts[0], values=torch.cat([part.values for part in parts]))


@dataclass(frozen=True)
class PooledHead:
    """A head that applies one linear ``layer`` to the mean over pixels of ``features`` ``(B, K, h, w)``."""

    features: Tensor
    layer: nn.Linear

    def activation(self, classes: Tensor) -> Tensor:
        """The class activation map ``sum_k w_ck A_k`` ``(B, h, w)`` of the ``classes`` ``(B,)``.

        Its mean over pixels is the logit without the bias.

        Zhou et al., "Learning Deep Features for Discriminative Localization", arXiv 1512.04150, Eq. 2.
        """
        return torch.einsum("bk,bkhw->bhw", self.layer.weight[classes], self.features).detach()


def pooled_head(model: nn.Module, images: Tensor) -> PooledHead | None:
    """The head of ``model``, verified numerically in a forward pass; None if it has another form."""
    seen: dict[str, Any] = {}

    def watch(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        if isinstance(module, nn.Linear):
            seen["layer"], seen["pooled"], seen["logits"] = module, inputs[0], output
        elif isinstance(output, Tensor) and output.ndim == 4 and output.shape[2:].numel() > 1:
            seen["features"] = output

    with torch.no_grad(), forward_hooks(model.modules(), watch):
        logits = model(images)
    if not {"layer", "features"} <= seen.keys() or seen["logits"] is not logits:
        return None
    features, pooled = seen["features"], seen["pooled"]
    mean = features.mean((2, 3))
    if mean.shape != pooled.shape or not torch.allclose(mean, pooled, rtol=1e-4, atol=1e-5):
        return None
    return PooledHead(features, seen["layer"])


def grad_cam(model: nn.Module, layer: nn.Module, images: Tensor, classes: Tensor) -> Tensor:
    """Grad-CAM ``relu(sum_k a_k A_k)`` ``(B, h, w)`` of the ``classes`` ``(B,)`` at the output ``A`` of ``layer``.

    The weight ``a_k`` is the mean over pixels of the gradient of the logit. ``model`` must be in eval mode, so that images are
    independent. Selvaraju et al., "Grad-CAM", arXiv 1610.02391, Eq. 1-2.
    """
    outputs: list[Tensor] = []
    with torch.enable_grad(), forward_hooks([layer], lambda module, inputs, output: outputs.append(output)):
        logits = model(images.detach().requires_grad_())
        (features,) = outputs
        (gradient,) = torch.autograd.grad(logits.gather(1, classes[:, None]).sum(), features)
    weights = gradient.mean((2, 3), keepdim=True)
    return (weights * features.detach()).sum(1).relu()


def activation_maps(model: nn.Module, trunk: AnyTrunk, images: Tensor, classes: Tensor) -> tuple[ActivationMap, ...]:
    """Maps of the ``classes`` ``(B,)`` at the last feature map, then finer ones at the end of the stage before the last.

    The first is the closed form if the head is a `PooledHead`, else Grad-CAM at the end of the last stage; the second is
    Grad-CAM.
    """
    ends = {block.stage: index for index, block in enumerate(trunk.blocks)}
    *_, before, last = (None, *ends)
    head = pooled_head(model, images)
    stages = [stage for stage in (None if head else last, before) if stage is not None]
    found = [ActivationMap("CAM", "last map", head.activation(classes))] if head else []
    for stage in stages:
        layer = get_slot(model, trunk.sites[ends[stage]].path)
        found.append(ActivationMap("Grad-CAM", trunk.stage_name(stage), grad_cam(model, layer, images, classes)))
    return tuple(found)
