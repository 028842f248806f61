"""Training a candidate and scoring it on the validation split."""

from __future__ import annotations

import logging
import math
import resource
import time
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from attn_nas.attention.catalog import get_mechanism
from attn_nas.data.augment import augment
from attn_nas.data.dataset import Augmentation, Dataset, Split
from attn_nas.errors import DataError
from attn_nas.models.build import build_model
from attn_nas.proxy.device import Numerics
from attn_nas.proxy.result import OnEpoch, ProxyFailure, ProxyResult
from attn_nas.space.genotype import Genotype
from attn_nas.space.schema import ProxySettings

logger = logging.getLogger(__name__)
_EVALUATION_BATCH = 500
_MIN_STEPS = 4


def train_proxy(
    genotype: Genotype,
    settings: ProxySettings,
    seed: int,
    dataset: Dataset,
    numerics: Numerics,
    on_epoch: OnEpoch | None = None,
) -> tuple[ProxyResult, nn.Module]:
    """Train ``genotype`` for the proxy's epochs and score it; returns the result and the trained network on the CPU.

    Equal seeds mean equal trunk weights, data order and augmentation, whatever the placements: candidates are compared
    in pairs. ``on_epoch`` is called with the epoch (from 1) and its validation accuracy. When memory runs out the run is
    repeated once at half the micro-batch with accumulated gradients.

    Raises:
        ProxyFailure: the loss is not finite, or memory runs out twice.
        DataError: the data are too few for the settings.

    """
    check_steps(settings, len(dataset.train))
    for micro_batch in (settings.batch_size, max(_smallest_batch(genotype), settings.batch_size // 2)):
        try:
            return _run(genotype, settings, seed, dataset, numerics, micro_batch, on_epoch)
        except (MemoryError, RuntimeError) as error:
            if not _is_out_of_memory(error):
                raise
        logger.warning("out of memory: %s with micro-batches of %d images", genotype.key, micro_batch)
        if numerics.device == "cuda":
            torch.cuda.empty_cache()
    raise ProxyFailure(f"out of memory, also with micro-batches of {micro_batch} images")


def _smallest_batch(genotype: Genotype) -> int:
    """The fewest images that all its mechanisms, and the trunk's batch norms, can be trained with."""
    return max([2, *(get_mechanism(placement.mechanism).min_batch for _, placement in genotype.sites if placement)])


def check_steps(settings: ProxySettings, num_train: int) -> None:
    """Raise DataError unless ``num_train`` images fill a batch, and enough of them for a one-cycle schedule."""
    steps = settings.epochs * (num_train // settings.batch_size)
    if num_train < settings.batch_size:
        raise DataError(f"proxy.batch_size = {settings.batch_size} is larger than the {num_train} training images: lower it")
    if steps < _MIN_STEPS:
        raise DataError(
            f"proxy.epochs = {settings.epochs} with proxy.batch_size = {settings.batch_size} on {num_train} images are "
            f"{steps} steps: train for at least {_MIN_STEPS}"
        )


def _is_out_of_memory(error: BaseException) -> bool:
    signs = ("out of memory", "can't allocate memory", "ALLOC_FAILED")
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or any(sign in str(error) for sign in signs)


def _run(
    genotype: Genotype,
    settings: ProxySettings,
    seed: int,
    dataset: Dataset,
    numerics: Numerics,
    micro_batch: int,
    on_epoch: OnEpoch | None,
) -> tuple[ProxyResult, nn.Module]:
    start = time.perf_counter()
    if numerics.device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    model = build_model(genotype, dataset.task.num_classes, dataset.task.channels, seed)
    model.to(numerics.device, memory_format=numerics.memory_format)  # type: ignore[call-overload]
    images = _on_device(dataset, numerics)
    optimizer, schedule = _optimizer(model, settings, len(dataset.train) // settings.batch_size)
    generator = torch.Generator().manual_seed(seed)
    curve: list[float] = []
    train_loss: list[float] = []
    for epoch in range(settings.epochs):
        model.train()
        losses = torch.zeros((), device=numerics.device)
        batches = torch.randperm(len(dataset.train), generator=generator).split(settings.batch_size)
        batches = batches[: len(dataset.train) // settings.batch_size]
        for indices in batches:
            losses += _step(model, images, indices, generator, settings, numerics, micro_batch)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            schedule.step()
        train_loss.append(losses.item() / len(batches))
        if not math.isfinite(train_loss[-1]):
            raise ProxyFailure(f"diverged in epoch {epoch + 1}: the training loss is {train_loss[-1]}")
        accuracy, loss = _evaluate(model, images)
        curve.append(accuracy)
        if on_epoch:
            on_epoch(epoch + 1, accuracy)
    if not math.isfinite(loss):
        raise ProxyFailure(f"diverged: the validation loss is {loss}")
    seconds = time.perf_counter() - start
    result = ProxyResult(accuracy, loss, tuple(curve), tuple(train_loss), seconds, _peak_memory(numerics), micro_batch, seed)
    return result, model.cpu().eval()


def _step(
    model: nn.Module,
    images: _Images,
    indices: Tensor,
    generator: torch.Generator,
    settings: ProxySettings,
    numerics: Numerics,
    micro_batch: int,
) -> Tensor:
    """Add the gradients of one batch; returns its loss, detached."""
    inputs, labels = images.batch(indices, generator)
    total = torch.zeros((), device=numerics.device)
    parts = max(1, len(inputs) // micro_batch)
    for part, target in zip(inputs.tensor_split(parts), labels.tensor_split(parts), strict=True):
        with numerics.autocast():
            logits = model(part)
        loss = F.cross_entropy(logits.float(), target, label_smoothing=settings.label_smoothing)
        loss = loss * (len(part) / len(inputs))
        loss.backward()
        total += loss.detach()
    return total


@dataclass(frozen=True)
class _Images:
    """Both splits on the device, and the statistics that normalise them (per channel, of pixels 0..255)."""

    train: Split
    validation: Split
    mean: Tensor
    std: Tensor
    augmentation: Augmentation
    numerics: Numerics

    def batch(self, indices: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Normalised, augmented training images ``(B, C, H, W)`` and labels ``(B,)``."""
        on_device = indices.to(self.train.images.device)
        images = augment(self.normalised(self.train.images[on_device]), self.augmentation, generator)
        return images.contiguous(memory_format=self.numerics.memory_format), self.train.labels[on_device]

    def normalised(self, images: Tensor) -> Tensor:
        """Pixels 0..255 to zero mean and unit deviation."""
        return (images.float() - self.mean) / self.std


@lru_cache(maxsize=1)
def _on_device(dataset: Dataset, numerics: Numerics) -> _Images:
    """The data set on its device; the last one is kept there for the next candidate."""
    mean, std = channel_statistics(dataset.train)
    train, validation = (
        Split(split.images.to(numerics.device), split.labels.to(numerics.device))
        for split in (dataset.train, dataset.validation)
    )
    return _Images(train, validation, mean.to(numerics.device), std.to(numerics.device), dataset.augmentation, numerics)


def channel_statistics(split: Split) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation ``(C, 1, 1)`` of the pixels 0..255 of up to 5,000 images."""
    pixels = split.images[:5000].float()
    return pixels.mean((0, 2, 3))[:, None, None], pixels.std((0, 2, 3))[:, None, None].clamp_min(1.0)


def _evaluate(model: nn.Module, images: _Images) -> tuple[float, float]:
    """Accuracy (a share of 1) and mean cross-entropy of ``model`` on the validation split."""
    model.eval()
    split, numerics = images.validation, images.numerics
    correct = torch.zeros((), device=numerics.device)
    loss = torch.zeros((), device=numerics.device)
    with torch.no_grad():
        for pixels, target in zip(split.images.split(_EVALUATION_BATCH), split.labels.split(_EVALUATION_BATCH), strict=True):
            inputs = images.normalised(pixels).contiguous(memory_format=numerics.memory_format)
            with numerics.autocast():
                logits = model(inputs)
            correct += (logits.argmax(1) == target).sum()
            loss += F.cross_entropy(logits.float(), target, reduction="sum")
    return correct.item() / len(split), loss.item() / len(split)


def _optimizer(
    model: nn.Module, settings: ProxySettings, steps_per_epoch: int
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    decayed = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    plain = [parameter for parameter in model.parameters() if parameter.ndim <= 1]
    total_steps = settings.epochs * steps_per_epoch
    optimizer = torch.optim.SGD(
        [{"params": decayed, "weight_decay": settings.weight_decay}, {"params": plain, "weight_decay": 0.0}],
        lr=settings.lr,
        momentum=settings.momentum,
        nesterov=settings.momentum > 0,
        foreach=True,
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        settings.lr,
        total_steps=total_steps,
        pct_start=max(settings.warmup, 2 / total_steps),
        cycle_momentum=False,
    )
    return optimizer, schedule


def _peak_memory(numerics: Numerics) -> float:
    if numerics.device == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
