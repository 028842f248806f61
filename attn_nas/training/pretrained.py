"""Checks of a file of trunk weights that a full training starts from."""

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
    """Return the names of the trunk's tensors that the file cannot initialise: a classifier for another number of classes.

    Raises:
        UsageError: ``path`` is not a safetensors file, or its other weights are not those of the trunk.

    """
    try:
        weights = load_file(path)
    except (OSError, SafetensorError) as error:
        raise UsageError(f"{path} cannot be read as safetensors: {first_line(error)}") from None
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
        raise UsageError(f"{path} does not have the weights of {trunk}: it lacks {'; '.join(wrong[:_NAMED])}{more}")
    return fresh


def _classifier(model: nn.Module) -> str:
    """Return the name of the last linear layer, with a dot."""
    return [name for name, module in model.named_modules() if isinstance(module, nn.Linear)][-1] + "."
