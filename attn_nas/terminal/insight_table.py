"""What placements add to the bare trunk and to the pick, in a terminal: tables and notes."""

from __future__ import annotations

from rich.table import Table

from attn_nas.sampling.insight import Additions, Effect, Insight

_HEADINGS = ("points", "90 % interval", "best placement", "networks", "")
_NUMBERS = ("points", "90 % interval", "networks")


def insight_tables(insight: Insight) -> list[Table]:
    """For each network that placements are added to: effects by mechanism, position and site, then mechanisms at sites."""
    return [table for additions in insight.both for table in _tables(additions)]


def _tables(additions: Additions) -> list[Table]:
    heading = additions.heading
    grid = Table(
        box=None, title=f"mechanism at a site, {heading}", title_justify="left", title_style="bold", padding=(0, 1, 0, 0)
    )
    grid.add_column("site", no_wrap=True)
    names = [effect.what for effect in additions.mechanisms]
    for name in names:
        grid.add_column(name, justify="right", no_wrap=True)
    for site, row in additions.cells.items():
        grid.add_row(site, *(_cell(row.get(name)) for name in names))
    return [
        _effects("mechanism", heading, additions.mechanisms),
        _effects("position", heading, additions.positions),
        _effects("site", heading, additions.sites),
        grid,
    ]


def _effects(kind: str, heading: str, effects: tuple[Effect, ...]) -> Table:
    table = Table(box=None, title=f"{kind}, {heading}", title_justify="left", title_style="bold", padding=(0, 1, 0, 0))
    table.add_column(kind, no_wrap=True)
    for name in _HEADINGS:
        table.add_column(name, justify="right" if name in _NUMBERS else "left", no_wrap=True)
    for effect in sorted(effects, key=lambda effect: -effect.change) if kind != "site" else effects:
        interval = f"[{100 * effect.low:+.2f}, {100 * effect.high:+.2f}]"
        place = effect.placement if kind == "site" else f"{effect.site}: {effect.placement}"
        note = "" if effect.beyond_noise else "no effect beyond noise"
        table.add_row(effect.what, f"{100 * effect.change:+.2f}", interval, place, str(effect.trained), note)
    return table


def _cell(effect: Effect | None) -> str:
    if effect is None:
        return ""
    change = f"{100 * effect.change:+.2f}"
    return change if effect.beyond_noise else f"({change})"


def insight_notes(insight: Insight) -> list[str]:
    """Sentences below the tables: how the effects are estimated, and how to read them."""
    notes = [
        f"Estimated from {insight.networks} networks: accuracy with a placement at a site minus accuracy with that site empty, "
        "for the best placement of its kind. Noise between seeds: "
        f"± {100 * insight.noise:.2f} points. In brackets: no effect beyond noise."
    ]
    if insight.nothing_found:
        notes.append("No placement has an effect beyond noise: more candidates or seeds may find one.")
    return notes
