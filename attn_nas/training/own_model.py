"""Checks that our training can train a network: that it gives logits of the shape that the data need."""

from __future__ import annotations

import torch
from torch import Tensor

from attn_nas.errors import SpaceError, first_line
from attn_nas.models.build import build_model
from attn_nas.models.insertion.passing import described
from attn_nas.space.genotype import Genotype
from attn_nas.space.host import Host
from attn_nas.space.task import Task
from attn_nas.space.trunks import AnyTrunk


def check_logits(trunk: AnyTrunk, task: Task) -> None:
    """Check that a network maps images of ``task`` to one logit for each class, or for each class and pixel.

    Trunks of this package, which classify, are checked for masks alone.

    Raises:
        SpaceError: it takes images of other channels, cannot take their size, or has another output; the message says what to
            change.

    """
    is_own = isinstance(trunk, Host)
    if not is_own and task.kind != "segmentation":
        return
    if isinstance(trunk, Host) and trunk.example[0] != task.channels:
        raise SpaceError(
            f"model.example = {[*trunk.example]}: the images of the data have {task.channels} channels. Let {trunk} make a "
            "network for them, and give their shape"
        )
    model = build_model(Genotype.bare(trunk), task.num_classes, task.channels, seed=0).eval()
    images = torch.zeros(2, task.channels, task.height, task.width)
    try:
        with torch.no_grad():
            output = model(images)
    except RuntimeError as error:
        size = f"{task.channels} x {task.height} x {task.width}"
        raise SpaceError(f"{trunk} cannot take images of {size}: {first_line(error)}") from None
    pixels = (task.height, task.width) if task.kind == "segmentation" else ()
    wanted = (2, task.num_classes, *pixels)
    if isinstance(output, Tensor) and output.shape == wanted:
        return
    if is_own:
        raise SpaceError(
            f"{trunk} gives {described(output)} for two images of {task.num_classes} classes; our training needs logits of "
            f"shape {wanted}. Let the function take num_classes, set model.arguments, or train by an objective of your own"
        )
    raise SpaceError(
        f"{trunk} gives {(1, *output.shape[1:])} for an image, but masks need {task.num_classes} logits for each of "
        f"{task.height} x {task.width} pixels: search a network of your own that segments images"
    )
