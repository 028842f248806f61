"""Candidates side by side in a terminal: table, and leads of the first candidate."""

from __future__ import annotations

from math import isnan

from rich.table import Table
from rich.text import Text

from attn_nas.drawing.colours import colour_of
from attn_nas.format import likely, reference_label
from attn_nas.runs.candidate import Candidate
from attn_nas.runs.comparison import Lead, SideBySide, SiteRow
from attn_nas.space.genotype import Placement
from attn_nas.space.metric import ACCURACY, Metric
from attn_nas.terminal.tables import figures, network_text

_MARK = "*"


def comparison_table(compared: SideBySide) -> Table:
    """Table with a column for each candidate: its placement at each site, with a mark where they differ, then its figures."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("", no_wrap=True)
    table.add_column("site", no_wrap=True)
    for candidate in compared.candidates:
        table.add_column(_heading(candidate), overflow="fold")
    for row in compared.sites:
        table.add_row(*_site(row))
    table.add_section()
    rows = [figures(candidate) for candidate in compared.candidates]
    names = [candidate.record.reference for candidate in compared.candidates]
    if any(names):
        table.add_row("", "reference", *(reference_label(name) if name else "-" for name in names))
    name = compared.candidates[0].run.metric.name
    scores = {"estimated": f"estimated {name}", "average (seeds)": f"average {name} (seeds)"}
    for heading in rows[0]:
        if heading != "key" and any(each[heading] for each in rows):
            table.add_row("", scores.get(heading, heading), *(each[heading] for each in rows))
    return table


def _heading(candidate: Candidate) -> Text:
    """Glyph and name, and on a line of its own the key."""
    return network_text(candidate).append(f"\n{candidate.record.key}", "not bold dim")


def _site(row: SiteRow) -> list[str | Text]:
    style = "bold" if row.differs else "dim"
    return [_MARK if row.differs else "", Text(row.site, style), *(_cell(placement, style) for placement in row.placements)]


def _cell(placement: Placement | None, style: str) -> Text:
    return Text("-", style) if placement is None else Text(str(placement), f"{style} {colour_of(placement)}")


def comparison_notes(compared: SideBySide) -> list[str]:
    """Sentences below the table: meaning of the mark, leads of the first candidate over each other one, or why none is sure."""
    first = compared.candidates[0]
    differing = sum(row.differs for row in compared.sites)
    notes = [f"{_MARK}: the candidates differ, at {differing} of {len(compared.sites)} sites."]
    names, after = first.run.names, compared.verdict.after
    notes += [f"{first.name} {_lead(lead, names[lead.over], after, first.run.metric)}" for lead in compared.leads]
    return notes if compared.verdict.allows_claims else [*notes, compared.verdict.text]


def _lead(lead: Lead, over: str, after: str, metric: Metric) -> str:
    """How far the first candidate is ahead of the one called ``over``; ``after`` says which training this is of."""
    position, degree = ("ahead of", "more") if lead.mean >= 0 else ("behind", "less")
    points, error = f"is {metric.spread(abs(lead.mean))}", f" ± {metric.spread(lead.standard_deviation)}"
    unit = f" {metric.change_unit}" * bool(metric.change_unit)
    if metric != ACCURACY:
        degree = "better" if lead.mean >= 0 else "worse"
    else:
        degree += " accurate"
    if isnan(lead.standard_deviation):
        return f"{points}{unit} {position} {over} {after}, as measured."
    if isnan(lead.probability):
        return f"{points}{error}{unit} {position} {over} {after}, as estimated."
    sure = lead.probability if lead.mean >= 0 else 1 - lead.probability
    return f"{points}{error}{unit} {position} {over} {after}, {likely(sure)} sure to be {degree}."
