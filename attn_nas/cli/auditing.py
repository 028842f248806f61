"""``attn-nas audit``."""

from __future__ import annotations

import json as json_module
from typing import Annotated

import typer

from attn_nas.cli.results import JsonOption, RunArgument


def audit(
    run: RunArgument,
    candidates: Annotated[int, typer.Option(help="Candidates, one from each stratum of accuracy.")] = 16,
    seeds: Annotated[int, typer.Option(help="Seeds of each, none of them the search's.")] = 3,
    epochs: Annotated[int | None, typer.Option(help="Length of the long training; four times the proxy's by default.")] = None,
    workers: Annotated[int | None, typer.Option(help="Processes that train; one per core on a CPU.")] = None,
    threads: Annotated[int | None, typer.Option(help="Threads of each of them; cores / workers by default.")] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Say what it would cost, and train nothing.")] = False,
    download: Annotated[bool, typer.Option("--download", help="Fetch the data set if it is missing.")] = False,
    json: JsonOption = False,
) -> None:
    """Train a sample of a run's candidates for longer and say how well the proxy ranks them; goes on where it was stopped."""
    from attn_nas.proxy import Numerics
    from attn_nas.study.audit import AuditPlan
    from attn_nas.study.resources import Resources
    from attn_nas.study.results import Run
    from attn_nas.terminal import audit as terminal
    from attn_nas.terminal.console import console
    from attn_nas.terminal.replicates import replicate_lines

    opened = Run(run)
    planned = AuditPlan(opened, candidates, seeds, epochs)
    resources = Resources.choose(Numerics.from_dict(opened.meta["numerics"]), max(1, planned.remaining), workers, threads)
    out, err = console(), console(stderr=True)
    say = err if json else out
    say.print(terminal.audit_plan(planned, resources), markup=False, highlight=False, soft_wrap=True)
    if plan:
        if json:
            cost = {"remaining": planned.remaining, "seconds": planned.seconds(resources.at_first)}
            print(json_module.dumps({**planned.describe(), **cost}, indent=2))
        return
    try:
        with replicate_lines(say, planned.remaining) as on_end:
            planned.train(resources, on_end, download)
    except KeyboardInterrupt:
        say.print("stopped; what is done is kept: the same command goes on")
        raise
    found = planned.result()
    if json:
        print(json_module.dumps(found.to_dict(), indent=2))
    else:
        out.print(terminal.audit_table(found))
        for line in terminal.audit_words(found):
            out.print(line, markup=False, highlight=False, soft_wrap=not out.is_terminal)
    say.print(f"Written: {planned.write(found)}", markup=False, highlight=False, soft_wrap=True)
