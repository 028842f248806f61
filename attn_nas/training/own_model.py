"""Checks that our training can train a network of the user's own."""

from __future__ import annotations

import torch
from torch import Tensor

from attn_nas.errors import SpaceError, first_line
from attn_nas.models.build import build_model
from attn_nas.models.insertion.passing import described
from attn_nas.space.genotype import Genotype
from attn_nas.space.host import Host
from attn_nas.space.task import Task


def check_logits(host: Host, task: Task) -> None:
    """Check that the network of ``host`` maps images of ``task`` to one logit for each class, or for each class and pixel.

    Raises:
        SpaceError: it takes images of other channels, cannot take their size, or has another output; the message says what to
            change.

    """
    if host.example[0] != task.channels:
        raise SpaceError(
            f"model.example = {[*host.example]}: the images of the data have {task.channels} channels. Let {host} make a "
            "network for them, and give their shape"
        )
    model = build_model(Genotype.bare(host), task.num_classes, task.channels, seed=0).eval()
    images = torch.zeros(2, task.channels, task.height, task.width)
    try:
        with torch.no_grad():
            output = model(images)
    except RuntimeError as error:
        size = f"{task.channels} x {task.height} x {task.width}"
        raise SpaceError(f"{host} cannot take images of {size}: {first_line(error)}") from None
    pixels = (task.height, task.width) if task.kind == "segmentation" else ()
    wanted = (2, task.num_classes, *pixels)
    if not isinstance(output, Tensor) or output.shape != wanted:
        raise SpaceError(
            f"{host} gives {described(output)} for two images of {task.num_classes} classes; our training needs logits of "
            f"shape {wanted}. Let the function take num_classes, set model.arguments, or train by an objective of your own"
        )
