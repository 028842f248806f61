"""Numbers as people read them, and text as it may stand in a document."""

import re
from html import escape


def percent(share: float) -> str:
    """A share of 1 as ``71.23 %``."""
    return f"{100 * share:.2f} %"


def count(number: float) -> str:
    """A large number in three digits: ``3.12 M``."""
    for unit, name in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(number) >= unit:
            return f"{number / unit:.3g} {name}"
    return f"{number:g}"


def duration(seconds: float) -> str:
    """``1:02:03``, or ``02:03`` below an hour."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes:02}:{rest:02}"


def reference_label(name: str) -> str:
    """The name of a reference as people read it: ``none`` is ``no attention``."""
    return "no attention" if name == "none" else name


def markdown(text: str) -> str:
    """``text`` as one line of Markdown that has no HTML, link or code in it."""
    return re.sub(r"([\\`\[\]])", r"\\\1", escape(" ".join(text.split()), quote=False))
