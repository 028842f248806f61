"""``attn-nas dashboard``."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from attn_nas.errors import UsageError

_NEEDED = ("starlette", "uvicorn", "a2wsgi", "optuna_dashboard")


def dashboard(
    path: Annotated[Path, typer.Argument(metavar="RUN_OR_FOLDER", help="Run folder, or a folder of runs.")] = Path("runs"),
    port: Annotated[int | None, typer.Option(help="Port; the first free one from 8090 on by default.")] = None,
    host: Annotated[str, typer.Option(help="Address to listen on; any but loopback's demands a token.")] = "127.0.0.1",
    token: Annotated[
        str | None, typer.Option(envvar="ATTN_NAS_TOKEN", help="What who looks must know; made up where one is needed.")
    ] = None,
    allow_host: Annotated[list[str] | None, typer.Option(help="A further name by which the server is called.")] = None,
    allow_edit: Annotated[bool, typer.Option("--allow-edit", help="Let the raw study be changed in Optuna's pages.")] = False,
    open: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
) -> None:
    """Show a run, or all runs of a folder, as live pages in the browser."""
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        raise UsageError(f'the dashboard needs {", ".join(missing)}: pip install "attn-nas[dashboard]"')
    from attn_nas.dashboard.serve import serve
    from attn_nas.terminal.console import console

    say = console(stderr=True, highlight=False)

    def tell(address: str) -> None:
        say.print(f"Dashboard: {address}\nCtrl-C ends it; a search goes on.", markup=False, soft_wrap=True)

    serve(
        path,
        host=host,
        port=port,
        token=token,
        allow_hosts=allow_host or (),
        allow_edit=allow_edit,
        browse=open,
        say=tell,
    )
