"""Augmentation of whole batches by indexing and masks.

The random numbers of an epoch are drawn on the CPU, so that they are the same for every device. Shapes: ``B`` images, ``C``
channels, ``H`` rows, ``W`` columns.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from attn_nas.data.dataset import Augmentation
from attn_nas.data.rules import DataRules
from attn_nas.space.schema import DataSettings

_PUBLISHED: Mapping[str, Augmentation] = {
    "cifar10": Augmentation(crop=4, flip=True),
    "cifar100": Augmentation(crop=4, flip=True),
    "fashion_mnist": Augmentation(crop=2, flip=True),
    "svhn": Augmentation(crop=2),  # mirrored digits are not digits
}
"""The augmentation of the data sets that are read from files of a fixed format."""
NUM_DRAWS = 5
"""Random numbers of one image: shift down, shift right, mirroring, row and column of the cutout."""


def augmentation_of(settings: DataSettings, rules: DataRules) -> Augmentation:
    """The augmentation of the training images of ``settings``: what they say, else that of the data set.

    A folder of images is shifted by up to an eighth of the side. It is not mirrored, since a mirrored image may belong to
    another class; under augmentation rule 1 it is. The embedded data sets have no augmentation of their own.
    """
    if settings.name == "image_folder":
        usual = Augmentation(crop=settings.image_size // 8, flip=rules.augmentation == 1)
    else:
        usual = _PUBLISHED.get(settings.name, Augmentation())
    crop, mirror = settings.augment.crop, settings.augment.mirror
    return Augmentation(usual.crop if crop is None else crop, usual.flip if mirror is None else mirror)


def draw(augmentation: Augmentation, number: int, size: tuple[int, int], generator: torch.Generator) -> Tensor:
    """Random integers ``(NUM_DRAWS, number)`` for ``number`` images of ``size`` ``(H, W)`` in pixels."""
    shifts = 2 * augmentation.crop + 1
    limits = (shifts, shifts, 2, *size)
    return torch.stack([torch.randint(limit, (number,), generator=generator) for limit in limits])


def crop_and_flip(images: Tensor, augmentation: Augmentation, draws: Tensor) -> Tensor:
    """Random crops of ``images`` ``(B, C, H, W)`` after zero padding, randomly mirrored; ``draws`` are ``(NUM_DRAWS, B)``."""
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
    """``images`` ``(B, C, H, W)``, each with a square of zeros at a random centre; ``draws`` are ``(NUM_DRAWS, B)``."""
    if not augmentation.cutout:
        return images
    centre = draws[3:, :, None]
    holes = []
    for place, side in zip(centre, images.shape[2:], strict=True):
        distance = torch.arange(side, device=images.device) - place + augmentation.cutout // 2
        holes.append((distance >= 0) & (distance < augmentation.cutout))
    rows, columns = holes
    return images.masked_fill((rows[:, :, None] & columns[:, None, :])[:, None], 0)
