"""The page of the rooms: their picture from the import contracts in pyproject.toml, their list from their docstrings."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Sequence
from pathlib import Path

from attn_nas.drawing.canvas import document, text_width
from generators.markdown import drawing, front_matter, table

ROOT = Path(__file__).resolve().parents[2]
_PACKAGE = "attn_nas"
_LEFT, _TOP, _HEIGHT, _STEP, _GAP, _PADDING, _FONT = 24.0, 48.0, 30.0, 42.0, 14.0, 14.0, 13.0


def layers() -> list[list[str]]:
    """The rooms by layer, the uppermost first, as the contract has them; a room imports from the layers below it alone."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
    (found,) = (contract["layers"] for contract in contracts if contract["type"] == "layers")
    return [[name.strip().removeprefix(f"{_PACKAGE}.") for name in layer.split("|")] for layer in found]


def _purpose(room: str) -> str:
    """The docstring of a package or a module, as one line of Markdown."""
    path = ROOT / _PACKAGE / room / "__init__.py"
    source = path if path.exists() else ROOT / _PACKAGE / f"{room}.py"
    text = ast.get_docstring(ast.parse(source.read_text(encoding="utf-8"))) or ""
    return " ".join(text.partition("\n\n")[0].split()).replace("``", "`")


def picture() -> str:
    """A self-contained SVG document: one row for each layer, the command line above, the version below."""
    parts, width = [], 0.0
    for number, rooms in enumerate(layers()):
        x, y = _LEFT, _TOP + number * _STEP
        for room in rooms:
            wide = text_width(room, _FONT) + 2 * _PADDING
            parts.append(f'<rect class="panel" x="{x:.0f}" y="{y:.0f}" width="{wide:.0f}" height="{_HEIGHT:.0f}" rx="6"/>')
            parts.append(
                f'<text class="ink" x="{x + wide / 2:.0f}" y="{y + 20:.0f}" font-size="{_FONT:.0f}" '
                f'text-anchor="middle">{room}</text>'
            )
            x += wide + _GAP
        width = max(width, x)
        if number:
            parts.append(f'<path class="line" d="M{_LEFT + 20:.0f} {y - _STEP + _HEIGHT:.0f}v{_STEP - _HEIGHT:.0f}"/>')
    height = _TOP + len(layers()) * _STEP
    return document("Rooms: each imports from those below it", max(width + _LEFT, 360), height, parts, (int(_LEFT), 28))


def page() -> str:
    """The page of the rooms."""
    return "\n\n".join(
        [
            front_matter("The rooms of the package, what each is for, and which imports which.") + "# Architecture",
            "The package is a set of rooms. A room has one subject, and imports only from the rooms below it, so data flow one "
            "way. `lint-imports` checks this with the contracts in `pyproject.toml`, from which the picture is drawn. "
            "Rooms of one row do not import each other.",
            drawing(picture()),
            table(("room", "what it is for"), _rows()),
            "A search in one line: `space` (YAML or keywords to genotypes) → `models` (networks) → `cost` and `data` → "
            "`training` (one candidate) and `sampling` (the next one) → `execution` (where trainings run) and `runs` (what is "
            "on disk) → `engine` (the search) → `followups`, `export`, `report`, `terminal`, `dashboard` → `cli`. The reasons "
            "for single choices: [decisions](decisions/index.md).",
        ]
    )


def _rows() -> list[Sequence[str]]:
    return [(f"`{room}`", _purpose(room)) for rooms in layers() for room in rooms]
