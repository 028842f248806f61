"""``attn-nas bench``: search strategies on a table of trainings."""

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
    table: Annotated[Path | None, typer.Option(help="Parquet file of trainings; by default the embedded table.")] = None,
    seeds: Annotated[int, typer.Option(help="Number of searches per strategy.")] = 50,
    budget: Annotated[int, typer.Option(help="Number of trials per search.")] = 100,
    workers: Annotated[int, typer.Option(help="Number of simulated trainings at a time.")] = 1,
    noise_free: Annotated[
        bool, typer.Option("--noise-free", help="Trials return the mean over all seeds, not the accuracy of one seed.")
    ] = False,
    split: Annotated[
        str, typer.Option(help="Split that scores the fronts: test, or validation, which the searches use.")
    ] = "test",
    processes: Annotated[int | None, typer.Option(help="Number of processes; by default one per core.")] = None,
    svg: Annotated[Path | None, typer.Option(help="Draw the regret to this file.")] = None,
    over: Annotated[str, typer.Option(help="Horizontal axis of that drawing: trials or seconds.")] = "trials",
    json: JsonOption = False,
) -> None:
    """Compare search strategies on a table of trainings: simulates whole searches in seconds."""
    from typing import get_args

    from rich.progress import Progress

    from attn_nas.benchmark import EMBEDDED, NamedStrategy, SplitName, Table, Terms, compare
    from attn_nas.errors import UsageError, choose_from
    from attn_nas.machine import usable_cores
    from attn_nas.report.charts.bench_svg import bench_svg
    from attn_nas.terminal.bench import bench_summary, bench_tables
    from attn_nas.terminal.console import console

    splits: dict[str, SplitName] = {name: name for name in get_args(SplitName)}
    if split not in splits:
        raise UsageError(f"--split {split}: {choose_from(split, splits)}")
    if over not in ("trials", "seconds"):
        raise UsageError(f"--over {over}: {choose_from(over, ('trials', 'seconds'))}")
    opened = Table.load(table or EMBEDDED)
    strategies = {name: NamedStrategy(name) for name in strategy or ("attn-nas", "random")}
    for make in strategies.values():
        make(opened, 0)
    out, err = console(), console(stderr=True)
    with Progress(console=err, transient=True, disable=not err.is_terminal) as progress:
        task = progress.add_task("simulating", total=seeds * len(strategies))
        comparison = compare(
            opened,
            strategies,
            seeds,
            Terms(budget, workers, noise_free, splits[split]),
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
