"""Slices of medical images and other values in files of NumPy and NIfTI, scaled by a window."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attn_nas.data.listing import shown
from attn_nas.errors import DataError, first_line

SUFFIXES = (".npy", ".npz", ".nii", ".nii.gz")
"""Suffixes of files that hold values, not pixels, in small letters."""
_FULL = 65535


def is_slice(path: Path) -> bool:
    """Whether the file holds values, by its name."""
    return path.name.lower().endswith(SUFFIXES)


def read_slice(path: Path, number: int | None) -> NDArray[Any]:
    """The values of a file as ``(C, H, W)``; of a volume ``(H, W, slices)`` the slice of this ``number``, from 0.

    A file of NumPy has an array ``(H, W)``, or ``(C, H, W)`` or ``(H, W, C)`` with up to 4 channels; with a ``number`` it is a
    volume. A ``.npz`` file has a single array. A file of NIfTI has a volume; its axes are taken as they are stored.

    Raises:
        DataError: the file cannot be read, or has no such slice.

    """
    try:
        values = _nifti(path) if path.name.lower().endswith((".nii", ".nii.gz")) else _numpy(path)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{shown(path)} cannot be read: {getattr(error, 'strerror', None) or first_line(error)}") from None
    if values.ndim == 3 and values.shape[-1] == 1 and number is None:
        values = values[..., 0]
    if number is not None:
        if values.ndim != 3:
            raise DataError(
                f"{shown(path)} has the shape {values.shape}, which is no volume (H, W, slices): leave the slice out"
            )
        if not 0 <= number < values.shape[2]:
            raise DataError(f"{shown(path)} has no slice {number}: choose from 0 to {values.shape[2] - 1}")
        values = values[:, :, number]
    if values.ndim == 3 and values.shape[0] > 4 and values.shape[2] > 4:
        raise DataError(
            f"{shown(path)} is a volume of {values.shape[2]} slices: name one with the column slice, from 0, and give each "
            "slice a line of its own"
        )
    if values.ndim not in (2, 3) or not values.size or values.dtype.kind not in "biuf":
        raise DataError(f"{shown(path)} has the shape {values.shape} of {values.dtype}: give numbers (H, W) or (C, H, W)")
    if values.ndim == 2:
        return np.asarray(values)[None]
    return np.asarray(values.transpose(2, 0, 1) if values.shape[2] <= 4 < values.shape[0] else values)


def windowed(values: NDArray[Any], window: tuple[float, float], path: Path) -> NDArray[np.uint16]:
    """Values from the lowest to the highest of ``window`` as 0 to 65535; what is outside is cut.

    Raises:
        DataError: a value is not finite.

    """
    if not np.isfinite(values).all():
        raise DataError(f"{shown(path)} has values that are not finite (NaN or infinity): replace them")
    low, high = window
    share = (values.astype(np.float64) - low) / (high - low)
    return (share.clip(0, 1) * _FULL + 0.5).astype(np.uint16)


def _numpy(path: Path) -> NDArray[Any]:
    opened = np.load(path, mmap_mode=None if path.suffix.lower() == ".npz" else "r")
    if isinstance(opened, np.ndarray):
        return opened
    with opened:
        if len(opened.files) != 1:
            raise ValueError(f"it has the arrays {', '.join(opened.files)}: save one array in each file")
        return np.asarray(opened[opened.files[0]])


def _nifti(path: Path) -> NDArray[Any]:
    try:
        import nibabel
    except ModuleNotFoundError:
        raise DataError(f"{shown(path)} is a NIfTI file, which needs nibabel: pip install nibabel") from None
    try:
        volume: Any = nibabel.load(path)
        return np.asarray(volume.dataobj)
    except nibabel.filebasedimages.ImageFileError as error:
        raise ValueError(str(error)) from None
