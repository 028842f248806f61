"""Draw tensors as raster pictures: images, heat maps over images, gates."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float64]
Size = tuple[int, int]
"""Width and height in pixels."""

_HEAT = ((0, 0, 4), (87, 16, 110), (188, 55, 84), (249, 142, 9), (252, 255, 164))
_GATE = ((68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37))
"""Five points each of the colour maps inferno and viridis, which are suited for colour-blind readers."""
_BRIGHTNESS = 0.9
_MAX_OPACITY = 0.75


def fitted(width: int, height: int, box: int) -> Size:
    """Fit an image into a square of ``box`` pixels; a small image is enlarged by an integer factor."""
    side = max(width, height)
    if side <= box:
        return width * (box // side), height * (box // side)
    return max(1, round(width * box / side)), max(1, round(height * box / side))


def picture(pixels: Tensor, size: Size) -> Image.Image:
    """Draw an image ``(C, H, W)`` of bytes; with a number of channels other than 3 only the first is drawn."""
    colours = pixels if len(pixels) == 3 else pixels[:1].expand(3, -1, -1)
    return _resized(Image.fromarray(colours.permute(1, 2, 0).contiguous().numpy()), size)


def heated(pixels: Tensor, evidence: Tensor, size: Size) -> Image.Image:
    """Draw ``pixels`` ``(C, H, W)`` in grey, and over them the positive part of ``evidence`` ``(h, w)``, up to its maximum."""
    grey = np.asarray(picture(pixels, size).convert("L"), dtype=np.float64)[..., None]
    positive = evidence.clamp_min(0)
    share = (positive / positive.max().clamp_min(1e-12)).numpy().astype(np.float32)
    smooth = np.asarray(Image.fromarray(share).resize(size, Image.Resampling.BILINEAR), dtype=np.float64)
    opacity = _MAX_OPACITY * smooth[..., None]
    return Image.fromarray(_bytes(_BRIGHTNESS * grey * (1 - opacity) + _tinted(smooth, _HEAT) * opacity))


def gate_map(gate: Tensor, limits: tuple[float, float], size: Size) -> Image.Image:
    """Draw a gate ``(h, w)``, dark at the lower and bright at the upper limit."""
    low, high = limits
    share = ((gate - low) / (high - low)).clamp(0, 1).double().numpy()
    return _resized(Image.fromarray(_bytes(_tinted(share, _GATE))), size)


def gate_colours(size: Size) -> Image.Image:
    """Draw the colour scale of `gate_map`, from its lower to its upper limit."""
    return Image.fromarray(_bytes(_tinted(np.linspace(0, 1, size[0])[None], _GATE))).resize(size)


def heat_colours(size: Size) -> Image.Image:
    """Draw the colour scale of `heated` over black, from no evidence to the maximum."""
    share = np.linspace(0, 1, size[0])[None]
    return Image.fromarray(_bytes(_MAX_OPACITY * share[..., None] * _tinted(share, _HEAT))).resize(size)


def _resized(image: Image.Image, size: Size) -> Image.Image:
    """Enlarge an image without smoothing, or shrink it by averaging."""
    smaller = size[0] < image.width or size[1] < image.height
    return image.resize(size, Image.Resampling.BOX if smaller else Image.Resampling.NEAREST)


def _tinted(share: Floats, colours: tuple[tuple[int, int, int], ...]) -> Floats:
    """Map values ``(h, w)`` from 0 to 1 to colours ``(h, w, 3)`` from 0 to 255."""
    points = np.linspace(0, 1, len(colours))
    return np.stack([np.interp(share, points, channel) for channel in zip(*colours, strict=True)], axis=-1)


def _bytes(values: Floats) -> Bytes:
    return values.round().clip(0, 255).astype(np.uint8)
