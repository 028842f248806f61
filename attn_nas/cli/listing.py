"""``attn-nas runs``: the runs of a folder."""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import Annotated

import typer


def runs(
    folder: Annotated[Path, typer.Argument(help="Folder whose runs are listed.")] = Path("runs"),
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """List the runs of a folder: how far each is and how good its best candidate, the last active first."""
    from attn_nas.monitor.summary import runs_in
    from attn_nas.terminal.console import console
    from attn_nas.terminal.runs import runs_table, runs_words

    found = runs_in(folder)
    if json:
        print(json_module.dumps([summary.to_dict() for summary in found], indent=2))
        return
    out = console(highlight=False)
    if not found:
        out.print(f"There is no run in {folder}: begin one with attn-nas search", markup=False, soft_wrap=True)
        return
    out.print(runs_table(found, out.width))
    for line in runs_words(found):
        out.print(line, markup=False, soft_wrap=not out.is_terminal)
