"""Training of a candidate, scored on the validation split after every epoch."""

from __future__ import annotations

import logging
import math
import resource
import time
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import nn

from attn_nas.attention.catalog import get_mechanism
from attn_nas.data.dataset import Dataset
from attn_nas.errors import DataError
from attn_nas.models.build import build_model
from attn_nas.space.genotype import Genotype
from attn_nas.space.schema import ProxySettings
from attn_nas.space.trunks import AnyTrunk
from attn_nas.training.checkpoint import Checkpoint
from attn_nas.training.device import Numerics
from attn_nas.training.images import on_device, training_size
from attn_nas.training.optimizer import Averaging, learning_rates
from attn_nas.training.result import OnEpoch, ProxyFailure, ProxyResult
from attn_nas.training.scores import Scores, evaluate, metric_of
from attn_nas.training.step import TrainingStep

logger = logging.getLogger(__name__)
_MIN_STEPS = 4
_STEPS_AT_A_TIME = 10
_T = TypeVar("_T")


def train_proxy(
    genotype: Genotype,
    settings: ProxySettings,
    seed: int,
    dataset: Dataset,
    numerics: Numerics,
    on_epoch: OnEpoch | None = None,
    start: Checkpoint | None = None,
) -> tuple[ProxyResult, nn.Module]:
    """Train ``genotype`` for ``settings.epochs`` epochs; return its result and the trained network on the CPU.

    Equal seeds give equal trunk weights, data order and augmentation for all placements, so that candidates are compared in
    pairs. ``on_epoch`` is called with the epoch (from 1) and its validation accuracy. With a ``start`` (see `warm_trunk`) only
    the epochs after it are trained. If memory runs out, the training is repeated once with half the micro-batch and accumulated
    gradients.

    Raises:
        ProxyFailure: the loss is not finite, or memory ran out twice.
        DataError: there are too few images for the settings.

    """
    result, model, _ = train_until(settings.epochs, genotype, settings, seed, dataset, numerics, on_epoch, start)
    return result, model


def train_until(
    epoch: int,
    genotype: Genotype,
    settings: ProxySettings,
    seed: int,
    dataset: Dataset,
    numerics: Numerics,
    on_epoch: OnEpoch | None = None,
    start: Checkpoint | None = None,
    prior: ProxyResult | None = None,
) -> tuple[ProxyResult, nn.Module, Checkpoint | None]:
    """Train as `train_proxy` does, but only to the end of ``epoch``; return also the state to continue from, None at the end.

    ``prior`` is the result of the epochs before ``start``; the new result includes it. A candidate that is trained in parts
    reaches bit by bit the same weights and scores as in one training.

    Raises:
        ProxyFailure, DataError: as `train_proxy`.

    """

    def train(micro_batch: int) -> tuple[ProxyResult, nn.Module, Checkpoint | None]:
        return _Run(genotype, settings, seed, dataset, numerics, micro_batch, start).train(on_epoch, epoch, prior)

    return _within_memory(train, genotype, settings, len(dataset.train), numerics)


def warm_trunk(trunk: AnyTrunk, settings: ProxySettings, seed: int, dataset: Dataset, numerics: Numerics) -> Checkpoint:
    """Train the bare trunk with ``seed`` for ``settings.warm_epochs`` epochs; return the state that candidates start from.

    Raises:
        ProxyFailure, DataError: as `train_proxy`.

    """
    bare = Genotype.bare(trunk)

    def train(micro_batch: int) -> Checkpoint:
        return _Run(bare, settings, seed, dataset, numerics, micro_batch, None).warm()

    return _within_memory(train, bare, settings, len(dataset.train), numerics)


def measure_throughput(
    genotype: Genotype, settings: ProxySettings, dataset: Dataset, numerics: Numerics, seconds: float, until: float = 0.0
) -> float:
    """Return the training images per second over the last ``seconds`` before `time.monotonic` reaches ``until``.

    If ``until`` is 0, the measurement starts now.

    Raises:
        ProxyFailure, DataError: as `train_proxy`.

    """

    def train(micro_batch: int) -> float:
        run = _Run(genotype, settings, 0, dataset, numerics, micro_batch, None)
        return run.throughput(seconds, until or time.monotonic() + seconds)

    return _within_memory(train, genotype, settings, len(dataset.train), numerics)


def check_steps(settings: ProxySettings, num_train: int) -> None:
    """Raise DataError unless ``num_train`` images fill a batch, and give enough steps for the one-cycle schedule."""
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


