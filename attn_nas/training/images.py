"""The data of a training on its device, and its augmented batches, computed for a whole batch at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from attn_nas.data.augment import crop_and_flip, cutout, draw, num_draws, random_part
from attn_nas.data.dataset import Augmentation, Dataset, Split
from attn_nas.data.transforms import transformed
from attn_nas.machine import usable_memory
from attn_nas.space.schema import ProxySettings
from attn_nas.space.task import Task
from attn_nas.training.device import Numerics

Batch = tuple[Tensor, Tensor]
"""Stored pixels ``(B, C, H, W)`` and labels of one step."""
_MOST_SHARE = 0.4
"""Share of the free memory of a device that the images may take; more of them stay on the CPU, and batches are copied ahead."""
_AHEAD = 2


@dataclass(frozen=True)
class DeviceImages:
    """Both splits, and the mean and standard deviation ``(C, 1, 1)`` of stored pixels that normalise them.

    The splits are on the device; if ``streamed``, they are on the CPU, perhaps mapped from a disk, and their batches go to the
    device one by one.
    """

    train: Split
    validation: Split
    mean: Tensor
    std: Tensor
    augmentation: Augmentation
    numerics: Numerics
    task: Task
    streamed: bool = False

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the stored images in pixels."""
        height, width = self.train.images.shape[2:]
        return height, width

    @property
    def num_rows(self) -> int:
        """Rows of a step in the `plan`."""
        return 1 + num_draws(self.augmentation)

    def plan(self, batch_size: int, generator: torch.Generator) -> Tensor:
        """Draw the batches of one epoch, ``(steps, num_rows, batch_size)``.

        Each step has a row of image indices, then the rows of random numbers for their augmentation. A last batch that is not
        full is left out.
        """
        steps = len(self.train) // batch_size
        order = torch.randperm(len(self.train), generator=generator)[: steps * batch_size]
        draws = draw(self.augmentation, len(order), self.size, generator)
        rows = torch.cat([order[None], draws]).view(-1, steps, batch_size)
        return rows.transpose(0, 1).contiguous().to(self.train.images.device)

    def ahead(self, plan: Tensor) -> Iterator[Batch | None]:
        """For each step of the ``plan`` the batch that was read for it; None where the images are on the device.

        Batches are read by a thread while the device trains, unless a transform of torchvision draws random numbers for them.
        """
        if not self.streamed:
            yield from (None for _ in plan)
        elif self.augmentation.transforms:
            yield from (self.gathered(row[0]) for row in plan)
        else:
            waiting: deque[Future[Batch]] = deque()
            with ThreadPoolExecutor(1) as reader:
                for row in plan:
                    waiting.append(reader.submit(self.gathered, row[0]))
                    if len(waiting) > _AHEAD:
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()

    def gathered(self, indices: Tensor) -> Batch:
        """The training images at ``indices`` ``(B,)``, changed by transforms of torchvision, in memory that a GPU can copy."""
        pixels, labels = self.train.images[indices], self.train.labels[indices]
        if self.augmentation.transforms:
            pixels, labels = transformed(pixels, labels, self.augmentation.transforms, self.task.ignored or 0)
        if self.numerics.device == "cuda":
            pixels, labels = pixels.pin_memory(), labels.pin_memory()
        return pixels, labels

    def batch(self, row: Tensor, size: tuple[int, int], gathered: Batch | None = None) -> Batch:
        """Return augmented, normalised images ``(B, C, *size)`` and labels of one step of the `plan`.

        ``gathered`` are its images on the device if they are `streamed`.
        """
        indices, draws = row[0], row[1:]
        pixels, labels = gathered or (self.train.images[indices], self.train.labels[indices])
        if pixels.dtype != torch.uint8:
            pixels = pixels.float()
        pixels = crop_and_flip(pixels, self.augmentation, draws)
        images = cutout(random_part(self.normalised(pixels), self.augmentation, draws), self.augmentation, draws)
        if size != self.size:
            images = F.interpolate(images, size, mode="bilinear", antialias=True)
        if labels.ndim == 3:
            labels = self._masks(labels, draws, size)
        return images.contiguous(memory_format=self.numerics.memory_format), labels

    def _masks(self, masks: Tensor, draws: Tensor, size: tuple[int, int]) -> Tensor:
        """Masks ``(B, H, W)``, moved as their images are; what comes from outside is ignored, or the first class."""
        found = crop_and_flip(masks[:, None], self.augmentation, draws, fill=self.task.ignored or 0)
        if self.augmentation.resize < 1:
            found = random_part(found.float(), self.augmentation, draws, mode="nearest")
        if size != self.size:
            found = F.interpolate(found.float(), size, mode="nearest-exact")
        return found[:, 0].long()

    def normalised(self, pixels: Tensor) -> Tensor:
        """Scale stored pixels, ``(B, C, H, W)``, to zero mean and unit standard deviation per channel."""
        return (pixels.float() - self.mean) / self.std


@lru_cache(maxsize=1)
def on_device(dataset: Dataset, numerics: Numerics) -> DeviceImages:
    """Move the data set to its device, if it fits there; the last data set is cached there for the next candidate."""
    mean, std = channel_statistics(dataset.train)
    train, validation = dataset.train, dataset.validation
    streamed = bool(dataset.augmentation.transforms) or _is_too_large(train.num_bytes + validation.num_bytes, numerics)
    if not streamed:
        train, validation = train.to(numerics.device), validation.to(numerics.device)
    return DeviceImages(
        train,
        validation,
        mean.to(numerics.device),
        std.to(numerics.device),
        dataset.augmentation,
        numerics,
        dataset.task,
        streamed=streamed,
    )


def _is_too_large(needed: int, numerics: Numerics) -> bool:
    free = torch.cuda.mem_get_info()[0] if numerics.device == "cuda" else usable_memory()
    return needed > _MOST_SHARE * free


def channel_statistics(split: Split) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation per channel, ``(C, 1, 1)``, of the stored pixels of the first 5,000 images."""
    images = split.images[:5000]
    sums = torch.zeros(2, images.shape[1], dtype=torch.float64)
    for pixels in images.split(100):
        exact = pixels.double()
        sums += torch.stack([exact.sum((0, 2, 3)), exact.square().sum((0, 2, 3))])
    mean, square = sums * images.shape[1] / images.numel()
    deviation = (square - mean.square()).clamp_min(1 if split.scale > 1 else 255**-2).sqrt()
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
