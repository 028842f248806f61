"""The state of a training between two epochs: of a warm trunk that candidates start from, or of a paused candidate."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from attn_nas.training.optimizer import Averaging

_WEIGHTS, _MOMENTUM, _MOMENTS, _AVERAGE, _GENERATOR = "weights/", "momentum/", "moments/", "average/", "generator"
_OF_ADAM = ("step", "exp_avg", "exp_avg_sq")


@dataclass(frozen=True)
class Checkpoint:
    """The state after ``epoch`` epochs.

    ``weights`` holds parameters and batch statistics, ``momentum`` the optimizer's buffers by parameter, ``generator`` the
    state of the generator of the data order. ``average`` holds the averaged weights after ``taken`` updates; it is empty for a
    warm trunk. ``moments`` are the buffers of AdamW by the name of the buffer and the parameter.
    """

    epoch: int
    weights: dict[str, Tensor]
    momentum: dict[str, Tensor]
    generator: Tensor
    average: dict[str, Tensor] = field(default_factory=dict)
    taken: int = 0
    moments: dict[str, Tensor] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        epoch: int,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        generator: torch.Generator,
        averaging: Averaging | None = None,
    ) -> Checkpoint:
        """Copy the state of a training to the CPU."""
        momentum = {
            name: optimizer.state[parameter]["momentum_buffer"].cpu().clone()
            for name, parameter in model.named_parameters()
            if "momentum_buffer" in optimizer.state[parameter]
        }
        moments = {
            f"{buffer}/{name}": optimizer.state[parameter][buffer].cpu().clone()
            for name, parameter in model.named_parameters()
            for buffer in _OF_ADAM
            if buffer in optimizer.state[parameter]
        }
        average = _copied(averaging.model) if averaging and averaging.taken else {}
        taken = averaging.taken if averaging else 0
        return cls(epoch, _copied(model), momentum, generator.get_state(), average, taken, moments)

    @classmethod
    def before_training(cls, weights: dict[str, Tensor], seed: int) -> Checkpoint:
        """Return the initial state of a training with ``seed`` that starts from ``weights`` of the trunk."""
        return cls(0, weights, {}, torch.Generator().manual_seed(seed).get_state())

    @torch.no_grad()
    def restore(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        generator: torch.Generator,
        averaging: Averaging | None = None,
    ) -> None:
        """Load the state into a training; tensors that the checkpoint lacks, such as those of mechanisms, stay unchanged."""
        for name, tensor in model.state_dict().items():
            if name in self.weights and self.weights[name].shape == tensor.shape:
                tensor.copy_(self.weights[name])
        for name, parameter in model.named_parameters():
            if name in self.momentum and self.momentum[name].shape == parameter.shape:
                optimizer.state[parameter]["momentum_buffer"].copy_(self.momentum[name])
            for buffer in _OF_ADAM:
                kept = self.moments.get(f"{buffer}/{name}")
                if kept is not None and kept.shape == optimizer.state[parameter][buffer].shape:
                    optimizer.state[parameter][buffer].copy_(kept)
        generator.set_state(self.generator)
        if averaging and self.taken:
            averaging.restore(self.average, self.taken)

    def save(self, path: Path) -> None:
        """Write the state as a safetensors file; raises OSError, SafetensorError."""
        tensors = {_WEIGHTS + name: tensor.contiguous() for name, tensor in self.weights.items()}
        tensors |= {_MOMENTUM + name: tensor.contiguous() for name, tensor in self.momentum.items()}
        tensors |= {_MOMENTS + name: tensor.contiguous() for name, tensor in self.moments.items()}
        tensors |= {_AVERAGE + name: tensor.contiguous() for name, tensor in self.average.items()}
        save_file({**tensors, _GENERATOR: self.generator}, path, {"epoch": str(self.epoch), "taken": str(self.taken)})

    @classmethod
    def kept_in(cls, path: Path) -> Checkpoint | None:
        """Read a state that `save` wrote; None if the file is missing or damaged."""
        try:
            return cls.load(path)
        except Exception:  # noqa: BLE001 - a file of any content may be there
            return None

    @classmethod
    def load(cls, path: Path) -> Checkpoint:
        """Read a state that `save` wrote; raises OSError, SafetensorError, KeyError, TypeError or ValueError."""
        with safe_open(path, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  a safetensors file is no mapping
            epoch, taken = (int(file.metadata()[name]) for name in ("epoch", "taken"))
        weights, momentum, moments, average = (
            {name.removeprefix(kind): tensor for name, tensor in tensors.items() if name.startswith(kind)}
            for kind in (_WEIGHTS, _MOMENTUM, _MOMENTS, _AVERAGE)
        )
        return cls(epoch, weights, momentum, tensors[_GENERATOR], average, taken, moments)


def _copied(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.cpu().clone() for name, tensor in model.state_dict().items()}
