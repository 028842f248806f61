"""The command line: each command parses its options, imports what it needs, calls the package and prints.

Modules with commands do without ``from __future__ import annotations``: typer would evaluate each annotation several times.
"""

import os
from collections.abc import Callable
from typing import Annotated

import typer
from typer.main import get_command

from attn_nas.cli import (
    attaching,
    benching,
    cataloging,
    dashboards,
    explaining,
    exporting,
    further_training,
    listing,
    mechanisms,
    reporting,
    searching,
    showing,
    siting,
    starting,
    watching,
)
from attn_nas.cli.failures import reported_failures
from attn_nas.cli.pipes import Commands, quiet_pipe
from attn_nas.plugins.trust import VARIABLE
from attn_nas.terminal.decoding_bar import decoding_shown
from attn_nas.version import __version__

app = typer.Typer(
    name="attn-nas",
    cls=Commands,
    help="Search for the best attention placements in a CNN.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
catalog = typer.Typer(name="catalog", no_args_is_help=True)
catalog.command()(mechanisms.mechanisms)
catalog.command()(cataloging.trunks)
catalog.command()(cataloging.spaces)
catalog.command()(cataloging.schema)

_GROUPS: dict[str, list[Callable[..., None]]] = {
    "Search": [starting.init, searching.search, watching.watch, listing.runs, attaching.attach],
    "Look at the result": [showing.show, explaining.why, dashboards.dashboard, reporting.report],
    "Check the result": [further_training.audit, further_training.baseline, further_training.retrain],
    "Use the result": [exporting.export],
    "Reference": [siting.sites, benching.bench],
}
"""Visible commands in the order of use, by the heading above them in ``attn-nas --help``."""
for _group, _commands in _GROUPS.items():
    for _command in _commands:
        app.command(rich_help_panel=_group)(_command)
app.add_typer(catalog, rich_help_panel="Reference", help="List what a search space can contain: mechanisms, trunks, spaces.")

_FORMER_COMMANDS: dict[str, Callable[..., None]] = {
    "front": showing.front,
    "compare": showing.compare,
    "insight": explaining.insight,
    "maps": explaining.maps,
    "plain": further_training.baseline,
    "mechanisms": mechanisms.mechanisms,
    "trunks": cataloging.trunks,
    "spaces": cataloging.spaces,
    "schema": cataloging.schema,
}
"""Names of former releases; they work as before, and ``attn-nas --help`` does not list them."""
for _name, _command in _FORMER_COMMANDS.items():
    app.command(_name, hidden=True)(_command)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"attn-nas {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", envvar="ATTN_NAS_DEBUG", help="Print the traceback of any error, before its message.")
    ] = False,
    trust_plugins: Annotated[
        bool,
        typer.Option("--trust-plugins", help="Run the plug-ins that are stored in a run, now and later. Read them first."),
    ] = False,
) -> None:
    """Search for the best attention placements in a CNN."""
    if trust_plugins:
        os.environ[VARIABLE] = "1"


_program = get_command(app)


def main() -> None:
    """Run the command line and exit.

    Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted, 141 the reader of the output has gone.
    """
    try:
        with reported_failures(debug=False), quiet_pipe(), decoding_shown():
            _program()
    except KeyboardInterrupt:
        raise SystemExit(130) from None
