"""Formats numbers for readers, and escapes text for Markdown."""

import re
from html import escape


def percent(share: float) -> str:
    """A fraction (0 to 1) as a percentage: ``71.23 %``."""
    return f"{100 * share:.2f} %"


def count(number: float) -> str:
    """A number with three significant digits and a unit prefix: ``3.12 M``."""
    for unit, name in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(number) >= unit:
            return f"{number / unit:.3g} {name}"
    return f"{number:g}"


def duration(seconds: float) -> str:
    """Seconds as ``1:02:03``, or as ``02:03`` below one hour."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes:02}:{rest:02}"


def markdown(text: str) -> str:
    """``text`` on one line, escaped so that Markdown shows it literally (no HTML, links or code)."""
    return re.sub(r"([\\`\[\]])", r"\\\1", escape(" ".join(text.split()), quote=False))
