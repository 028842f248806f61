"""Turns an image file into pixels of a fixed size.

It imports numpy and Pillow alone, so that a copy of this file works by itself.
"""

from __future__ import annotations

from functools import lru_cache
from os import PathLike

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageFile, ImageOps, TiffImagePlugin

_NOT_READ = ("EPS", "MPEG")
"""Formats that Pillow recognises, but draws with another program or cannot decode."""

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""How an image with an orientation of EXIF (tag 274) is turned upright."""


_JPEG = b"\xff\xd8\xff"
"""The first bytes of a JPEG, by which Pillow knows it too."""
_FRAMES, _TABLES, _SCAN = (0xC0, 0xC2), (0xC4, 0xDB, 0xDD, 0xE0, 0xFE), 0xDA
"""Markers of a JPEG: those of a baseline or progressive image; of tables, JFIF and comments; of the compressed pixels."""
_SMALL = 1 << 16
"""Bytes of the longest file that is decoded without being opened as an image."""


class UnsuitableImageError(ValueError):
    """The values of an image have no known range."""


@lru_cache(maxsize=1)
def readable_formats() -> tuple[str, ...]:
    """Formats that this installation of Pillow can decode by itself, such as ``JPEG``."""
    Image.init()
    return tuple(
        name
        for name, (reader, _) in Image.OPEN.items()
        if name not in _NOT_READ and not (isinstance(reader, type) and issubclass(reader, ImageFile.StubImageFile))
    )


def read_image(path: str | PathLike[str], size: int | tuple[int, int], rule: int) -> NDArray[np.uint8]:
    """Read an image as RGB bytes ``(height, width, 3)``: its middle in these proportions is cut out and resized to them.

    ``size`` is the side of a square, or height and width. Rule 2 turns the image upright by its EXIF orientation, scales values
    of more than 8 bits by the range of their type, puts transparent images on white, takes the first frame of several, and
    decodes a JPEG of at least four times the longer side at half, a quarter or an eighth of its width, but at least twice that
    side. Rule 1 converts to RGB as Pillow does and does no more.

    Raises:
        UnsuitableImageError: values of more than 8 bits are outside the range that is known for their type.
        Exception: Pillow cannot read the file; its decoders raise exceptions of many types.

    """
    height, width = size if isinstance(size, tuple) else (size, size)
    side = max(height, width)
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123  much faster than a Path, and there are many
        begin = file.read(_SMALL)
    plain = _plain_jpeg(begin, 4 * side)
    if plain is not None:
        return fitted(plain, width, height)
    formats = ("JPEG",) if begin.startswith(_JPEG) else None if rule == 1 else readable_formats()
    with Image.open(path, formats=formats) as opened:
        return fitted(in_colours(opened, side, rule), width, height)


def _plain_jpeg(data: bytes, limit: int) -> Image.Image | None:
    """A whole JPEG of fewer than ``limit`` pixels a side as RGB, by Pillow's decoder; None if it must be opened.

    Pillow parses a header in Python, which takes as long as decoding a small image. Only an image in colours or grey without
    EXIF, profile or other notes on its meaning is decoded here, to the same pixels; errors are left to `PIL.Image.open`.
    """
    if not data.startswith(_JPEG) or len(data) >= _SMALL:
        return None
    at, frame = 2, b""
    while (marker := data[at + 1 : at + 2]) and marker[0] != _SCAN:
        if marker[0] in _FRAMES and not frame:
            frame = data[at + 4 : at + 10]
        elif marker[0] not in _TABLES:
            return None
        at += 2 + int.from_bytes(data[at + 2 : at + 4])
    if len(frame) < 6 or frame[0] != 8 or frame[5] not in (1, 3):
        return None
    height, width = int.from_bytes(frame[1:3]), int.from_bytes(frame[3:5])
    if not (0 < height < limit and 0 < width < limit):
        return None
    mode = "RGB" if frame[5] == 3 else "L"
    try:
        image = Image.frombytes(mode, (width, height), data, "jpeg", mode, "")
    except (OSError, ValueError):
        return None
    return image if mode == "RGB" else image.convert("RGB")


def in_colours(opened: Image.Image, size: int, rule: int) -> Image.Image:
    """An image as RGB of 8 bits, by `read_image`'s rule; a JPEG that is not loaded yet is decoded at a reduced width.

    Raises:
        UnsuitableImageError, Exception: see `read_image`.

    """
    if rule == 1:
        return opened.convert("RGB")
    opened.draft(None, (2 * size, 2 * size))
    opened.load()
    colours = _eight_bits_of(opened)
    turn = _UPRIGHT.get(_orientation(opened)) if _has_orientation(opened) else None
    return colours if turn is None else colours.transpose(turn)


def fitted(image: Image.Image, width: int, height: int) -> NDArray[np.uint8]:
    """The middle of an image in the proportions of ``width`` and ``height``, resized to them, as ``(height, width, bands)``."""
    if image.size == (width, height):
        return np.array(image)
    return np.array(ImageOps.fit(image, (width, height), Image.Resampling.BILINEAR))


def _has_orientation(image: Image.Image) -> bool:
    """Whether a loaded image may have an orientation: a JPEG without EXIF and XMP has none, and most are without."""
    return image.format != "JPEG" or any(key in image.info for key in ("exif", "xmp", "Raw profile type exif"))


def _orientation(image: Image.Image) -> int:
    """The orientation in the EXIF data of a loaded image; 1, which is upright, where they cannot be read."""
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # noqa: BLE001  damaged EXIF data raise anything, and the pixels are readable
        return 1


def _eight_bits_of(image: Image.Image) -> Image.Image:
    """A loaded image as RGB of 8 bits, not turned."""
    if image.mode == "F" or image.mode.startswith("I"):
        grey = Image.fromarray(_in_eight_bits(np.asarray(image), _largest(image)))
        return (ImageOps.invert(grey) if _is_negative(image) else grey).convert("RGB")
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")
    return image.convert("RGB")


def _largest(image: Image.Image) -> int:
    """The largest value that an image of more than 8 bits may have: 1 for floats, 65535 for integers, 4095 for 12 bits."""
    if image.mode == "F":
        return 1
    twelve = isinstance(image, TiffImagePlugin.TiffImageFile) and image.tag_v2.get(ExifTags.Base.BitsPerSample) == (12,)
    return 4095 if twelve else 65535


def _is_negative(image: Image.Image) -> bool:
    """Whether 0 is white in an image of more than 8 bits, as in TIFFs of X-rays; Pillow turns those of 8 bits round itself."""
    tag = ExifTags.Base.PhotometricInterpretation
    return isinstance(image, TiffImagePlugin.TiffImageFile) and image.tag_v2.get(tag) == 0


def _in_eight_bits(values: NDArray[np.generic], most: int) -> NDArray[np.uint8]:
    """Scale values from 0 to ``most`` to 0..255.

    Raises:
        UnsuitableImageError: a value is below 0, above ``most``, or not a number.

    """
    low, high = float(values.min()), float(values.max())
    if not (low >= 0 and high <= most):
        kind = "floats must be from 0 to 1" if most == 1 else f"integers of more than 8 bits must be from 0 to {most}"
        raise UnsuitableImageError(
            f"its values are from {low:.10g} to {high:.10g}, but {kind}: scale them, or save 8 bits per value"
        )
    scaled = values.astype(np.float32) * (255 / most)
    return (scaled + 0.5).astype(np.uint8)
