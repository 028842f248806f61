"""``attn-nas attach``: runs on a database server."""

from __future__ import annotations

import json as json_module
import os
import shlex
from pathlib import Path
from typing import Annotated

import typer

from attn_nas.errors import UsageError


def attach(
    study: Annotated[str | None, typer.Argument(help="A run's study on the server; without it those there are listed.")] = None,
    storage: Annotated[
        str | None, typer.Option(help="The server, postgresql://user@host/database; ATTN_NAS_STORAGE by default.")
    ] = None,
    run: Annotated[Path | None, typer.Option(help="Run folder to make; runs/STUDY by default.")] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """List the runs on a database server, or make a folder for one of them that was begun elsewhere."""
    from attn_nas.runs.attach import attach as attach_run
    from attn_nas.runs.attach import shared_runs
    from attn_nas.storage.address import VARIABLE
    from attn_nas.terminal.console import console
    from attn_nas.terminal.runs import shared_table

    address = storage or os.environ.get(VARIABLE)
    if not address:
        raise UsageError(f"which server? Name it with --storage or {VARIABLE}: postgresql://user@host/database")
    out = console(highlight=False)
    if study is not None:
        folder = attach_run(address, study, run)
        if json:
            print(json_module.dumps({"run": str(folder.path)}, indent=2))
        else:
            out.print(f"Look at it: attn-nas front {shlex.quote(str(folder.path))}", markup=False, soft_wrap=True)
        return
    found = shared_runs(address)
    if json:
        print(json_module.dumps([each.to_dict() for each in found], indent=2))
    elif found:
        out.print(shared_table(found))
    else:
        out.print("There is no run on it: begin one with attn-nas search --storage", markup=False)
