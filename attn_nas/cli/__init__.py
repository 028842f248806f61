"""The command line: parse, import what the command needs, call, print."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from attn_nas.cli import (
    attaching,
    auditing,
    benching,
    catalogue,
    dashboards,
    exporting,
    insights,
    listing,
    mapping,
    mechanisms,
    plain,
    reporting,
    results,
    retraining,
    searching,
    watching,
)
from attn_nas.cli.failures import told_failures
from attn_nas.cli.pipes import Commands, quiet_pipe
from attn_nas.plugins.trust import VARIABLE
from attn_nas.version import __version__

app = typer.Typer(
    name="attn-nas",
    cls=Commands,
    help="Search where to put which attention mechanism into a CNN.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(searching.search)
app.command()(watching.watch)
app.command()(listing.runs)
app.command()(attaching.attach)
app.command()(results.front)
app.command()(results.show)
app.command()(results.compare)
app.command()(dashboards.dashboard)
app.command()(reporting.report)
app.command()(exporting.export)
app.command()(insights.insight)
app.command()(mapping.maps)
app.command()(retraining.retrain)
app.command()(plain.plain)
app.command()(auditing.audit)
app.command()(benching.bench)
app.command()(catalogue.spaces)
app.command()(mechanisms.mechanisms)
app.command()(catalogue.trunks)
app.command()(catalogue.schema)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"attn-nas {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Version.")] = False,
    debug: Annotated[bool, typer.Option("--debug", envvar="ATTN_NAS_DEBUG", help="Show the traceback of what fails.")] = False,
    trust_plugins: Annotated[
        bool, typer.Option("--trust-plugins", help="Run plug-ins that came with a run, now and later: you have read them.")
    ] = False,
) -> None:
    """Search where to put which attention mechanism into a CNN."""
    if trust_plugins:
        os.environ[VARIABLE] = "1"


def main() -> None:
    """Entry point: exit code 0 done, 1 failed, 2 cannot be done as asked, 130 interrupted, 141 not read to the end."""
    try:
        with told_failures(debug=False), quiet_pipe():
            app()
    except KeyboardInterrupt:
        raise SystemExit(130) from None
