"""A run between two epochs, and the warm trunk: the bare trunk's state from which every candidate starts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

_WEIGHTS, _MOMENTUM, _GENERATOR = "weights/", "momentum/", "generator"


@dataclass(frozen=True)
class Checkpoint:
    """The state after ``epoch`` epochs: weights and statistics, momentum by parameter, and the generator of the data order."""

    epoch: int
    weights: dict[str, Tensor]
    momentum: dict[str, Tensor]
    generator: Tensor

    @classmethod
    def of(cls, epoch: int, model: nn.Module, optimizer: torch.optim.Optimizer, generator: torch.Generator) -> Checkpoint:
        """A copy, on the CPU, of a run's state."""
        momentum = {
            name: optimizer.state[parameter]["momentum_buffer"].cpu().clone()
            for name, parameter in model.named_parameters()
            if "momentum_buffer" in optimizer.state[parameter]
        }
        weights = {name: tensor.cpu().clone() for name, tensor in model.state_dict().items()}
        return cls(epoch, weights, momentum, generator.get_state())

    @torch.no_grad()
    def restore(self, model: nn.Module, optimizer: torch.optim.Optimizer, generator: torch.Generator) -> None:
        """Put the state into a run; what ``model`` has and the checkpoint lacks (its mechanisms) stays as it is."""
        for name, tensor in model.state_dict().items():
            if name in self.weights and self.weights[name].shape == tensor.shape:
                tensor.copy_(self.weights[name])
        for name, parameter in model.named_parameters():
            if name in self.momentum and self.momentum[name].shape == parameter.shape:
                optimizer.state[parameter]["momentum_buffer"].copy_(self.momentum[name])
        generator.set_state(self.generator)

    def save(self, path: Path) -> None:
        """Write the state as safetensors."""
        tensors = {_WEIGHTS + name: tensor.contiguous() for name, tensor in self.weights.items()}
        tensors |= {_MOMENTUM + name: tensor.contiguous() for name, tensor in self.momentum.items()}
        save_file({**tensors, _GENERATOR: self.generator}, path, {"epoch": str(self.epoch)})

    @classmethod
    def load(cls, path: Path) -> Checkpoint:
        """The state that `save` wrote."""
        with safe_open(path, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  a safetensors file is no mapping
            epoch = int(file.metadata()["epoch"])
        weights, momentum = (
            {name.removeprefix(kind): tensor for name, tensor in tensors.items() if name.startswith(kind)}
            for kind in (_WEIGHTS, _MOMENTUM)
        )
        return cls(epoch, weights, momentum, tensors[_GENERATOR])
