"""Looks at a user's data before a search space is written: what kind they are, and the sizes and channels of the images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attn_nas.data.groups import read_table
from attn_nas.data.image_folder import is_divided
from attn_nas.data.listing import ImageListing, list_images, shown
from attn_nas.data.slices import is_slice
from attn_nas.errors import DataError, UsageError

_SAMPLED = 2000
_MODES = {
    "L": "grey",
    "RGB": "colour",
    "RGBA": "colour with transparency",
    "P": "palette",
    "CMYK": "CMYK",
    "1": "black and white",
}


@dataclass(frozen=True)
class Inspection:
    """What data are.

    Args:
        settings: the section ``data`` of a search space, without sizes and numbers.
        number: how many images training and validation images come from; 0 for arrays.
        sizes: height and width of each image of a sample, in pixels; empty for arrays, whose size is fixed.
        modes: how many images of the sample are grey, in colour, or of 16 bits.
        lines: sentences about what was found.
        num_classes: how many classes a folder has; 0 for other data.

    """

    settings: dict[str, Any]
    number: int
    sizes: tuple[tuple[int, int], ...]
    modes: dict[str, int]
    lines: tuple[str, ...]
    num_classes: int = 0

    @property
    def median_side(self) -> int | None:
        """Median of the shorter sides in pixels; None for arrays."""
        sides = sorted(min(size) for size in self.sizes)
        return sides[len(sides) // 2] if sides else None

    @property
    def common_size(self) -> tuple[int, int] | None:
        """Height and width if all images of the sample have the same."""
        return self.sizes[0] if self.sizes and len(set(self.sizes)) == 1 else None


def inspect(path: Path) -> Inspection:
    """Look at the names of the files at ``path``, and at the beginnings of a sample of them; no image is decoded.

    Raises:
        UsageError: there is nothing at ``path``, or it needs a network of the user's own.
        DataError: it is no data that can be read.

    """
    if not path.exists():
        raise UsageError(f"{shown(path)} does not exist: give a folder of images, a CSV list or a file of arrays")
    if path.is_file():
        if path.suffix.lower() == ".csv":
            return _of_list(path)
        if path.suffix.lower() == ".npz":
            if len([*path.parent.glob("*.npz")]) > 1:
                raise UsageError(f"there are other .npz files beside {shown(path)}: move it into a folder of its own")
            return Inspection({"name": "arrays", "root": path.parent}, 0, (), {}, (f"{shown(path)} is a file of arrays",))
        raise UsageError(f"{shown(path)} is one file: give a folder of images, a CSV list or an .npz file of arrays")
    if (path / "masks").is_dir() or (path / "train" / "masks").is_dir():
        raise UsageError(
            f"{shown(path)} has masks, and the trunks that come with attn-nas classify whole images: write a search space with "
            "a network of your own, and data {name: image_masks}"
        )
    if not any(each.is_dir() for each in path.iterdir()):
        if any(path.glob("*.np[yz]")):
            return Inspection({"name": "arrays", "root": path}, 0, (), {}, (f"{shown(path)} has arrays",))
        tables = sorted(path.glob("*.csv"))
        if len(tables) == 1:
            return _of_list(tables[0])
    return _of_folder(path)


def _of_folder(path: Path) -> Inspection:
    divided = is_divided(path)
    listing = list_images(path / "train" if divided else path)
    where = f"{shown(path)}/train" if divided else f"{shown(path)}, which has no splits"
    counts = Counter(label for _, label in listing.samples)
    lines = [f"{len(listing.samples):,} images of {len(listing.classes)} classes in {where}", _of_classes(listing, counts)]
    sizes, modes, damaged = _headers([file for file, _ in listing.samples])
    lines += _of_headers(sizes, modes, damaged)
    return Inspection(
        {"name": "image_folder", "root": path}, len(listing.samples), tuple(sizes), modes, tuple(lines), len(listing.classes)
    )


def _of_list(table: Path) -> Inspection:
    rows = read_table(table, ("path", "label"))
    files = [table.parent / row["path"] for row in rows]
    counts = Counter(row["label"] for row in rows)
    few, many = min(counts.values()), max(counts.values())
    lines = [f"{len(rows):,} images of {len(counts)} labels in {shown(table)}, {few:,} to {many:,} of each label"]
    settings = {"name": "image_list", "root": table.parent, "file": table.name}
    if any(map(is_slice, files)):
        raise UsageError(
            f"{shown(table)} names files of values, and only you know which of them matter: write a search space with data "
            "{name: image_list, window: [lowest, highest]}"
        )
    sizes, modes, damaged = _headers([*map(str, files)])
    return Inspection(settings, len(rows), tuple(sizes), modes, (*lines, *_of_headers(sizes, modes, damaged)))


def _of_classes(listing: ImageListing, counts: Counter[int]) -> str:
    few, many = min(counts.values()), max(counts.values())
    if len(listing.classes) <= 12:
        return "images of each class: " + ", ".join(f"{name} {counts[label]:,}" for label, name in enumerate(listing.classes))
    return f"images of each class: {few:,} to {many:,}"


def _headers(files: Sequence[str]) -> tuple[list[tuple[int, int]], dict[str, int], list[str]]:
    """Height and width, and the numbers of images by mode, from the beginnings of a sample of files; and those without."""
    from PIL import Image

    from attn_nas.data.pixels import readable_formats

    sizes: list[tuple[int, int]] = []
    modes: Counter[str] = Counter()
    damaged: list[str] = []
    for file in files[:: max(1, len(files) // _SAMPLED)]:
        try:
            with Image.open(file, formats=readable_formats()) as opened:
                turned = opened.getexif().get(274, 1) in (5, 6, 7, 8)
                sizes.append(opened.size if turned else opened.size[::-1])
                modes[_MODES.get(opened.mode, "16 bits" if opened.mode.startswith("I") else opened.mode)] += 1
        except Exception:  # noqa: BLE001  decoders raise exceptions of every type
            damaged.append(file)
    if not sizes:
        raise DataError(f"none of {len(damaged)} files is an image that can be read, for example {shown(damaged[0])}")
    return sizes, dict(modes), damaged


def _of_headers(sizes: Sequence[tuple[int, int]], modes: dict[str, int], damaged: Sequence[str]) -> list[str]:
    heights, widths = (sorted(size[axis] for size in sizes) for axis in (0, 1))
    if len(set(sizes)) == 1:
        lines = [f"all of {len(sizes):,} images looked at are {widths[0]} x {heights[0]} pixels (width x height)"]
    else:
        middle = len(sizes) // 2
        lines = [
            f"sizes of {len(sizes):,} images looked at: {widths[0]} to {widths[-1]} x {heights[0]} to {heights[-1]} pixels "
            f"(width x height), in the middle {widths[middle]} x {heights[middle]}"
        ]
    lines.append("channels: " + ", ".join(f"{count:,} {mode}" for mode, count in modes.items()))
    if damaged:
        lines.append(f"{len(damaged)} files cannot be opened, for example {shown(damaged[0])}")
    return lines
