"""Draw comparisons of networks: a row for each image, with the activation maps and the gates of each network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from math import ceil
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from attn_nas.format import after_epochs, reference_label
from attn_nas.maps import ActivationMap, Gate, NetworkComparison, ObservedNetwork
from attn_nas.report.raster import Size, fitted, gate_colours, gate_map, heat_colours, heated, picture
from attn_nas.report.result_files import write_files

_BOX = 140
_STRIP = 12
_GAP, _GROUP_GAP, _MARGIN = 10, 30, 20
_LINE = 17
_INK, _GREY, _WRONG = "#333333", "#777777", "#b34700"
_MIN_RANGE = 0.05
_EVIDENCE = "evidence for the predicted class, from none to the maximum of the map"
_SCALE = "effect of a mechanism, from the lower to the upper value above its column; the strip below: its channels"
_KINDS = {
    "gate": "gate: factor by which the input is multiplied (1: no change)",
    "change": "change: norm of the change relative to the norm of the input (0: no change)",
    "output": "output: output of a module that replaces a convolution, relative to its mean",
}
_WORTH = (
    "lost if frozen: accuracy lost if the module is frozen (it scales by its mean, or changes nothing), without training again"
)


def write_maps(comparisons: Sequence[NetworkComparison], folder: str | Path) -> list[Path]:
    """Write a picture ``KEY.png`` of each comparison into ``folder``, whole or not at all; returns their paths.

    Raises:
        ExportError: the folder cannot be written.

    """
    return write_files({f"{each.networks[0].key}.png": maps_png(each) for each in comparisons}, Path(folder))


def maps_png(comparison: NetworkComparison) -> bytes:
    """The picture of `maps_image` as a PNG file."""
    content = BytesIO()
    maps_image(comparison).save(content, "PNG", optimize=True)
    return content.getvalue()


def maps_image(comparison: NetworkComparison) -> Image.Image:
    """Draw a row for each image: the image, then for each network its activation maps and its gates.

    Each activation map shows the evidence for the predicted class, relative to the maximum of the map. A gate is drawn by place
    and, below, by channel. All rows of a gate, its places and its channels share one scale, written above the column; it spans
    at least 5 % of the gate's mean, so that a tiny effect does not look large. For other kinds of modules, places and channels
    have separate scales.
    """
    height, width = comparison.sample.images.shape[2:]
    size = fitted(width, height, _BOX)
    groups = [_images(comparison, size)]
    for network, activations in zip(comparison.networks, comparison.activations, strict=True):
        groups.append(_network(comparison, network, activations, size))
    return _Sheet(groups, size, _title(comparison), _legend(comparison)).image()


@dataclass(frozen=True)
class _Column:
    """Lines of text above a column, and a cell for each row."""

    heading: Sequence[str]
    cells: Sequence[Image.Image]


@dataclass(frozen=True)
class _Group:
    """Columns under one heading, with a caption above each row; the flag of a caption marks a wrong prediction."""

    heading: Sequence[str]
    captions: Sequence[tuple[str, bool]]
    columns: Sequence[_Column]


def _title(comparison: NetworkComparison) -> tuple[str, str]:
    first, *others = comparison.networks
    compared = f", compared with {' and '.join(reference_label(network.name) for network in others)}" if others else ""
    return f"{comparison.title}: where {reference_label(first.name)} looks{compared}", f"{first.key}: {first.genotype}"


def _legend(comparison: NetworkComparison) -> list[tuple[Image.Image | None, str]]:
    """Lines of the legend: a colour scale or None, and its explanation."""
    bar = (_BOX, _STRIP)
    lines: list[tuple[Image.Image | None, str]] = [(heat_colours(bar), _EVIDENCE)]
    kinds = {gate.kind for network in comparison.networks for gate in network.gates}
    if kinds:
        lines.append((gate_colours(bar), _SCALE))
        lines += [(None, text) for kind, text in _KINDS.items() if kind in kinds]
        lines.append((None, _WORTH))
    return lines


def _images(comparison: NetworkComparison, size: Size) -> _Group:
    shown = comparison.sample.take(comparison.shown)
    captions = [(f"class {label}", False) for label in shown.labels.tolist()]
    return _Group(("validation image",), captions, [_Column((), [picture(pixels, size) for pixels in shown.images])])


def _network(
    comparison: NetworkComparison, network: ObservedNetwork, activations: Sequence[ActivationMap], size: Size
) -> _Group:
    shown = comparison.shown
    pixels = comparison.sample.images[shown]
    captions = [
        (f"{'right' if right else 'wrong'}: {predicted}, {probability:.0%}", not right)
        for right, predicted, probability in zip(
            network.right[shown].tolist(), network.predicted[shown].tolist(), network.probability[shown].tolist(), strict=True
        )
    ]
    columns = [_activation_column(activation, pixels, size) for activation in activations]
    columns += [_gate_column(gate, worth, shown, size) for gate, worth in zip(network.gates, network.worth, strict=True)]
    images = f"{len(comparison.sample):,} images"
    accuracy = f"accuracy {100 * network.accuracy:.1f} % {after_epochs(comparison.epochs)}, on {images}"
    return _Group((reference_label(network.name), accuracy), captions, columns)


def _activation_column(activation: ActivationMap, pixels: Tensor, size: Size) -> _Column:
    height, width = activation.values.shape[1:]
    cells = [heated(image, evidence, size) for image, evidence in zip(pixels, activation.values, strict=True)]
    return _Column((activation.method, activation.where, f"{height} x {width}"), cells)


def _gate_column(gate: Gate, worth: float | None, shown: Tensor, size: Size) -> _Column:
    maps, strips = gate.by_place[shown], gate.by_channel[shown]
    shared = gate.kind == "gate"
    of_places, of_channels = (_limits(maps, strips),) * 2 if shared else (_limits(maps), _limits(strips))
    cells = []
    for places, channels in zip(maps, strips, strict=True):
        cell = Image.new("RGB", (size[0], size[1] + 2 + _STRIP), "white")
        cell.paste(gate_map(places, of_places, size))
        cell.paste(gate_map(channels[None], of_channels, (size[0], _STRIP)), (0, size[1] + 2))
        cells.append(cell)
    heading = [str(gate.site), str(gate.placement), _range(gate.kind, of_places)]
    if not shared:
        heading.append(_range("channels", of_channels))
    if worth is not None:
        heading.append(f"{100 * worth:.1f} points lost if frozen")
    return _Column(heading, cells)


def _range(name: str, limits: tuple[float, float]) -> str:
    return f"{name} {limits[0]:.2f} to {limits[1]:.2f}"


def _limits(*values: Tensor) -> tuple[float, float]:
    """Minimum and maximum of ``values``, widened to at least 5 % of their middle."""
    low, high = min(float(each.min()) for each in values), max(float(each.max()) for each in values)
    middle = (low + high) / 2
    half = max((high - low) / 2, _MIN_RANGE / 2 * abs(middle), 1e-6)
    return middle - half, middle + half


class _Sheet:
    """Lays out groups of columns side by side, each as wide as its widest text or cell."""

    def __init__(
        self,
        groups: Sequence[_Group],
        cell: Size,
        title: Sequence[str],
        legend: Sequence[tuple[Image.Image | None, str]],
    ) -> None:
        self._groups, self._title, self._legend = groups, title, legend
        self._fonts = {name: ImageFont.load_default(size) for name, size in (("plain", 12), ("heading", 14), ("title", 17))}
        self._row_height = _LINE + cell[1] + 2 + _STRIP + _GAP
        self._heading_top = _MARGIN + 24 + _LINE + _GAP
        self._lines = max(len(group.heading) for group in groups)
        self._column_lines = max(len(column.heading) for group in groups for column in group.columns)
        self._rows_top = self._heading_top + (self._lines + self._column_lines) * _LINE + _GAP

    def image(self) -> Image.Image:
        """Draw the sheet."""
        number = len(self._groups[0].captions)
        legend_top = self._rows_top + number * self._row_height + _GAP
        inner = [sum(map(self._group_width, self._groups)) + _GROUP_GAP * (len(self._groups) - 1)]
        inner += [self._width(self._title[0], "title"), self._width(self._title[1])]
        inner += [_BOX + _GAP + self._width(text) for _, text in self._legend]
        sheet = Image.new("RGB", (2 * _MARGIN + max(inner), legend_top + len(self._legend) * _LINE + _MARGIN), "white")
        draw = ImageDraw.Draw(sheet)
        draw.text((_MARGIN, _MARGIN), self._title[0], _INK, self._fonts["title"])
        draw.text((_MARGIN, _MARGIN + 24), self._title[1], _GREY, self._fonts["plain"])
        x = _MARGIN
        for group in self._groups:
            self._draw_group(sheet, draw, group, x)
            x += self._group_width(group) + _GROUP_GAP
        for line, (scale, text) in enumerate(self._legend):
            y = legend_top + line * _LINE
            if scale:
                sheet.paste(scale, (_MARGIN, y + 2))
            draw.text((_MARGIN + _BOX + _GAP, y), text, _GREY, self._fonts["plain"])
        return sheet

    def _draw_group(self, sheet: Image.Image, draw: ImageDraw.ImageDraw, group: _Group, x: int) -> None:
        for line, text in enumerate(group.heading):
            font, colour = ("plain", _GREY) if line else ("heading", _INK)
            draw.text((x, self._heading_top + line * _LINE), text, colour, self._fonts[font])
        for row, (caption, is_wrong) in enumerate(group.captions):
            y = self._rows_top + row * self._row_height
            draw.text((x, y), caption, _WRONG if is_wrong else _INK, self._fonts["plain"])
        for column in group.columns:
            for line, text in enumerate(column.heading):
                y = self._heading_top + (self._lines + line) * _LINE + _GAP // 2
                draw.text((x, y), text, _GREY, self._fonts["plain"])
            for row, cell in enumerate(column.cells):
                sheet.paste(cell, (x, self._rows_top + row * self._row_height + _LINE))
            x += self._column_width(column) + _GAP

    def _group_width(self, group: _Group) -> int:
        columns = sum(map(self._column_width, group.columns)) + _GAP * (len(group.columns) - 1)
        captions = [self._width(caption) for caption, _ in group.captions]
        return max(columns, *(self._width(text, "heading") for text in group.heading), *captions)

    def _column_width(self, column: _Column) -> int:
        return max(column.cells[0].width, *(self._width(text) for text in column.heading), 0)

    def _width(self, text: str, font: str = "plain") -> int:
        return ceil(self._fonts[font].getlength(text))
