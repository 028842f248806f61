"""Writes the weights of a trained network."""

from __future__ import annotations

import os
from pathlib import Path

from safetensors.torch import save_file
from torch import nn

from attn_nas.files import raising_write_error, whole


def keep_weights(model: nn.Module, seed: int, path: Path) -> None:
    """Write the weights of ``model``, which is on the CPU, as a safetensors file with the ``seed`` in its metadata.

    Raises:
        WriteError: the file cannot be written; an earlier one stays as it was.

    """
    tensors = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    with raising_write_error(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole(path, f".unfinished-{os.getpid()}") as unfinished:
            save_file(tensors, unfinished, metadata={"seed": str(seed)})
