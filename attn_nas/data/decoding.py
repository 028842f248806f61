"""Decodes image files to pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from attn_nas.data.dataset import Split
from attn_nas.data.listing import Sample, shown
from attn_nas.errors import DataError


@dataclass(frozen=True, eq=False)
class Decoded:
    """Decoded images.

    Args:
        split: images and labels of the files that could be read, in their order.
        damaged: files that could not be read and are left out.

    """

    split: Split
    damaged: tuple[Path, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences for the user: how many files were left out."""
        return ()


def decode(samples: Sequence[Sample], size: int, rule: int) -> Decoded:
    """Decode the files of ``samples``, resized and centre-cropped to squares of ``size`` pixels, by decoding rule ``rule``.

    Raises:
        DataError: files cannot be read.

    """
    return decode_parts([samples], size, rule)[0]


def decode_parts(parts: Sequence[Sequence[Sample]], size: int, rule: int) -> list[Decoded]:
    """`decode` for several splits at once, so that the damaged files of all of them are found before any error.

    Raises:
        DataError: files cannot be read.

    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    decoded = []
    for samples in parts:
        images = torch.empty((len(samples), 3, size, size), dtype=torch.uint8)
        for index, (path, _) in enumerate(samples):
            try:
                with Image.open(path) as opened:
                    fitted = ImageOps.fit(opened.convert("RGB"), (size, size), Image.Resampling.BILINEAR)
            except (UnidentifiedImageError, OSError, SyntaxError) as error:
                raise DataError(f"{shown(path)} is not a readable image ({error}): remove or replace it") from None
            images[index] = torch.from_numpy(np.array(fitted)).permute(2, 0, 1)
        decoded.append(Decoded(Split(images, torch.tensor([label for _, label in samples], dtype=torch.int64))))
    return decoded
