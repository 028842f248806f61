"""Decodes image files in a process of its own, which `attn_nas.data.decoding` starts: it imports numpy and Pillow alone.

The first line of stdin is a job; each further line is a list of ``[index, path]``, and is answered by a line on stdout.
"""

from __future__ import annotations

import importlib.util
import json
import mmap
import sys
from types import ModuleType
from typing import Any

import numpy as np


def reason_of(error: BaseException) -> str:
    """Why a file cannot be read, in a few words."""
    from PIL import Image, UnidentifiedImageError

    first = (str(error).splitlines() or [type(error).__name__])[0]
    if isinstance(error, UnidentifiedImageError):
        return "no image in a format that Pillow reads"
    if isinstance(error, Image.DecompressionBombError):
        return f"{first.partition(',')[0]}: make it smaller"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return first


def main() -> None:
    """Answer each list of files with those that cannot be read, ``[index, reason, has unknown values]``."""
    job: dict[str, Any] = json.loads(sys.stdin.readline())
    pixels = _module(job["pixels"])
    pixels.readable_formats()
    height, width = job["size"]
    memory = mmap.mmap(job["descriptor"], 0)
    images = np.frombuffer(memory, np.uint8).reshape(-1, 3, height, width)
    for line in sys.stdin:
        faults = []
        for index, path in json.loads(line):
            try:
                images[index] = pixels.read_image(path, (height, width), job["rule"]).transpose(2, 0, 1)
            except Exception as error:  # noqa: BLE001  decoders raise exceptions of every type
                images[index] = 0
                faults.append([index, reason_of(error), isinstance(error, pixels.UnsuitableImageError)])
        print(json.dumps(faults), flush=True)


def _module(path: str) -> ModuleType:
    """The module in the file at ``path``, without its package."""
    spec = importlib.util.spec_from_file_location("pixels", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    main()
