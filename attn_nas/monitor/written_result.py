"""The result that a search has written into its run folder: its pick and its front, read without its trials."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attn_nas.space.metric import Metric


@dataclass(frozen=True)
class WrittenNetwork:
    """A network in a written result: the ``value`` of its metric, and ``added_share``, its added FLOPs as a share."""

    key: str
    name: str
    glyph: str
    value: float
    added_share: float

    @classmethod
    def of(cls, row: Mapping[str, Any], metric: Metric) -> WrittenNetwork:
        """Read a row of ``front.json``; those of older versions have no name, and are called by their placements."""
        name, added = row.get("name") or row["summary"], int(row["added_flops"])
        share = added / (int(row["flops"]) - added)
        return cls(row["key"], str(name), str(row.get("glyph", "")), float(row[metric.name]), share)


@dataclass(frozen=True)
class WrittenResult:
    """Pick and front of a run; ``pick`` is None in results of older versions."""

    pick: WrittenNetwork | None
    front: tuple[WrittenNetwork, ...]

    @classmethod
    def of(cls, folder: Path, metric: Metric) -> WrittenResult | None:
        """Read the result in the run ``folder``; None if there is none yet, or if it is damaged."""
        try:
            document = json.loads((folder / "front.json").read_text(encoding="utf-8"))
            front, references = (
                tuple(WrittenNetwork.of(row, metric) for row in document[part]) for part in ("front", "references")
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError, ZeroDivisionError):
            return None
        return cls(_pick_of(document, (*front, *references), metric), front)


def _pick_of(document: Mapping[str, Any], listed: Sequence[WrittenNetwork], metric: Metric) -> WrittenNetwork | None:
    """The pick, which has a row of its own under ``picked``; in results without that, the one of ``listed`` with its key."""
    try:
        return WrittenNetwork.of(document["picked"], metric)
    except (ValueError, KeyError, TypeError, AttributeError, ZeroDivisionError):
        return next((each for each in listed if each.key == document.get("pick")), None)
