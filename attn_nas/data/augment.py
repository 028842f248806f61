"""Augmentation of whole batches by gathers and masks; no work per image.

The random numbers of an epoch are drawn at once, on the CPU, so that they are the same on every device. Shapes: ``B``
images, ``C`` channels, ``H`` rows, ``W`` columns.
"""

import torch
from torch import Tensor

from attn_nas.data.dataset import Augmentation

NUM_DRAWS = 5
"""Random numbers of one image: shift down, shift right, mirrored, row and column of the hole."""


def draw(augmentation: Augmentation, number: int, size: tuple[int, int], generator: torch.Generator) -> Tensor:
    """Random integers ``(NUM_DRAWS, number)`` for that many images of ``size`` ``(H, W)``."""
    shifts = 2 * augmentation.crop + 1
    limits = (shifts, shifts, 2, *size)
    return torch.stack([torch.randint(limit, (number,), generator=generator) for limit in limits])


def crop_and_flip(images: Tensor, augmentation: Augmentation, draws: Tensor) -> Tensor:
    """Windows of ``images`` ``(B, C, H, W)`` padded with zeros, mirrored or not, as ``draws`` ``(NUM_DRAWS, B)`` say."""
    if not (augmentation.crop or augmentation.flip):
        return images
    batch, _, height, width = images.shape
    padded = torch.nn.functional.pad(images, (augmentation.crop,) * 4)
    down, right, mirrored = draws[:3, :, None]
    rows = down + torch.arange(height, device=images.device)
    columns = right + torch.arange(width, device=images.device)
    if augmentation.flip:
        columns = torch.where(mirrored == 1, columns.flip(1), columns)
    sample = torch.arange(batch, device=images.device)
    # Advanced indices around a slice put the channels last: (B, H, W, C).
    return padded[sample[:, None, None], :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def cutout(images: Tensor, augmentation: Augmentation, draws: Tensor) -> Tensor:
    """``images`` ``(B, C, H, W)`` with a square of zeros each, its centre as ``draws`` ``(NUM_DRAWS, B)`` say."""
    if not augmentation.cutout:
        return images
    centre = draws[3:, :, None]
    holes = []
    for place, side in zip(centre, images.shape[2:], strict=True):
        distance = torch.arange(side, device=images.device) - place + augmentation.cutout // 2
        holes.append((distance >= 0) & (distance < augmentation.cutout))
    rows, columns = holes
    return images.masked_fill((rows[:, :, None] & columns[:, None, :])[:, None], 0)
