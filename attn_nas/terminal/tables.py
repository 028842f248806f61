"""Candidates as a table that fits the width of the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from attn_nas.format import count, likely, signed_percent
from attn_nas.runs.candidate import Candidate
from attn_nas.terminal.grid import grid
from attn_nas.terminal.placement_text import glyph

_NETWORK = "network"
_ROOM = 30
"""Columns of the terminal that a network needs next to the figures."""
_DROPPED = ("FLOPs", "params", "latency", "step", "average (seeds)", "likely best")
"""Headings that a narrow table leaves out, the least important first."""
_LEFT = ("key",)


def front_table(candidates: Sequence[Candidate], title: str, width: int = 200) -> RenderableType:
    """Table of candidates for a terminal of ``width`` columns; a narrow table has figures below the networks.

    ``estimated`` is the estimate from all trainings with its standard deviation, ``average (seeds)`` the mean over the
    candidate's seeds, with their number. ``likely best`` is the probability that no network is as good at the same or lower
    cost; a tilde marks a member of the front that is not shown to be better than a cheaper candidate.
    """
    rows = [figures(candidate) for candidate in candidates]
    headings = [heading for heading in (rows[0] if rows else ()) if any(row[heading] for row in rows)]
    networks = [_network(candidate) for candidate in candidates]
    longest = max((network.cell_len for network in networks), default=0)
    if _width(headings, rows) + 2 + max(_ROOM, longest) <= width:
        return _beside(networks, rows, headings, title)
    for dropped in _DROPPED:
        if _width(headings, rows) + 4 > width and dropped in headings:
            headings.remove(dropped)
    return _below(networks, rows, headings, title)


def figures(candidate: Candidate) -> dict[str, str]:
    """Cells of a candidate by heading; empty where the heading does not apply."""
    cost, ratios, belief, metric = candidate.record.cost, candidate.ratios, candidate.belief, candidate.run.metric
    return {
        "estimated": metric.mean_text(candidate.expected) if belief else "",
        "average (seeds)": f"{metric.text(candidate.measured.value)} ({len(candidate.results)})",
        "likely best": f"{likely(belief.chance)}{' ~' * candidate.is_tied}" if belief else "",
        "FLOPs": count(cost.flops),
        "extra": signed_percent(candidate.added_share) if candidate.added_flops else "none",
        "params": count(cost.params),
        "step": f"{ratios['step_time']:.2f}x" if "step_time" in ratios else "",
        "latency": f"{ratios['latency']:.2f}x" if "latency" in ratios else "",
        "key": candidate.record.key,
    }


def _width(headings: Sequence[str], rows: Sequence[dict[str, str]]) -> int:
    return sum(max(len(heading), *(len(row[heading]) for row in rows)) + 2 for heading in headings) - 2


def network_text(candidate: Candidate, *, ascii_only: bool = False) -> Text:
    """Glyph in colours, and name."""
    return glyph(str(candidate.record.genotype), ascii_only=ascii_only).append(f"  {candidate.name}", "")


def _network(candidate: Candidate) -> Text:
    """Glyph and name, with ``pick`` at the pick of the run."""
    text = network_text(candidate)
    return text.append("  pick", "bold green") if candidate.record.key == candidate.run.verdict.pick else text


def _cell(heading: str, text: str) -> Text:
    return Text(text, "dim" if heading == "key" else "")


def _beside(networks: Sequence[Text], rows: Sequence[dict[str, str]], headings: Sequence[str], title: str) -> RenderableType:
    table = Table(box=None, title=title, title_justify="left", title_style="bold", pad_edge=False)
    table.add_column(_NETWORK, no_wrap=True)
    for heading in headings:
        table.add_column(heading, justify="left" if heading in _LEFT else "right", no_wrap=True)
    for network, row in zip(networks, rows, strict=True):
        table.add_row(network, *(_cell(heading, row[heading]) for heading in headings))
    return table


def _below(networks: Sequence[Text], rows: Sequence[dict[str, str]], headings: Sequence[str], title: str) -> RenderableType:
    head, *lines = grid(headings, [[_cell(heading, row[heading]) for heading in headings] for row in rows], left=_LEFT)
    found: list[RenderableType] = [Text(title, "bold"), Padding(head, (0, 0, 0, 4), expand=False)]
    for network, line in zip(networks, lines, strict=True):
        found += [network, Padding(line, (0, 0, 0, 4), expand=False)]
    return Group(*found)
