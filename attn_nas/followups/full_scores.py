"""Reads what a full training has reached, for pages that show it beside the estimates of the search."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import nan
from typing import Any

from attn_nas.errors import RunError
from attn_nas.runs.folder import RunFolder
from attn_nas.space.metric import Metric


@dataclass(frozen=True)
class FullScore:
    """Mean score of a network after full training, with its 95 % interval (NaN for one seed), and its gain over no attention.

    Scores are those of the run's metric, which are maximised; ``gain`` is a difference in the metric itself, in its direction:
    mean, low, high. It is None for no attention itself and for networks that were not compared with it.
    """

    key: str
    name: str
    score: float
    low: float
    high: float
    gain: tuple[float, float, float] | None


@dataclass(frozen=True)
class FullScores:
    """The ``networks`` of the last full training of a run: ``epochs`` with each of so many ``seeds``, winners first."""

    epochs: int
    seeds: int
    networks: tuple[FullScore, ...]

    @classmethod
    def read(cls, folder: RunFolder, metric: Metric) -> FullScores | None:
        """Read the full training of a run; None if there is none.

        Raises:
            RunError: its file cannot be read or is damaged.

        """
        path = folder.path / "retraining.json"
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
            plan = document["plan"]
            networks = tuple(_score(row, metric) for row in document["networks"])
            return cls(int(plan["recipe"]["epochs"]), len(plan["seeds"]), networks)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise RunError(f"{path} cannot be read: {error.strerror}") from None
        except (ValueError, KeyError, TypeError, AttributeError):
            raise RunError(f"{path} is damaged: the same attn-nas retrain writes it again") from None


def _score(row: Mapping[str, Any], metric: Metric) -> FullScore:
    low, high = sorted(nan if end is None else metric.score(end) for end in (row["low"], row["high"]))
    return FullScore(row["key"], row["name"], metric.score(row[metric.name]), low, high, _gain(row["gains"].get("bare")))


def _gain(stored: Mapping[str, float | None] | None) -> tuple[float, float, float] | None:
    if stored is None:
        return None
    mean, low, high = (nan if stored[name] is None else float(stored[name] or 0.0) for name in ("mean", "low", "high"))
    return mean, low, high
