"""A comparison of search strategies in a terminal: summary and tables."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from attn_nas.benchmark import StrategyComparison, StrategyResult
from attn_nas.format import duration


def bench_summary(comparison: StrategyComparison) -> str:
    """Describe the landscape and the terms of the simulated searches."""
    terms, first = comparison.terms, comparison.results[0]
    best, reference = (100 * float(values.mean()) for values in (first.best, first.reference))
    noise = "the true accuracy" if terms.noise_free else "the accuracy of one training"
    return (
        f"{comparison.landscape} ({comparison.about}): {comparison.seeds} searches of {terms.budget} trials by each strategy, "
        f"{terms.workers} at a time, each on an instance of its own; a trial returns {noise}. Hypervolume is the gain over the "
        f"bare trunk in points of true accuracy, averaged over budgets: {reference:.2f} for the references, {best:.2f} for the "
        "true front."
    )


def bench_tables(comparison: StrategyComparison) -> list[Table]:
    """Tables of the recovered share of the headroom after trials and after simulated time, then of the final values.

    The headroom is the hypervolume between the references and the true front.
    """
    best_first = sorted(comparison.results, key=lambda each: -each.after(comparison.terms.budget).hypervolume.value)
    recovered = "headroom recovered, % ± standard error"
    growth = _table(recovered, [f"{number} trials" for number in comparison.checkpoints])
    quarters = [comparison.times[-1] * quarter / 4 for quarter in range(1, 5)]
    timed = _table(f"{recovered}, after simulated time", [duration(seconds) for seconds in quarters])
    first = comparison.results[0]
    end = _table(
        f"after {comparison.terms.budget} trials", ["hypervolume", f"over {first.strategy}", "regret", "repeated", "time"]
    )
    for played in best_first:
        name = Text(played.strategy)
        growth.add_row(name, *(played.after(number).recovered.hundredths(0) for number in comparison.checkpoints))
        timed.add_row(name, *(played.at(seconds).recovered.hundredths(0) for seconds in quarters))
        end.add_row(name, *_at_the_end(comparison, played, first))
    return [growth, timed, end]


def _table(title: str, headings: list[str]) -> Table:
    table = Table(box=None, title=title, title_justify="left", title_style="bold", padding=(0, 2, 0, 0))
    table.add_column("strategy", no_wrap=True)
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def _at_the_end(comparison: StrategyComparison, played: StrategyResult, first: StrategyResult) -> list[str]:
    last = played.after(comparison.terms.budget)
    return [
        last.hypervolume.hundredths(),
        "" if played is first else played.lead(first).hundredths(signed=True),
        last.regret.hundredths(),
        f"{100 * played.repeated:.0f} %",
        duration(float(played.seconds[:, -1].mean())),
    ]
