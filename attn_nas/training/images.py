"""The data of a training on its device, and its augmented batches, computed for a whole batch at a time."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from attn_nas.data.augment import crop_and_flip, cutout, draw
from attn_nas.data.dataset import Augmentation, Dataset, Split
from attn_nas.space.schema import ProxySettings
from attn_nas.training.device import Numerics


@dataclass(frozen=True)
class DeviceImages:
    """Both splits on the device, and the mean and standard deviation ``(C, 1, 1)`` of pixels 0..255 that normalise them."""

    train: Split
    validation: Split
    mean: Tensor
    std: Tensor
    augmentation: Augmentation
    numerics: Numerics

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the stored images in pixels."""
        height, width = self.train.images.shape[2:]
        return height, width

    def plan(self, batch_size: int, generator: torch.Generator) -> Tensor:
        """Draw the batches of one epoch, ``(steps, 1 + NUM_DRAWS, batch_size)``.

        Each step has a row of image indices, then the rows of random numbers for their augmentation. A last batch that is not
        full is left out.
        """
        steps = len(self.train) // batch_size
        order = torch.randperm(len(self.train), generator=generator)[: steps * batch_size]
        draws = draw(self.augmentation, len(order), self.size, generator)
        rows = torch.cat([order[None], draws]).view(-1, steps, batch_size)
        return rows.transpose(0, 1).contiguous().to(self.train.images.device)

    def batch(self, row: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Return augmented, normalised images ``(B, C, *size)`` and labels ``(B,)`` of one step of the `plan`."""
        indices, draws = row[0], row[1:]
        pixels = crop_and_flip(self.train.images[indices], self.augmentation, draws)
        images = cutout(self.normalised(pixels), self.augmentation, draws)
        if size != self.size:
            images = F.interpolate(images, size, mode="bilinear", antialias=True)
        return images.contiguous(memory_format=self.numerics.memory_format), self.train.labels[indices]

    def normalised(self, pixels: Tensor) -> Tensor:
        """Scale pixels 0..255, ``(B, C, H, W)``, to zero mean and unit standard deviation per channel."""
        return (pixels.float() - self.mean) / self.std


@lru_cache(maxsize=1)
def on_device(dataset: Dataset, numerics: Numerics) -> DeviceImages:
    """Move the data set to its device; the last data set is cached there for the next candidate."""
    mean, std = channel_statistics(dataset.train)
    train, validation = dataset.train.to(numerics.device), dataset.validation.to(numerics.device)
    return DeviceImages(train, validation, mean.to(numerics.device), std.to(numerics.device), dataset.augmentation, numerics)


def channel_statistics(split: Split) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation per channel, ``(C, 1, 1)``, of the pixels 0..255 of the first 5,000 images."""
    images = split.images[:5000]
    sums = torch.zeros(2, images.shape[1], dtype=torch.float64)
    for pixels in images.split(100):
        exact = pixels.double()
        sums += torch.stack([exact.sum((0, 2, 3)), exact.square().sum((0, 2, 3))])
    mean, square = sums * images.shape[1] / images.numel()
    deviation = (square - mean.square()).clamp_min(1.0).sqrt()
    return mean.float()[:, None, None], deviation.float()[:, None, None]


def epoch_work(size: tuple[int, int], settings: ProxySettings) -> list[float]:
    """Return the relative work of each epoch after the warm-up: pixels of its training images over those of full images."""
    sizes = (
        training_size(size, settings.initial_resolution, epoch, settings.epochs)
        for epoch in range(settings.warm_epochs, settings.epochs)
    )
    return [height * width / (size[0] * size[1]) for height, width in sizes]


def training_size(size: tuple[int, int], initial_share: float, epoch: int, epochs: int) -> tuple[int, int]:
    """Return height and width of the training images in ``epoch``, counted from 0 (progressive resolution).

    Both grow linearly, in steps of 4 pixels, from ``initial_share`` (0 to 1) of ``size`` to ``size`` at two thirds of the
    epochs. The last epoch always trains on images of ``size``.
    """
    share = min(1.0, initial_share + (1.0 - initial_share) * 1.5 * epoch / epochs)
    if epoch == epochs - 1:
        share = 1.0
    height, width = (side if share == 1.0 else min(side, max(4, 4 * round(side * share / 4))) for side in size)
    return height, width
