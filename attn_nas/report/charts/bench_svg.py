"""Draw a comparison of search strategies."""

from __future__ import annotations

from collections.abc import Sequence
from math import isnan

from attn_nas.benchmark import StrategyComparison, Summary
from attn_nas.report.charts.line_svg import Series, line_svg


def bench_svg(comparison: StrategyComparison, over: str = "trials") -> str:
    """Draw the regret of each strategy over ``trials`` or over simulated ``seconds``, with bands of one standard error."""
    series = []
    for played in comparison.results:
        if over == "seconds":
            curve = [(time, played.at(time)) for time in comparison.times]
        else:
            curve = [(float(number), played.after(number)) for number in range(1, comparison.terms.budget + 1)]
        series.append(_series(played.strategy, curve))
    title = f"{comparison.landscape}: regret to the true front, mean and standard error of {comparison.seeds} searches"
    label = "simulated seconds" if over == "seconds" else "trials"
    return line_svg(title, label, "regret: hypervolume, points", series)


def _series(name: str, curve: Sequence[tuple[float, Summary]]) -> Series:
    points = [(x, 100 * summary.regret.value) for x, summary in curve]
    errors = [100 * summary.regret.standard_error for _, summary in curve]
    return Series(name, points, [0.0 if isnan(error) else error for error in errors])
