"""Templates of the pages, with their filters for numbers and names."""

from __future__ import annotations

import shlex
import time
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from attn_nas.format import capitalised, count, duration, likely, percent, reference_label, spoken_duration
from attn_nas.report.charts.scales import short
from attn_nas.report.pages.hero import cost_of, estimate_of
from attn_nas.report.pick_label import pick_label
from attn_nas.space.naming import glyph_of

SCRIPTS = (
    "echarts.min.js",
    "charts.js",
    "chart_front.js",
    "chart_parallel.js",
    "chart_heat.js",
    "chart_lines.js",
    "page.js",
    "parts.js",
)
"""Scripts of every page with its charts, in the order in which they run."""


@cache
def environment() -> Environment:
    """Make the template environment, once; variables are escaped unless a template marks them as ``markup``."""
    made = Environment(
        loader=PackageLoader("attn_nas.report.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(
        percent=percent,
        likely=likely,
        count=count,
        duration=duration,
        short=short,
        stamp=_stamp,
        quoted=shlex.quote,
        markup=Markup,
        label=reference_label,
        capitalised=capitalised,
        spoken=spoken_duration,
        estimate=estimate_of,
        pick_label=pick_label,
        costs=cost_of,
        glyph=glyph_of,
        asset=_asset,
    )
    made.globals["scripts"] = SCRIPTS
    return made


def render(template: str, **context: Any) -> str:
    """Render the ``template`` with the variables ``context``."""
    return environment().get_template(template).render(**context)


def static(name: str) -> str:
    """Return the text of a style sheet or a script."""
    return (files("attn_nas.report.pages") / "static" / name).read_text(encoding="utf-8")


@cache
def static_version(name: str) -> str:
    """Return the version of a style sheet or a script, which changes with its text."""
    return sha256(static(name).encode()).hexdigest()[:12]


def _asset(name: str) -> str:
    """Return the address of a style sheet or a script; a browser may keep what it gets there."""
    return f"/assets/{name}?v={static_version(name)}"


def _stamp(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))
