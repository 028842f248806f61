"""Augmentation of whole batches by gathers and masks; no work per image.

Shapes: ``B`` images, ``C`` channels, ``H`` rows, ``W`` columns.
"""

import torch
from torch import Tensor

from attn_nas.data.dataset import Augmentation


def augment(images: Tensor, augmentation: Augmentation, generator: torch.Generator) -> Tensor:
    """A changed copy of ``images`` ``(B, C, H, W)``; the padding is zero.

    The random numbers come from ``generator``, on the CPU, so that they are the same on every device.
    """
    if augmentation.crop or augmentation.flip:
        images = _crop_and_flip(images, augmentation.crop, augmentation.flip, generator)
    if augmentation.cutout:
        images = _cutout(images, augmentation.cutout, generator)
    return images


def _crop_and_flip(images: Tensor, crop: int, flip: bool, generator: torch.Generator) -> Tensor:
    batch, _, height, width = images.shape
    padded = torch.nn.functional.pad(images, (crop, crop, crop, crop))
    shift = torch.randint(0, 2 * crop + 1, (2, batch, 1), generator=generator).to(images.device)
    rows = shift[0] + torch.arange(height, device=images.device)
    columns = shift[1] + torch.arange(width, device=images.device)
    if flip:
        mirrored = torch.rand((batch, 1), generator=generator).to(images.device) < 0.5
        columns = torch.where(mirrored, columns.flip(1), columns)
    sample = torch.arange(batch, device=images.device)
    # Advanced indices around a slice put the channels last: (B, H, W, C).
    return padded[sample[:, None, None], :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def _cutout(images: Tensor, side: int, generator: torch.Generator) -> Tensor:
    batch, _, height, width = images.shape
    centre = torch.rand((2, batch, 1), generator=generator).to(images.device)
    rows = (torch.arange(height, device=images.device) - (centre[0] * height).floor() + side // 2).div(side).floor() == 0
    columns = (torch.arange(width, device=images.device) - (centre[1] * width).floor() + side // 2).div(side).floor() == 0
    return images.masked_fill((rows[:, :, None] & columns[:, None, :])[:, None], 0)
