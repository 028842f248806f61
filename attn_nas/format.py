"""Formats numbers, lists and names for readers, and escapes text for Markdown."""

import re
from collections.abc import Mapping, Sequence
from functools import cache
from html import escape

from attn_nas.errors import UsageError

_SECONDS = {"d": 86400, "h": 3600, "m": 60, "s": 1}
_REFERENCES = (" everywhere", " last stage")
"""Endings of the names of references, behind a mechanism."""
_WRITTEN: Mapping[str, str] = {
    "cam_gate": "CAM gate",
    "coord": "coordinate attention",
    "danet_cam": "DANet CAM",
    "danet_pam": "DANet PAM",
    "ese": "eSE",
    "gsop": "GSoP",
    "nonlocal": "non-local",
    "scse": "scSE",
    "simam": "SimAM",
}
"""Mechanisms whose papers write them in another way than `written` does by rule."""
_DURATION = re.compile("".join(rf"(?:(\d+(?:\.\d+)?){unit})?" for unit in _SECONDS))


def percent(share: float) -> str:
    """A fraction (0 to 1) as a percentage: ``71.23 %``."""
    return f"{100 * share:.2f} %"


def signed_percent(share: float) -> str:
    """A change as a percentage of the whole, with its sign: ``+0.26 %``; two significant digits below 0.01 %."""
    shown = 100 * share
    return f"{shown:+.2f} %" if abs(shown) >= 0.01 or not shown else f"{shown:+.1g} %"


def likely(share: float) -> str:
    """A probability that was estimated from finite data: ``77 %``; ``> 99 %`` or ``< 1 %`` where it is nearly 1 or 0."""
    if share > 0.99:
        return "> 99 %"
    return "< 1 %" if share < 0.01 else f"{100 * share:.0f} %"


def chance_of_error(p: float) -> str:
    """A p-value with its relation: ``= 0.031``, ``< 0.001``."""
    return f"= {p:.3f}" if p >= 0.001 else "< 0.001"


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


def after_epochs(number: int) -> str:
    """Which training a score is of: ``after 3 epochs``."""
    return f"after {number} epoch{'s' * (number != 1)}"


def capitalised(text: str) -> str:
    """``text`` with a capital at its beginning, unless its first word has capitals of its own, as ``scSE``."""
    first = text.partition(" ")[0]
    return text if first != first.lower() else text[:1].upper() + text[1:]


def spoken_duration(seconds: float) -> str:
    """Seconds as a person says them, with one or two significant figures: ``40 s``, ``12 min``, ``2.5 h``, ``3 days``."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    hours = seconds / 3600
    return f"{hours:.2g} h" if hours < 48 else f"{hours / 24:.0f} days"


def listed(names: Sequence[str], most: int = 10, separator: str = ", ") -> str:
    """The first ``most`` names in one line, and the number of the rest."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return separator.join(names[:most]) + more


@cache
def written(mechanism: str) -> str:
    """The mechanism as text for people: short words in capitals, ``_`` as a space."""
    short = [word.upper() if len(word) <= 4 else word for word in mechanism.split("_")]
    return _WRITTEN.get(mechanism, " ".join(short))


def reference_label(name: str) -> str:
    """The name of a reference as people read it, in the words of the names of networks.

    ``none`` is ``no attention``, ``cam_gate everywhere`` is ``CAM gate everywhere``, ``se last stage`` is ``SE in the last
    stage``; another name stays as it is.
    """
    if name == "none":
        return "no attention"
    ending = next((each for each in _REFERENCES if name.endswith(each)), None)
    if ending is None:
        return name
    return written(name.removesuffix(ending)) + ending.replace("last", "in the last")


def parse_seconds(name: str, text: str) -> float:
    """The duration ``1h30m``, ``45m``, ``90s`` or ``90`` in seconds; ``name`` is the option or argument that has it.

    Raises:
        UsageError: the text is not a duration above 0.

    """
    try:
        found = float(text)
    except ValueError:
        written = _DURATION.fullmatch(text.replace(" ", ""))
        parts = written.groups() if written else ()
        found = sum(float(part) * unit for part, unit in zip(parts, _SECONDS.values(), strict=False) if part)
    if not 0 < found < float("inf"):
        raise UsageError(f"{name} {text}: write a duration like 1h30m, 45m or 90s")
    return found


def written_duration(seconds: float) -> str:
    """A duration of at least a second as `parse_seconds` reads it, in whole seconds: ``1h30m``."""
    rest, parts = max(1, round(seconds)), []
    for unit, size in _SECONDS.items():
        number, rest = divmod(rest, size)
        parts.append(f"{number}{unit}" * (number > 0))
    return "".join(parts)


def markdown(text: str) -> str:
    """``text`` on one line, escaped so that Markdown shows it literally (no HTML, links or code)."""
    return re.sub(r"([\\`\[\]])", r"\\\1", escape(" ".join(text.split()), quote=False))
