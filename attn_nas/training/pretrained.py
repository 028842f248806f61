"""Weights of a trunk that a full training begins from."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from attn_nas.errors import UsageError, first_line
from attn_nas.models.build import build_trunk
from attn_nas.space.task import Task
from attn_nas.space.trunks import Trunk

_NAMED = 3


def check_pretrained(path: Path, trunk: Trunk, task: Task) -> list[str]:
    """Which of the trunk's tensors begin fresh: those of the classifier, if it has another number of classes in the file.

    Raises:
        UsageError: ``path`` is no safetensors file, or its weights are not those of the trunk.

    """
    try:
        weights = load_file(path)
    except (OSError, SafetensorError) as error:
        raise UsageError(f"{path} is not read as safetensors: {first_line(error)}") from None
    model = build_trunk(trunk, task.num_classes, task.channels)
    wanted = {name: tensor for name, tensor in model.state_dict().items() if not name.endswith("num_batches_tracked")}
    head = _classifier(model)
    fresh = [name for name in wanted if name in weights and name.startswith(head) and weights[name].shape != wanted[name].shape]
    wrong = [
        f"{name} {tuple(tensor.shape)}" + (f", there {tuple(weights[name].shape)}" if name in weights else "")
        for name, tensor in wanted.items()
        if name not in fresh and (name not in weights or weights[name].shape != tensor.shape)
    ]
    if wrong:
        more = f" and {len(wrong) - _NAMED} more" if len(wrong) > _NAMED else ""
        raise UsageError(f"{path} has not the weights of {trunk}: it lacks {'; '.join(wrong[:_NAMED])}{more}")
    return fresh


def _classifier(model: nn.Module) -> str:
    """Where the names of the last linear layer begin."""
    return [name for name, module in model.named_modules() if isinstance(module, nn.Linear)][-1] + "."
