"""``attn-nas retrain``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from attn_nas.cli.results import MOST_EPOCHS, MOST_SEEDS, JsonOption, RunArgument


def retrain(
    run: RunArgument,
    keys: Annotated[list[str] | None, typer.Argument(help="Keys of winners, or their beginnings.")] = None,
    knee: Annotated[bool, typer.Option("--knee", help="The front's knee; this is the default.")] = False,
    front: Annotated[bool, typer.Option("--front", help="Every member of the front.")] = False,
    best_under: Annotated[
        str | None, typer.Option(help="The most accurate with at most so many FLOPs: 45M, +200k or +1%.")
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(max=MOST_EPOCHS, help="Length of each training; ten times the proxy's by default.")
    ] = None,
    seeds: Annotated[int, typer.Option(max=MOST_SEEDS, help="Seeds of each network, none of them the search's.")] = 5,
    lr: Annotated[float | None, typer.Option(help="Peak learning rate instead of the proxy's.")] = None,
    pretrained: Annotated[
        Path | None, typer.Option(help="Begin from these weights of the bare trunk, a safetensors file.")
    ] = None,
    workers: Annotated[int | None, typer.Option(help="Processes that train; one per core on a CPU.")] = None,
    threads: Annotated[int | None, typer.Option(help="Threads of each of them; cores / workers by default.")] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Say what it would cost, and train nothing.")] = False,
    download: Annotated[bool, typer.Option("--download", help="Fetch the data set if it is missing.")] = False,
    json: JsonOption = False,
) -> None:
    """Train winners, references and a plain trunk in full by one recipe and compare them on the test split.

    Goes on where it was stopped.
    """
    from attn_nas.cli.planned import tell_found, train_planned
    from attn_nas.followups.retraining import Retraining
    from attn_nas.runs.run import Run
    from attn_nas.runs.selection import Selection
    from attn_nas.terminal.retraining import retraining_plan, retraining_table, retraining_words

    opened = Run(run)
    winners = Selection(keys or (), knee, front, best_under, otherwise="knee").of(opened)
    planned = Retraining(opened, winners, epochs=epochs, seeds=seeds, lr=lr, pretrained=pretrained)
    if train_planned(planned, retraining_plan, workers=workers, threads=threads, plan=plan, download=download, json=json):
        verdict = planned.result()
        tell_found(verdict, retraining_table, retraining_words, planned.write, json=json)
        if verdict.incomplete:
            raise typer.Exit(1)
