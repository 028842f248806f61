"""Turns a photo into a labelled prediction; exports copy these functions into ``predict.py``, beside their ``config.json``."""

from __future__ import annotations

import json
from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.fx import GraphModule

from attn_nas.data.pixels import fitted, in_colours, readable_formats


def predict(network: Callable[[Tensor], Tensor], photo: str | PathLike[str] | Image.Image) -> list[tuple[str, float]]:
    """Return the names of all classes with their probabilities (0 to 1), the most probable class first.

    ``network`` takes the batch of `prepare` and returns logits ``(1, classes)``: a module in evaluation mode, on any device, or
    a function around a session of an ONNX runtime.

    Raises:
        ValueError: the network is in training mode.
        Exception: see `pixels_of`.

    """
    images = prepare(photo)
    if isinstance(network, nn.Module):
        if network.training and not isinstance(network, GraphModule):  # a graph of torch.export has no modes
            raise ValueError("the network is in training mode, in which its predictions are others: call its eval() first")
        images = images.to(next(network.parameters(), images).device)
    with torch.no_grad():
        probabilities = network(images).double().softmax(1)[0].tolist()
    return sorted(zip(configuration()["classes"], probabilities, strict=True), key=lambda pair: -pair[1])


def prepare(photo: str | PathLike[str] | Image.Image) -> Tensor:
    """Return ``photo`` as a normalised batch of one, ``(1, C, H, W)`` of float32; errors are those of `pixels_of`."""
    described = configuration()["preprocessing"]
    mean, std = (255 * torch.tensor(described[name])[:, None, None] for name in ("mean", "std"))
    pixels = torch.from_numpy(pixels_of(photo)).permute(2, 0, 1)
    return ((pixels.float() - mean) / std)[None]


def pixels_of(photo: str | PathLike[str] | Image.Image) -> NDArray[np.uint8]:
    """Return ``photo`` as bytes ``(H, W, C)``, decoded, turned upright, resized and cropped as images were in training.

    ``photo`` is a path, or an image of Pillow, which is not changed. If its pixels were not read yet, they are read from its
    file here, because a large JPEG is decoded at a reduced width.

    Raises:
        Exception: Pillow cannot read the file, or its values have no known range.

    """
    described = configuration()["preprocessing"]
    height, width = described["size"]
    rule, larger = described["decoding_rule"], max(height, width)
    if not isinstance(photo, Image.Image):
        with Image.open(photo, formats=None if rule == 1 else readable_formats()) as opened:
            colours = in_colours(opened, larger, rule)
    elif (file := getattr(photo, "fp", None)) and getattr(photo, "tile", None) and photo.tell() == 0:
        position = file.tell()
        file.seek(0)
        try:
            with Image.open(file) as opened:
                colours = in_colours(opened, larger, rule)
        finally:
            file.seek(position)
    else:
        colours = in_colours(photo, larger, rule)
    found = fitted(colours.convert(described["mode"]), width, height)
    return found.reshape(height, width, -1)


def configuration() -> dict[str, Any]:
    """Return the content of ``config.json`` in the folder of this file."""
    found: dict[str, Any] = json.loads(Path(__file__).with_name("config.json").read_text(encoding="utf-8"))
    return found
