"""``attn-nas attach``: a local folder for a run on a database server."""

import json as json_module
import os
import shlex
from pathlib import Path
from typing import Annotated

import typer

from attn_nas.cli.listing import list_shared_runs
from attn_nas.cli.options import JsonOption
from attn_nas.errors import UsageError


def attach(
    study: Annotated[
        str | None, typer.Argument(help="Name of the run's study on the server; without it the runs there are listed.")
    ] = None,
    storage: Annotated[
        str | None, typer.Option(help="Database server, postgresql://user@host/database; by default ATTN_NAS_STORAGE.")
    ] = None,
    run: Annotated[Path | None, typer.Option(help="Run folder to make; by default runs/STUDY.")] = None,
    json: JsonOption = False,
) -> None:
    """Make a local folder for a run on a database server that was started elsewhere, to look at it or to continue it."""
    from attn_nas.storage.address import VARIABLE

    address = storage or os.environ.get(VARIABLE)
    if not address:
        raise UsageError(f"no server is named: add --storage or set {VARIABLE}, as postgresql://user@host/database")
    if study is None:
        list_shared_runs(address, json=json)
        return
    from attn_nas.runs.attach import attach as attach_run
    from attn_nas.terminal.console import console

    folder = attach_run(address, study, run)
    if json:
        print(json_module.dumps({"run": str(folder.path)}, indent=2))
    else:
        out = console(highlight=False)
        out.print(f"Look at it: attn-nas show {shlex.quote(str(folder.path))}", markup=False, soft_wrap=True)
