"""``attn-nas dashboard``: live pages in a browser."""

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from attn_nas.errors import UsageError

_PACKAGES = ("starlette", "uvicorn", "a2wsgi", "optuna_dashboard")


def dashboard(
    path: Annotated[Path, typer.Argument(metavar="RUN_OR_FOLDER", help="Run folder, or a folder of runs.")] = Path("runs"),
    port: Annotated[int | None, typer.Option(help="Port; by default the first free port from 8090 on.")] = None,
    host: Annotated[str, typer.Option(help="Address to listen on; all but loopback addresses require a token.")] = "127.0.0.1",
    token: Annotated[
        str | None,
        typer.Option(envvar="ATTN_NAS_TOKEN", help="Secret that browsers must send; generated if one is required."),
    ] = None,
    allow_host: Annotated[
        list[str] | None, typer.Option(help="Accept this host name in requests too; repeat it for several.")
    ] = None,
    allow_edit: Annotated[bool, typer.Option("--allow-edit", help="Allow changes of the raw study in Optuna's pages.")] = False,
    read_only: Annotated[
        bool, typer.Option("--read-only", help="Do not let browsers write notes and stars of candidates.")
    ] = False,
    open: Annotated[bool, typer.Option("--open", help="Open the pages in the browser.")] = False,
) -> None:
    """Show a run, or all runs of a folder, as live pages in a browser."""
    missing = [name for name in _PACKAGES if find_spec(name) is None]
    if missing:
        raise UsageError(f'the dashboard needs {", ".join(missing)}: pip install "attn-nas[dashboard]"')
    from attn_nas.dashboard.serve import serve
    from attn_nas.terminal.console import console

    out = console(stderr=True, highlight=False)

    def print_address(address: str) -> None:
        out.print(f"Dashboard: {address}\nCtrl-C ends the dashboard; searches continue.", markup=False, soft_wrap=True)

    serve(
        path,
        host=host,
        port=port,
        token=token,
        allow_hosts=allow_host or (),
        allow_edit=allow_edit,
        read_only=read_only,
        browse=open,
        on_address=print_address,
    )
