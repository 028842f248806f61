"""What the pick of a run is called beside its name: in tables, on cards, in charts."""

from __future__ import annotations

from attn_nas.runs.run import Run


def pick_label(run: Run) -> str:
    """What the pick of ``run`` is called; only a network that fresh seeds show to be better than others is recommended."""
    verdict = run.verdict
    if verdict.kind == "not tested":
        return "best guess so far"
    if verdict.pick is not None and verdict.pick == verdict.bare:
        return "nothing better found"
    return "recommended" if verdict.allows_claims else "cheapest tested"
