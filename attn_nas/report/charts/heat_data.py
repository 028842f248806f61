"""Data of a heat map: what each mechanism at each site adds to one network."""

from __future__ import annotations

from typing import Any

from attn_nas.format import written
from attn_nas.report.charts.candidate_rows import rounded
from attn_nas.sampling.insight import Additions, Effect
from attn_nas.space.metric import Metric


def heat_data(additions: Additions, label: str, metric: Metric) -> dict[str, Any]:
    """Return sites as rows, mechanisms as columns and the cells that the space allows, as plain data.

    A cell has the indices of its row and column, the ``change`` of the metric with its 90 % interval ``low`` to ``high`` (in
    points where it is bounded), whether it is ``good`` (in the direction of the metric) and ``sure`` (the interval excludes
    zero), and the number of ``trained`` networks. Without any, its ``change`` is inferred from other cells.
    """
    mechanisms = [effect.what for effect in additions.mechanisms]
    return {
        "label": label,
        "sites": [*additions.cells],
        "mechanisms": [written(name) for name in mechanisms],
        "unit": metric.change_unit,
        "cells": [
            {"row": row, "column": mechanisms.index(name), **_cell(effect, metric)}
            for row, effects in enumerate(additions.cells.values())
            for name, effect in effects.items()
        ],
    }


def _cell(effect: Effect, metric: Metric) -> dict[str, Any]:
    unit, text = 100 if metric.bounded else 1, metric.signed(effect.change, 1)
    low, high = sorted(rounded(unit * metric.change(end)) for end in (effect.low, effect.high))
    return {
        "change": rounded(unit * metric.change(effect.change)),
        "text": text if float(text) else text.lstrip("+-"),
        "low": low,
        "high": high,
        "good": effect.change > 0,
        "sure": effect.beyond_noise,
        "trained": effect.trained,
        "placement": effect.placement,
    }
