"""``attn-nas search``: start a search, or continue one."""

import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from attn_nas.cli.options import DataRootOption, DownloadOption, ThreadsOption
from attn_nas.cli.results import Results, unwritten_lines, write_results
from attn_nas.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from attn_nas.engine.search import Search
    from attn_nas.events.types import SearchFinished
    from attn_nas.execution.settings import Local, Ray
    from attn_nas.runs.run import Run


def search(
    space: Annotated[
        str | None, typer.Option(help="Search-space file, or the name of a space of attn-nas catalog spaces.")
    ] = None,
    budget: Annotated[int | None, typer.Option(help="Number of candidates to train; 50 for a new run.")] = None,
    time_budget: Annotated[
        str | None,
        typer.Option(help="End the search after this time, as 30m or 1h30m; without --budget this alone ends it."),
    ] = None,
    confirm: Annotated[
        int | None,
        typer.Option(help="Number of new seeds to train the likely front and the best references with; 1 for a new run."),
    ] = None,
    early_stopping: Annotated[
        bool | None, typer.Option(help="Pause candidates that are unlikely to reach the front; off for a new run.")
    ] = None,
    run: Annotated[Path | None, typer.Option(help="Run folder; by default a new one under runs/.")] = None,
    max_flops: Annotated[
        str | None, typer.Option(help="Maximum FLOPs of a candidate: in all (45M), or over the bare trunk (+200k, +5%).")
    ] = None,
    max_params: Annotated[
        str | None, typer.Option(help="Maximum parameters of a candidate: in all (6M), or over the bare trunk (+1k, +5%).")
    ] = None,
    warm_start: Annotated[Path | None, typer.Option(help="Learn from this earlier run on the same trunk.")] = None,
    storage: Annotated[
        str | None,
        typer.Option(
            help="Store the study on this server, postgresql://user@host/database; a new run also reads ATTN_NAS_STORAGE."
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of sampling and training; 0 for a new run.")] = None,
    workers: Annotated[
        int | None, typer.Option(help="Number of processes that train; by default one per core on a CPU, measured on GPUs.")
    ] = None,
    threads: ThreadsOption = None,
    trial_timeout: Annotated[
        str | None, typer.Option(help="Replace a worker whose training takes longer than this time, as 20m.")
    ] = None,
    executor: Annotated[str, typer.Option(help="local, or ray: train on the nodes of a Ray cluster.")] = "local",
    address: Annotated[
        str | None,
        typer.Option(help="Head of the Ray cluster, host:6379, or auto; by default a cluster is started on this machine."),
    ] = None,
    gpus_per_trial: Annotated[
        float | None, typer.Option(help="GPUs per training on Ray, a number or a fraction; by default 1 if there are any.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    precision: Annotated[
        str | None, typer.Option(help="auto, fp32 or bf16; by default proxy.precision of the search space.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the run of --run, or the latest run.")] = False,
    data_root: DataRootOption = None,
    download: DownloadOption = False,
    export: Annotated[bool, typer.Option(help="Export the models of the front and the pick at the end.")] = True,
    json: Annotated[bool, typer.Option("--json", help="Print events as JSON Lines on stdout.")] = False,
) -> None:
    """Search for attention placements; writes the Pareto front and its models into the run folder."""
    from attn_nas.events.types import Event, Listener, SearchFinished, SearchStarted
    from attn_nas.format import parse_seconds
    from attn_nas.terminal.console import can_redraw, console
    from attn_nas.terminal.event_lines import EventLines
    from attn_nas.terminal.lines import Lines, about_data
    from attn_nas.terminal.live.view import live_view

    execution = _execution(
        executor,
        address,
        gpus_per_trial,
        workers=workers,
        threads=threads,
        device=device,
        trial_timeout=trial_timeout,
    )
    _check_least(budget=(budget, 1), confirm=(confirm, 0))
    seconds = None if time_budget is None else parse_seconds("--time-budget", time_budget)
    out, err = console(), console(stderr=True)
    started: list[SearchStarted] = []
    ended: list[SearchFinished] = []

    def note_ends(event: Event) -> None:
        if isinstance(event, SearchStarted):
            started.append(event)
        elif isinstance(event, SearchFinished):
            ended.append(event)

    is_redrawn = not json and can_redraw(out, err)
    found: Run | None = None
    results: Results | None = None
    try:
        with ExitStack() as stack:
            shown: Listener
            if json:
                shown = EventLines(sys.stdout)
            elif is_redrawn:
                shown = stack.enter_context(live_view(err))
            else:
                shown = lines = Lines(out)
                if out.is_terminal:
                    lines.prepare()
            if resume:
                limits = (max_flops, max_params, warm_start)
                chosen = _loaded(space, run, seed, precision, storage, only_new=limits, data_root=data_root, download=download)
            else:
                chosen = _new(
                    space,
                    max_flops,
                    max_params,
                    run,
                    seed,
                    precision,
                    storage,
                    warm_start,
                    data_root=data_root,
                    download=download,
                )
            found = chosen.optimize(
                budget,
                seconds,
                confirm=confirm,
                early_stopping=early_stopping,
                execution=execution,
                callbacks=(shown, note_ends),
            )
            finished = ended[-1]
            export = export and finished.why != "interrupted"
            results = write_results(found, [shown], export=export)
    finally:
        if found is not None:  # what was found is said also where it cannot be written
            written = results.lines(found) if results else unwritten_lines(found, export=export)
            # the live view has shown the lines about the data, and is gone
            _show_end(found, ended[-1], [*(about_data(started[-1]) if is_redrawn else ()), *written], err if json else out)
    if finished.why == "interrupted":
        raise typer.Exit(130)
    if not found.candidates:
        raise typer.Exit(1)


def _show_end(found: "Run", finished: "SearchFinished", before: Sequence[str], messages: "Console") -> None:
    """Print the lines ``before``, the pick with its verdict, and the next command."""
    from attn_nas.terminal.closing import closing_lines, line_style

    for line in (*before, *closing_lines(found, finished)):
        messages.print(line, style=line_style(line), markup=False, highlight=False, soft_wrap=not messages.is_terminal)


def _check_least(**options: tuple[int | None, int]) -> None:
    """Raise UsageError for an option, by name, that is below the least allowed."""
    for name, (number, least) in options.items():
        if number is not None and number < least:
            raise UsageError(f"{name} = {number}: choose an integer of at least {least}")


def _loaded(
    space: str | None,
    run: Path | None,
    seed: int | None,
    precision: str | None,
    storage: str | None,
    *,
    only_new: Sequence[object],
    data_root: Path | None,
    download: bool,
) -> "Search":
    """The search of an earlier run.

    Raises:
        UsageError: it was begun with another space, seed or precision, or an option that is ``only_new`` is given.

    """
    from attn_nas.engine.search import Search
    from attn_nas.space.loading import load_space

    if any(option is not None for option in only_new):
        raise UsageError("limits and a warm start are for new runs: leave them out, or start a new run")
    given = None if space is None else load_space(space)
    if data_root is None and given and given.data and given.data.root and Path(given.data.root).is_dir():
        data_root = Path(given.data.root)  # a space that differs in the place of its data alone is that of the run
    found = Search.load(run, storage=storage, data_root=data_root, download=download)
    found.check(space=given, seed=seed, precision=precision)
    return found


def _new(
    space: str | None,
    max_flops: str | None,
    max_params: str | None,
    run: Path | None,
    seed: int | None,
    precision: str | None,
    storage: str | None,
    warm_start: Path | None,
    *,
    data_root: Path | None,
    download: bool,
) -> "Search":
    """Make a new search; limits and precision replace those of the space."""
    from attn_nas.engine.search import DEFAULT_SPACE, Search
    from attn_nas.space.loading import load_space
    from attn_nas.storage.address import VARIABLE

    source = space or DEFAULT_SPACE
    return Search(
        load_space(source).with_limits(max_flops=max_flops, max_params=max_params),
        name=Path(source).stem,
        training=None if precision is None else {"precision": precision},
        run=run,
        seed=0 if seed is None else seed,
        storage=storage or os.environ.get(VARIABLE) or None,
        warm_start=warm_start,
        data_root=data_root,
        download=download,
    )


def _execution(
    executor: str,
    address: str | None,
    gpus_per_trial: float | None,
    *,
    workers: int | None,
    threads: int | None,
    device: str,
    trial_timeout: str | None,
) -> "Local | Ray":
    """Make the execution settings from the options.

    Raises:
        UsageError: the executor is unknown, or an option of Ray is given without it.

    """
    from attn_nas.execution.settings import Local, Ray
    from attn_nas.format import parse_seconds

    if executor not in ("local", "ray"):
        raise UsageError(f"--executor {executor}: choose from local, ray")
    limit = None if trial_timeout is None else parse_seconds("--trial-timeout", trial_timeout)
    if executor == "ray":
        return Ray(
            address=address,
            gpus_per_trial=gpus_per_trial,
            workers=workers,
            threads=threads,
            device=device,
            trial_timeout=limit,
        )
    for name, value in (("--address", address), ("--gpus-per-trial", gpus_per_trial)):
        if value is not None:
            raise UsageError(f"{name} {value} is for a Ray cluster: add --executor ray, or leave it out")
    return Local(workers=workers, threads=threads, device=device, trial_timeout=limit)
