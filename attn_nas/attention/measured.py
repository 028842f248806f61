"""Costs of the catalogue's mechanisms, measured by ``benchmarks/mechanisms.py``; no torch here."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any


@cache
def _document() -> dict[str, Any]:
    """The committed results: next to this file in a wheel, in ``benchmarks/results`` in a checkout."""
    here = Path(__file__).resolve()
    for path in (here.with_name("measured.json"), here.parents[2] / "benchmarks" / "results" / "mechanisms.json"):
        if path.exists():
            document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            return document
    return {"hardware": "no machine", "numerics": "not measured", "sizes": {}}


def measured_costs(channels: int, size: int) -> dict[str, dict[str, Any]]:
    """Costs by name of mechanism at ``channels`` channels and ``size x size`` pixels; empty for a size without measurements.

    Each entry has ``params``, ``macs``, ``flops`` (multiply-adds) and ``slowdown``: the time of a training ``step`` and of an
    ``inference`` of a basic block with the mechanism, divided by that of the bare block.
    """
    found: dict[str, dict[str, Any]] = _document()["sizes"].get(f"{channels}x{size}x{size}", {})
    return found


def measured_where() -> str:
    """Hardware and arithmetic of the measurement."""
    return f"{_document()['hardware']} ({_document()['numerics']})"
