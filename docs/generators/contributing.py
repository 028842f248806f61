"""The page for contributors: CONTRIBUTING.md, with its links led to the pages of the site."""

from __future__ import annotations

import re
from pathlib import Path

from generators.markdown import front_matter

SOURCE = Path(__file__).resolve().parents[2] / "CONTRIBUTING.md"


def page() -> str:
    """The text of CONTRIBUTING.md; a link into ``docs`` leads to that page."""
    text = re.sub(r"\]\(docs/", "](", SOURCE.read_text(encoding="utf-8"))
    return front_matter("Set up, test and change attn-nas.") + text
