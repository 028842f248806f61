"""Transforms of ``torchvision.transforms.v2`` by their names, for training images."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from attn_nas.data.torchvision_import import torchvision_datasets
from attn_nas.errors import SpaceError, choose_from, first_line

Named = tuple[str, str]
"""Name of a class, and its keyword arguments as JSON."""


def transformed(pixels: Tensor, labels: Tensor, transforms: Sequence[Named], ignored: int = 0) -> tuple[Tensor, Tensor]:
    """Images ``(B, C, H, W)`` with their labels, each changed by all ``transforms`` in turn; masks move with their images.

    Random numbers are torch's, so that equal seeds change images equally. Sizes and types stay.

    Raises:
        SpaceError: there is no such transform, or it fails or changes the size or the number of channels.

    """
    changes = [_made(name, arguments) for name, arguments in transforms]
    torchvision_datasets()  # which makes the rest of torchvision work
    entries: Any = importlib.import_module("torchvision.tv_tensors")
    has_masks = labels.ndim == 3
    images, masks = torch.empty_like(pixels), torch.empty_like(labels) if has_masks else labels
    for index, image in enumerate(pixels):
        found: Any = entries.Image(image.float() / 65535 if image.dtype == torch.uint16 else image)
        # torchvision fills what comes from outside with 0, which is exchanged with the ignored value meanwhile
        mask: Any = entries.Mask(_exchanged(labels[index], ignored)) if has_masks else None
        for (name, _), change in zip(transforms, changes, strict=True):
            try:
                found, mask = change(found, mask) if has_masks else (change(found), None)
            except Exception as error:
                raise SpaceError(
                    f"data.augment.transforms: {name} fails on {tuple(image.shape)}: {first_line(error)}"
                ) from error
            if found.shape != image.shape:
                raise SpaceError(
                    f"data.augment.transforms: {name} makes {tuple(found.shape)} of {tuple(image.shape)}: choose a transform "
                    "that keeps the size and the channels"
                )
        images[index] = (found * 65535).round().clamp(0, 65535) if image.dtype == torch.uint16 else found
        if has_masks:
            masks[index] = _exchanged(mask.as_subclass(Tensor), ignored)
    return images, masks


def _exchanged(mask: Tensor, ignored: int) -> Tensor:
    return torch.where(mask == 0, ignored, torch.where(mask == ignored, 0, mask)).to(mask.dtype)


def check_transforms(transforms: Sequence[Named]) -> None:
    """Raise SpaceError for a transform that torchvision does not have, or that cannot be made with its arguments."""
    for name, arguments in transforms:
        _made(name, arguments)


@lru_cache(maxsize=32)
def _made(name: str, arguments: str) -> Callable[..., Any]:
    torchvision_datasets()
    module: Any = importlib.import_module("torchvision.transforms.v2")
    made = getattr(module, name, None)
    if not (isinstance(made, type) and issubclass(made, module.Transform)):
        names = [
            each for each, value in vars(module).items() if isinstance(value, type) and issubclass(value, module.Transform)
        ]
        raise SpaceError(
            f"data.augment.transforms: torchvision.transforms.v2 has no {name}: {choose_from(name, sorted(names))}"
        )
    try:
        found: Callable[..., Any] = made(**json.loads(arguments))
    except (TypeError, ValueError) as error:
        raise SpaceError(f"data.augment.transforms: {name} does not take {arguments}: {first_line(error)}") from None
    return found
