"""Effects of mechanisms, positions and sites on accuracy in a terminal: tables and notes."""

from __future__ import annotations

from rich.table import Table

from attn_nas.sampling.insight import Effect, Insight
from attn_nas.space.metric import ACCURACY, Metric

_HEADINGS = ("90 % interval", "networks with it", "")


def insight_tables(insight: Insight, metric: Metric = ACCURACY) -> list[Table]:
    """Tables of the effects on ``metric`` by mechanism, by position and by site, then of each mechanism at each site."""
    tables = [
        _effects("mechanism", insight.mechanisms, metric),
        _effects("position", insight.positions, metric),
        _effects("site", insight.sites, metric),
    ]
    grid = Table(box=None, title="mechanism at a site", title_justify="left", title_style="bold", padding=(0, 1, 0, 0))
    grid.add_column("site", no_wrap=True)
    names = [effect.what for effect in insight.mechanisms]
    for name in names:
        grid.add_column(name, justify="right", no_wrap=True)
    for site, row in insight.cells.items():
        grid.add_row(site, *(_cell(row.get(name), metric) for name in names))
    return [*tables, grid]


def _effects(kind: str, effects: tuple[Effect, ...], metric: Metric) -> Table:
    table = Table(box=None, title=kind, title_justify="left", title_style="bold", padding=(0, 1, 0, 0))
    table.add_column(kind, no_wrap=True)
    change = f"change of {metric.name}" + f", {metric.change_unit}" * bool(metric.change_unit)
    for heading in (change, *_HEADINGS):
        table.add_column(heading, justify="right" if heading else "left", no_wrap=True)
    for effect in sorted(effects, key=lambda effect: -effect.change) if kind != "site" else effects:
        interval = f"[{', '.join(metric.signed_interval(effect.low, effect.high))}]"
        note = "" if effect.beyond_noise else "no effect beyond noise"
        table.add_row(effect.what, metric.signed(effect.change), interval, str(effect.trained), note)
    return table


def _cell(effect: Effect | None, metric: Metric) -> str:
    if effect is None:
        return ""
    change = metric.signed(effect.change)
    return change if effect.beyond_noise else f"({change})"


def insight_notes(insight: Insight, metric: Metric = ACCURACY) -> list[str]:
    """Sentences below the tables: how the effects are estimated, and how to read them."""
    notes = [
        f"Estimated from {insight.networks} networks: {metric.name} with a mechanism at one site minus {metric.name} with that "
        f"site empty. Noise between seeds: ± {metric.spread_text(insight.noise)}. In brackets: no effect beyond noise."
    ]
    if insight.nothing_found:
        notes.append("No mechanism, position or site has an effect beyond noise: more candidates or seeds may find one.")
    return notes