def _within_memory(
    train: Callable[[int], _T], genotype: Genotype, settings: ProxySettings, num_train: int, numerics: Numerics
) -> _T:
    """Call ``train`` with the batch size as micro-batch, and again with half of it if memory runs out; raises ProxyFailure."""
    check_steps(settings, num_train)
    for micro_batch in (settings.batch_size, max(_smallest_batch(genotype), settings.batch_size // 2)):
        try:
            return train(micro_batch)
        except (MemoryError, RuntimeError) as error:
            if not _is_out_of_memory(error):
                raise
        logger.warning("out of memory: %s with micro-batches of %d images", genotype.key, micro_batch)
        if numerics.device == "cuda":
            torch.cuda.empty_cache()
    raise ProxyFailure(f"out of memory, also with micro-batches of {micro_batch} images")


def _smallest_batch(genotype: Genotype) -> int:
    """Return the fewest images per forward pass that the mechanisms and the trunk's batch norms can be trained with."""
    return max([2, *(get_mechanism(placement.mechanism).min_batch for _, placement in genotype.sites if placement)])


class _Run:
    """One training, epoch by epoch."""

    def __init__(
        self,
        genotype: Genotype,
        settings: ProxySettings,
        seed: int,
        dataset: Dataset,
        numerics: Numerics,
        micro_batch: int,
        start: Checkpoint | None,
    ) -> None:
        self._began, self._cpu_began = time.perf_counter(), time.process_time()
        if numerics.device == "cuda":
            torch.cuda.reset_peak_memory_stats()
        self._settings, self._numerics, self._seed, self._micro_batch = settings, numerics, seed, micro_batch
        self._cuda_devices = [torch.cuda.current_device()] if numerics.device == "cuda" else []
        self._model = numerics.placed(build_model(genotype, dataset.task.num_classes, dataset.task.channels, seed))
        self._metric = metric_of(settings, dataset.task)
        self._images = on_device(dataset, numerics)
        self._steps = len(dataset.train) // settings.batch_size
        self._rates = learning_rates(settings, self._steps).to(numerics.device)
        self._step = TrainingStep(self._model, self._images, settings, micro_batch)
        self._generator = torch.Generator().manual_seed(seed)
        averaged = settings.averaging != "none"
        self._averaging = Averaging(self._model, settings, self._steps) if averaged else None
        self._first = 0
        if start:
            start.restore(self._model, self._step.optimizer, self._generator, self._averaging)
            self._first = start.epoch

    def train(
        self, on_epoch: OnEpoch | None, until: int, prior: ProxyResult | None
    ) -> tuple[ProxyResult, nn.Module, Checkpoint | None]:
        """Train to the end of epoch ``until`` and score each epoch; see `train_until` for what is returned."""
        scores: list[Scores] = []
        train_loss: list[float] = []
        for epoch in range(self._first, until):
            train_loss.append(self._epoch(epoch))
            scores.append(self._scores())
            if not math.isfinite(scores[-1].loss):
                raise ProxyFailure(f"diverged in epoch {epoch + 1}: the validation loss is {scores[-1].loss}")
            if on_epoch:
                on_epoch(epoch + 1, scores[-1].accuracy)
        last = scores[-1]
        result = ProxyResult(
            accuracy=last.accuracy,
            loss=last.loss,
            margin=last.margin,
            curve=tuple(score.accuracy for score in scores),
            loss_curve=tuple(score.loss for score in scores),
            margin_curve=tuple(score.margin for score in scores),
            train_loss=tuple(train_loss),
            seconds=time.perf_counter() - self._began,
            cpu_seconds=time.process_time() - self._cpu_began,
            peak_memory_mb=_peak_memory(self._numerics),
            micro_batch=self._micro_batch,
            seed=self._seed,
        )
        checkpoint = None
        if until < self._settings.epochs:
            checkpoint = Checkpoint.of(until, self._model, self._step.optimizer, self._generator, self._averaging)
        return prior.followed_by(result) if prior else result, self._scored.cpu().eval(), checkpoint

    @property
    def _scored(self) -> nn.Module:
        return self._averaging.model if self._averaging else self._model

    def _scores(self) -> Scores:
        return evaluate(self._scored, self._images, self._micro_batch, self._metric)

    def warm(self) -> Checkpoint:
        """Train the first ``warm_epochs`` epochs without scoring them."""
        for epoch in range(self._settings.warm_epochs):
            self._epoch(epoch)
        return Checkpoint.of(self._settings.warm_epochs, self._model, self._step.optimizer, self._generator)

    def throughput(self, seconds: float, until: float) -> float:
        """Repeat the first epoch's steps; return images per second over the last ``seconds`` before ``until``.

        It validates once before, so that the memory of a validation is in use too.
        """
        plan = self._images.plan(self._settings.batch_size, self._generator)
        self._scores()
        self._model.train()
        began, steps = time.monotonic(), 0
        rows = plan[torch.arange(_STEPS_AT_A_TIME) % self._steps]
        while True:
            for row, gathered in zip(rows, self._images.ahead(rows), strict=True):
                self._step(row, self._rates[0], gathered)
            self._step.losses.item()  # wait for the device
            now = time.monotonic()
            if now < until - seconds:
                began, steps = now, 0
                continue
            steps += _STEPS_AT_A_TIME
            if now >= until:
                return steps * self._settings.batch_size / (now - began)

    def _epoch(self, epoch: int) -> float:
        """Train for one epoch, counted from 0, and return the mean loss of its batches; raises ProxyFailure."""
        settings = self._settings
        self._model.train()
        self._step.resize(training_size(self._images.size, settings.initial_resolution, epoch, settings.epochs))
        self._step.losses.zero_()
        first = epoch * self._steps
        with torch.random.fork_rng(devices=self._cuda_devices):
            torch.manual_seed(self._seed * 1_000_003 + epoch)  # for dropout; equal also in a training that continues here
            plan = self._images.plan(settings.batch_size, self._generator)
            for number, (row, gathered) in enumerate(zip(plan, self._images.ahead(plan), strict=True), start=first):
                self._step(row, self._rates[number], gathered)
                if self._averaging:
                    self._averaging.note(number)
        loss = self._step.losses.item() / self._steps
        if not math.isfinite(loss):
            raise ProxyFailure(f"diverged in epoch {epoch + 1}: the training loss is {loss}")
        return loss


def _peak_memory(numerics: Numerics) -> float:
    if numerics.device == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
