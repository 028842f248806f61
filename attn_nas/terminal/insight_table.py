"""What placements add to the bare trunk and to the pick, in a terminal: tables and notes."""

from __future__ import annotations

from rich.table import Table

from attn_nas.format import after_epochs
from attn_nas.sampling.insight import Additions, Effect, Insight
from attn_nas.space.metric import ACCURACY, Metric

_HEADINGS = ("90 % interval", "best placement", "networks", "")
_WORDS = ("best placement", "")


def insight_tables(insight: Insight, metric: Metric = ACCURACY) -> list[Table]:
    """For each network that placements are added to: effects by mechanism, position and site, then mechanisms at sites."""
    return [table for additions in insight.both for table in _tables(additions, metric)]


def _tables(additions: Additions, metric: Metric) -> list[Table]:
    heading = additions.heading
    grid = Table(
        box=None, title=f"mechanism at a site: {heading}", title_justify="left", title_style="bold", padding=(0, 1, 0, 0)
    )
    grid.add_column("site", no_wrap=True)
    names = [effect.what for effect in additions.mechanisms]
    for name in names:
        grid.add_column(name, justify="right", no_wrap=True)
    for site, row in additions.cells.items():
        grid.add_row(site, *(_cell(row.get(name), metric) for name in names))
    return [
        _effects("mechanism", heading, additions.mechanisms, metric),
        _effects("position", heading, additions.positions, metric),
        _effects("site", heading, additions.sites, metric),
        grid,
    ]


def _effects(kind: str, heading: str, effects: tuple[Effect, ...], metric: Metric) -> Table:
    table = Table(box=None, title=f"{kind}: {heading}", title_justify="left", title_style="bold", padding=(0, 1, 0, 0))
    table.add_column(kind, no_wrap=True)
    for name in (metric.change_unit or metric.name, *_HEADINGS):
        table.add_column(name, justify="left" if name in _WORDS else "right", no_wrap=True)
    for effect in sorted(effects, key=lambda effect: -effect.change) if kind != "site" else effects:
        interval = f"[{', '.join(metric.signed_interval(effect.low, effect.high))}]"
        place = effect.placement if kind == "site" else f"{effect.site}: {effect.placement}"
        note = "" if effect.beyond_noise else "no effect beyond noise"
        table.add_row(effect.what, metric.signed(effect.change), interval, place, str(effect.trained), note)
    return table


def _cell(effect: Effect | None, metric: Metric) -> str:
    if effect is None:
        return ""
    change = metric.signed(effect.change)
    return change if effect.beyond_noise else f"({change})"


def insight_notes(insight: Insight, metric: Metric, epochs: int) -> list[str]:
    """Sentences below the tables: how the effects are estimated, after how many ``epochs``, and how to read them."""
    notes = [
        f"Estimated from {insight.networks} networks {after_epochs(epochs)}: {metric.name} with a placement at a site minus "
        f"{metric.name} with that site empty, for the best placement of its kind. Noise between seeds: "
        f"± {metric.spread_text(insight.noise)}. In brackets: no effect beyond noise."
    ]
    if insight.nothing_found:
        notes.append("No placement has an effect beyond noise: more candidates or seeds may find one.")
    return notes
