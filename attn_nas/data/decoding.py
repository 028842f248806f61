"""Decodes image files to pixels."""

from __future__ import annotations

import numpy as np
import torch

from attn_nas.data.dataset import Split
from attn_nas.errors import DataError


def decode(samples: list[tuple[str, int]], size: int) -> Split:
    """Decode the files of ``samples`` (path, label), resized and centre-cropped to ``size`` pixels; raises DataError."""
    from PIL import Image, ImageOps, UnidentifiedImageError

    images = torch.empty((len(samples), 3, size, size), dtype=torch.uint8)
    for index, (path, _) in enumerate(samples):
        try:
            with Image.open(path) as opened:
                fitted = ImageOps.fit(opened.convert("RGB"), (size, size), Image.Resampling.BILINEAR)
        except (UnidentifiedImageError, OSError, SyntaxError) as error:
            raise DataError(f"{path} is not a readable image ({error}): remove or replace it") from None
        images[index] = torch.from_numpy(np.array(fitted)).permute(2, 0, 1)
    return Split(images, torch.tensor([label for _, label in samples], dtype=torch.int64))
