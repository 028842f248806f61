"""``attn-nas bench``: search strategies on a landscape."""

import json as json_module
from pathlib import Path
from typing import Annotated

import typer

from attn_nas.cli.options import JsonOption


def bench(
    strategy: Annotated[
        list[str] | None,
        typer.Option(help="attn-nas, random, tpe, ..., FILE.py:CLASS or MODULE:CLASS; repeat it for several."),
    ] = None,
    landscape: Annotated[
        str | None,
        typer.Option(help="Where the searches are played: table (the default), additive, ..., or list for all names."),
    ] = None,
    table: Annotated[
        Path | None, typer.Option(help="Parquet file of trainings that are the landscape, in the place of the embedded table.")
    ] = None,
    seeds: Annotated[int, typer.Option(help="Number of searches per strategy, each on an instance of its own.")] = 50,
    budget: Annotated[int, typer.Option(help="Number of trials per search.")] = 100,
    workers: Annotated[int, typer.Option(help="Number of simulated trainings at a time.")] = 1,
    noise_free: Annotated[
        bool, typer.Option("--noise-free", help="Trials return true accuracies, not those of one training.")
    ] = False,
    processes: Annotated[int | None, typer.Option(help="Number of processes; by default one per core.")] = None,
    svg: Annotated[Path | None, typer.Option(help="Draw the regret to this file.")] = None,
    over: Annotated[str, typer.Option(help="Horizontal axis of that drawing: trials or seconds.")] = "trials",
    json: JsonOption = False,
) -> None:
    """Compare search strategies on a landscape, whose true accuracies are known: simulates whole searches in seconds."""
    from rich.progress import Progress

    from attn_nas.benchmark import LANDSCAPES, NamedStrategy, Terms, compare, recorded
    from attn_nas.benchmark import landscape as named
    from attn_nas.errors import UsageError, choose_from
    from attn_nas.machine import usable_cores
    from attn_nas.report.charts.bench_svg import bench_svg
    from attn_nas.terminal.bench import bench_summary, bench_tables
    from attn_nas.terminal.console import console

    if landscape == "list":
        about = {each.name: each.about for each in LANDSCAPES.values()}
        print(json_module.dumps(about, indent=2) if json else "\n".join(f"{name:<16}{text}" for name, text in about.items()))
        return
    if over not in ("trials", "seconds"):
        raise UsageError(f"--over {over}: {choose_from(over, ('trials', 'seconds'))}")
    if landscape is not None and table:
        raise UsageError(f"--landscape {landscape} --table {table}: choose --landscape or --table")
    chosen = recorded(table) if table else named("table" if landscape is None else landscape)
    strategies = {name: NamedStrategy(name) for name in strategy or ("attn-nas", "random")}
    first = chosen.instance(0)
    for make in strategies.values():
        make(first, 0)
    out, err = console(), console(stderr=True)
    with Progress(console=err, transient=True, disable=not err.is_terminal) as progress:
        task = progress.add_task("simulating", total=seeds * len(strategies))
        comparison = compare(
            chosen,
            strategies,
            seeds,
            Terms(budget, workers, noise_free),
            processes=usable_cores() if processes is None else processes,
            on_end=lambda name, seed: progress.advance(task),
        )
    if json:
        print(json_module.dumps(comparison.to_dict(), indent=2))
    else:
        out.print(bench_summary(comparison), highlight=False)
        for part in bench_tables(comparison):
            out.print()
            out.print(part)
    if svg:
        try:
            svg.write_text(bench_svg(comparison, over), encoding="utf-8")
        except OSError as error:
            raise UsageError(f"--svg {svg} cannot be written: {error.strerror}") from None
