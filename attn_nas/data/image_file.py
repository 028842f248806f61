"""Reads one image file with Pillow; its errors name the file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from PIL import Image

from attn_nas.data.decoding_process import reason_of
from attn_nas.data.listing import shown
from attn_nas.data.pixels import readable_formats
from attn_nas.errors import DataError

Found = TypeVar("Found")


def read_opened(path: Path, how: Callable[[Image.Image], Found]) -> Found:
    """What ``how`` makes of the opened image; raises DataError with the name of the file."""
    try:
        with Image.open(path, formats=readable_formats()) as opened:
            return how(opened)
    except Exception as error:
        raise DataError(f"{shown(path)} is not a readable image ({reason_of(error)}): remove or replace it") from error
