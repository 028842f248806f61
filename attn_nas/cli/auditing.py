"""``attn-nas audit``."""

from __future__ import annotations

from typing import Annotated

import typer

from attn_nas.cli.results import MOST_EPOCHS, MOST_SEEDS, JsonOption, RunArgument


def audit(
    run: RunArgument,
    candidates: Annotated[int, typer.Option(help="Candidates, one from each stratum of accuracy.")] = 16,
    seeds: Annotated[int, typer.Option(max=MOST_SEEDS, help="Seeds of each, none of them the search's.")] = 3,
    epochs: Annotated[
        int | None, typer.Option(max=MOST_EPOCHS, help="Length of the long training; four times the proxy's by default.")
    ] = None,
    workers: Annotated[int | None, typer.Option(help="Processes that train; one per core on a CPU.")] = None,
    threads: Annotated[int | None, typer.Option(help="Threads of each of them; cores / workers by default.")] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Say what it would cost, and train nothing.")] = False,
    download: Annotated[bool, typer.Option("--download", help="Fetch the data set if it is missing.")] = False,
    json: JsonOption = False,
) -> None:
    """Train a sample of a run's candidates for longer and say how well the proxy ranks them; goes on where it was stopped."""
    from attn_nas.cli.planned import tell_found, train_planned
    from attn_nas.followups.audit import Audit
    from attn_nas.runs.run import Run
    from attn_nas.terminal.audit import audit_plan, audit_table, audit_words

    planned = Audit(Run(run), candidates, seeds, epochs)
    if train_planned(planned, audit_plan, workers=workers, threads=threads, plan=plan, download=download, json=json):
        tell_found(planned.result(), audit_table, audit_words, planned.write, json=json)
