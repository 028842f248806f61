"""Optimizer, learning-rate schedule and weight averaging of a training."""

from __future__ import annotations

import copy
import inspect
import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from attn_nas.space.schema import ProxySettings

_AVERAGE_EVERY = 8


class LightSGD(torch.optim.SGD):
    """SGD whose methods do not import ``torch._dynamo``, which takes more than a second of each process that trains.

    Torch wraps methods of its optimizers so that ``torch.compile`` leaves them out; these are the methods without wrapping.
    """

    step = torch.no_grad()(inspect.unwrap(torch.optim.SGD.step))
    add_param_group = inspect.unwrap(torch.optim.Optimizer.add_param_group)
    load_state_dict = inspect.unwrap(torch.optim.Optimizer.load_state_dict)
    state_dict = inspect.unwrap(torch.optim.Optimizer.state_dict)
    zero_grad = inspect.unwrap(torch.optim.Optimizer.zero_grad)


class LightAdamW(torch.optim.AdamW):
    """AdamW without wrapping, as `LightSGD`."""

    step = torch.no_grad()(inspect.unwrap(torch.optim.AdamW.step))
    add_param_group = inspect.unwrap(torch.optim.Optimizer.add_param_group)
    load_state_dict = inspect.unwrap(torch.optim.Optimizer.load_state_dict)
    state_dict = inspect.unwrap(torch.optim.Optimizer.state_dict)
    zero_grad = inspect.unwrap(torch.optim.Optimizer.zero_grad)


def make_optimizer(model: nn.Module, settings: ProxySettings, rate: Tensor) -> LightSGD | LightAdamW:
    """Make a fused Nesterov SGD, or AdamW, whose learning rate is read from the tensor ``rate``, shape ``()``, at every step.

    Momentum starts at zero. Norms and biases (parameters with one dimension) have no weight decay.
    """
    decayed = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    plain = [parameter for parameter in model.parameters() if parameter.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": settings.weight_decay}, {"params": plain, "weight_decay": 0.0}]
    if settings.optimizer == "adamw":
        adam = LightAdamW(groups, lr=rate, betas=(settings.momentum, 0.999), fused=True)
        for parameter in model.parameters():
            adam.state[parameter].update(
                step=torch.zeros((), device=parameter.device),
                exp_avg=torch.zeros_like(parameter),
                exp_avg_sq=torch.zeros_like(parameter),
            )
        return adam
    optimizer = LightSGD(groups, lr=rate, momentum=settings.momentum, nesterov=settings.momentum > 0, fused=True)
    if settings.momentum:
        for parameter in model.parameters():
            optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    return optimizer


def learning_rates(settings: ProxySettings, steps_per_epoch: int) -> Tensor:
    """Return the learning rates of all steps, ``(epochs * steps_per_epoch,)``.

    They are those of one cycle (Smith and Topin, arXiv 1708.07120), of a cosine after a linear warm-up (arXiv 1608.03983), or
    constant after it, as ``settings.schedule`` says.
    """
    total = settings.epochs * steps_per_epoch
    if settings.schedule != "one_cycle":
        step = torch.arange(total, dtype=torch.float64)
        rising = max(1, round(settings.warmup * total))
        falling = 0.5 * (1 + torch.cos(math.pi * (step - rising) / max(1, total - rising)))
        after = falling if settings.schedule == "cosine" else torch.ones_like(step)
        return (settings.lr * torch.where(step < rising, (step + 1) / rising, after)).float()
    optimizer = LightSGD([torch.zeros(1)], lr=settings.lr)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, settings.lr, total_steps=total, pct_start=max(settings.warmup, 2 / total), cycle_momentum=False
    )
    rates = []
    for _ in range(total):
        rates.append(schedule.get_last_lr()[0])
        optimizer.step()
        if len(rates) < total:
            schedule.step()
    return torch.tensor(rates)


class Averaging:
    """A running average of weights and batch statistics, updated every few steps.

    With ``averaging`` set to ``ema`` it is an exponential average with a half-life of ``averaging_epochs`` epochs; with
    ``last`` it is the mean over the last ``averaging_epochs`` epochs (stochastic weight averaging, arXiv 1803.05407).
    """

    def __init__(self, model: nn.Module, settings: ProxySettings, steps_per_epoch: int) -> None:
        self._model = model
        window = settings.averaging_epochs * steps_per_epoch
        self._every = max(1, min(_AVERAGE_EVERY, int(window) // 4))
        self._last_step = settings.epochs * steps_per_epoch - 1
        self._first_step = 0 if settings.averaging == "ema" else self._last_step + 1 - math.ceil(window)
        self._forgotten = 1 - math.exp(-math.log(2) * self._every / window) if settings.averaging == "ema" else None
        self._taken = 0
        self._averaged = copy.deepcopy(model).requires_grad_(requires_grad=False)
        self._averages, self._news = _tensors(self._averaged, mixed=True), _tensors(model, mixed=True)
        self._copies, self._counts = _tensors(self._averaged, mixed=False), _tensors(model, mixed=False)

    @property
    def taken(self) -> int:
        """Number of updates so far."""
        return self._taken

    def restore(self, average: Mapping[str, Tensor], taken: int) -> None:
        """Continue from an ``average`` (a state dict) after ``taken`` updates."""
        self._averaged.load_state_dict(average)
        self._taken = taken

    @property
    def model(self) -> nn.Module:
        """The averaged network; before the first update, the network in training."""
        return self._averaged if self._taken else self._model

    def note(self, step: int) -> None:
        """Update the average after ``step``, counted from 0 over all epochs, if this step is due."""
        if step < self._first_step or (self._last_step - step) % self._every:
            return
        self._taken += 1
        share = self._forgotten if self._forgotten and self._taken > 1 else 1 / self._taken
        torch._foreach_lerp_(self._averages, self._news, share)
        for average, new in zip(self._copies, self._counts, strict=True):
            average.copy_(new)


def _tensors(model: nn.Module, *, mixed: bool) -> list[Tensor]:
    """Return the floating-point parameters and buffers if ``mixed``, otherwise the integer ones, which are copied."""
    every = (*model.parameters(), *model.buffers())
    return [tensor.detach() for tensor in every if tensor.is_floating_point() == mixed]
