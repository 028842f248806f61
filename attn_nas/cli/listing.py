"""``attn-nas runs``: the runs of a folder or of a database server."""

import json as json_module
from pathlib import Path
from typing import Annotated

import typer

from attn_nas.cli.options import JsonOption
from attn_nas.errors import UsageError


def runs(
    folder: Annotated[Path | None, typer.Argument(help="Folder of runs; by default runs/.", show_default=False)] = None,
    storage: Annotated[
        str | None, typer.Option(help="List the runs on this database server instead, postgresql://user@host/database.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """List the runs of a folder, the last active first: state, progress and best accuracy of each."""
    if storage is not None:
        if folder is not None:
            raise UsageError(f"{folder} and --storage: give a folder or a server, not both")
        list_shared_runs(storage, json=json)
    else:
        _list_runs(Path("runs") if folder is None else folder, json=json)


def list_shared_runs(address: str, *, json: bool) -> None:
    """Print the runs on a database server.

    Raises:
        UsageError: ``address`` is malformed.
        RunError: the server cannot be read.

    """
    from attn_nas.runs.attach import shared_runs
    from attn_nas.terminal.console import console
    from attn_nas.terminal.runs import shared_table

    found = shared_runs(address)
    out = console(highlight=False)
    if json:
        print(json_module.dumps([each.to_dict() for each in found], indent=2))
    elif found:
        out.print(shared_table(found))
    else:
        out.print("There is no run on it: start one with attn-nas search --storage", markup=False)


def _list_runs(folder: Path, *, json: bool) -> None:
    from attn_nas.monitor.summary import runs_in
    from attn_nas.terminal.console import console
    from attn_nas.terminal.runs import runs_notes, runs_table

    found = runs_in(folder)
    if json:
        print(json_module.dumps([summary.to_dict() for summary in found], indent=2))
        return
    out = console(highlight=False)
    if not found:
        out.print(f"There is no run in {folder}: start one with attn-nas search", markup=False, soft_wrap=True)
        return
    out.print(runs_table(found, out.width))
    for line in runs_notes(found):
        out.print(line, markup=False, soft_wrap=not out.is_terminal)
