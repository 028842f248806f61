"""The list of decisions, from the pages that are there."""

from __future__ import annotations

import re
from pathlib import Path

from generators.markdown import front_matter, table

FOLDER = Path(__file__).resolve().parents[1] / "decisions"
_SUMMARY = "Choices that cost something to undo, with their reasons."


def titles() -> dict[str, str]:
    """The title of each decision page, by the name of its file; in alphabetical order of the titles."""
    found = {
        path.name: re.findall(r"^# (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)[0] for path in FOLDER.glob("*.md")
    }
    return dict(sorted(found.items(), key=lambda each: each[1]))


def page() -> str:
    """All decisions, each with the first sentence of what was decided."""
    rows = ((f"[{title}]({name})", _decided(name)) for name, title in titles().items())
    return "\n\n".join(
        [
            front_matter(_SUMMARY) + "# Decisions",
            "Choices that cost something to undo. Each page has the context, the decision and its consequences.",
            table(("page", "what was decided"), rows),
        ]
    )


def for_models() -> str:
    """The section of ``llms.txt`` that lists the decisions."""
    lines = [f"- [{title}](decisions/{name}): {_decided(name)}" for name, title in titles().items()]
    return "\n".join(["## Decisions", "", f"- [All decisions](decisions/index.md): {_SUMMARY}", *lines]) + "\n"


def _decided(name: str) -> str:
    text = " ".join((FOLDER / name).read_text(encoding="utf-8").split())
    found = re.search(r"\*\*Decision\.\*\* (.+?)[.:](?= |$)", text)
    if not found:
        raise ValueError(f"docs/decisions/{name} has no paragraph that begins with **Decision.**")
    return f"{found[1].replace('*', '')}."
