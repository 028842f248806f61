"""A learning curve as a small SVG within a line of text."""

from __future__ import annotations

from collections.abc import Sequence

_WIDTH, _HEIGHT = 96, 24


def sparkline(values: Sequence[float], length: int | None = None) -> str:
    """Draw a line through ``values``, scaled from their minimum to their maximum; empty for fewer than two values.

    ``length`` is the final number of values, which sets the horizontal scale.
    """
    if len(values) < 2:
        return ""
    low, high = min(values), max(values)
    step = (_WIDTH - 4) / max(1, (length or len(values)) - 1)
    points = " ".join(
        f"{2 + step * number:.1f},{_HEIGHT - 3 - (_HEIGHT - 6) * (value - low) / ((high - low) or 1.0):.1f}"
        for number, value in enumerate(values)
    )
    return (
        f'<svg class="spark" viewBox="0 0 {_WIDTH} {_HEIGHT}" aria-hidden="true">'
        f'<polyline points="{points}" fill="none" stroke="currentColor" stroke-width="2"/></svg>'
    )
