"""Augmentation of whole batches by indexing and masks.

The random numbers of an epoch are drawn on the CPU, so that they are the same for every device. Shapes: ``B`` images, ``C``
channels, ``H`` rows, ``W`` columns.
"""

import json

import torch
from torch import Tensor

from attn_nas.data.dataset import Augmentation
from attn_nas.data.rules import DataRules
from attn_nas.space.data_settings import DataSettings

NUM_DRAWS = 5
"""Random numbers of one image: shift down, shift right, mirroring, row and column of the cutout."""
_PART_DRAWS = 3
"""Those of a random part besides: its area, and its place in both directions."""
_FINE = 2**20


def num_draws(augmentation: Augmentation) -> int:
    """How many random integers an image needs."""
    return NUM_DRAWS + _PART_DRAWS * (augmentation.resize < 1)


def augmentation_of(settings: DataSettings, rules: DataRules, size: tuple[int, int] | None = None) -> Augmentation:
    """The augmentation of the training images of ``settings``: what they say, else that of the data set.

    A folder of images is shifted by up to an eighth of its shorter side; ``size`` is height and width of the images, by default
    those of ``settings``. It is not mirrored, since a mirrored image may belong to another class; under augmentation rule 1 it
    is. The embedded data sets have no augmentation of their own.
    """
    source, augment = settings.source, settings.augment
    usual_crop = min(size or settings.size) // 8 if source.crop is None else source.crop
    usual_mirror = rules.augmentation == 1 if settings.name == "image_folder" else source.mirror
    return Augmentation(
        usual_crop if augment.crop is None else augment.crop,
        usual_mirror if augment.mirror is None else augment.mirror,
        augment.cutout,
        augment.resize,
        tuple((each.name, json.dumps(each.arguments, sort_keys=True)) for each in augment.transforms),
    )


def draw(augmentation: Augmentation, number: int, size: tuple[int, int], generator: torch.Generator) -> Tensor:
    """Random integers ``(num_draws, number)`` for ``number`` images of ``size`` ``(H, W)`` in pixels; see `num_draws`."""
    shifts = 2 * augmentation.crop + 1
    limits = (shifts, shifts, 2, *size, *[_FINE] * (num_draws(augmentation) - NUM_DRAWS))
    return torch.stack([torch.randint(limit, (number,), generator=generator) for limit in limits])


def crop_and_flip(images: Tensor, augmentation: Augmentation, draws: Tensor, fill: int = 0) -> Tensor:
    """Random crops of ``images`` ``(B, C, H, W)`` padded with ``fill``, randomly mirrored; ``draws`` are those of `draw`."""
    if not (augmentation.crop or augmentation.flip):
        return images
    batch, _, height, width = images.shape
    padded = torch.nn.functional.pad(images, (augmentation.crop,) * 4, value=fill)
    down, right, mirrored = draws[:3, :, None]
    rows = down + torch.arange(height, device=images.device)
    columns = right + torch.arange(width, device=images.device)
    if augmentation.flip:
        columns = torch.where(mirrored == 1, columns.flip(1), columns)
    sample = torch.arange(batch, device=images.device)
    # Advanced indices around a slice put the channels last: (B, H, W, C).
    return padded[sample[:, None, None], :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def cutout(images: Tensor, augmentation: Augmentation, draws: Tensor) -> Tensor:
    """``images`` ``(B, C, H, W)``, each with a square of zeros at a random centre; ``draws`` are those of `draw`."""
    if not augmentation.cutout:
        return images
    centre = draws[3:NUM_DRAWS, :, None]
    holes = []
    for place, side in zip(centre, images.shape[2:], strict=True):
        distance = torch.arange(side, device=images.device) - place + augmentation.cutout // 2
        holes.append((distance >= 0) & (distance < augmentation.cutout))
    rows, columns = holes
    return images.masked_fill((rows[:, :, None] & columns[:, None, :])[:, None], 0)


def random_part(images: Tensor, augmentation: Augmentation, draws: Tensor, mode: str = "bilinear") -> Tensor:
    """A random part of each of the ``images`` ``(B, C, H, W)`` of floats, resized to the whole; of a mask with ``nearest``.

    A part has the proportions of the image, and a share of its area between ``augmentation.resize`` and 1.
    """
    if augmentation.resize >= 1:
        return images
    share, down, right = draws[NUM_DRAWS:].to(images.dtype) / _FINE
    side = (augmentation.resize + (1 - augmentation.resize) * share).sqrt()
    zero = torch.zeros_like(side)
    rows = torch.stack([zero, side, (1 - side) * (2 * down - 1)], 1)
    columns = torch.stack([side, zero, (1 - side) * (2 * right - 1)], 1)
    grid = torch.nn.functional.affine_grid(torch.stack([columns, rows], 1), list(images.shape), align_corners=False)
    return torch.nn.functional.grid_sample(images, grid, mode=mode, padding_mode="border", align_corners=False)
