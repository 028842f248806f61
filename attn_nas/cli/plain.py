"""``attn-nas plain``."""

from __future__ import annotations

from typing import Annotated

import typer

from attn_nas.cli.results import MOST_SEEDS, JsonOption, RunArgument


def plain(
    run: RunArgument,
    width: Annotated[list[int] | None, typer.Option(help="Width to train instead of the chosen; once for each.")] = None,
    depth: Annotated[list[int] | None, typer.Option(help="Depth to train instead of the chosen; once for each.")] = None,
    seeds: Annotated[
        int | None, typer.Option(max=MOST_SEEDS, help="Seeds of each, the search's; as many as the bare trunk has by default.")
    ] = None,
    workers: Annotated[int | None, typer.Option(help="Processes that train; one per core on a CPU.")] = None,
    threads: Annotated[int | None, typer.Option(help="Threads of each of them; cores / workers by default.")] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Say what it would cost, and train nothing.")] = False,
    download: Annotated[bool, typer.Option("--download", help="Fetch the data set if it is missing.")] = False,
    json: JsonOption = False,
) -> None:
    """Train the bare trunk at other widths and depths as the search trained, and say what attention is worth beside it.

    Goes on where it was stopped.
    """
    from attn_nas.cli.planned import tell_found, train_planned
    from attn_nas.followups.trunk_baseline import TrunkBaseline
    from attn_nas.runs.run import Run
    from attn_nas.terminal.plain import plain_plan, plain_table, plain_words

    planned = TrunkBaseline(Run(run), widths=width or (), depths=depth or (), seeds=seeds)
    if train_planned(planned, plain_plan, workers=workers, threads=threads, plan=plan, download=download, json=json):
        verdict = planned.result()
        tell_found(verdict, plain_table, plain_words, planned.write, json=json)
        if verdict.incomplete:
            raise typer.Exit(1)
