"""The embedded scans: 1,797 handwritten digits in a fixed split."""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files
from io import BytesIO
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Part = Literal["train", "validation", "test"]
_BOUNDS: dict[Part, slice] = {"train": slice(0, 1100), "validation": slice(1100, 1450), "test": slice(1450, 1797)}


@lru_cache(maxsize=1)
def _all_scans() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    import gzip

    raw = gzip.decompress(files("attn_nas.data").joinpath("digits.csv.gz").read_bytes())
    table = np.loadtxt(BytesIO(raw), delimiter=",", dtype=np.float32)
    order = np.random.default_rng(0).permutation(len(table))
    return table[order, :64].reshape(-1, 8, 8) / 16.0, table[order, 64].astype(np.int64)


def scans(part: Part) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Scans ``(N, 8, 8)`` with values 0..1, and labels ``(N,)``; the parts have no scan in common."""
    images, labels = _all_scans()
    return images[_BOUNDS[part]], labels[_BOUNDS[part]]
