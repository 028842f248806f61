"""``attn-nas search``."""

from __future__ import annotations

import os
import shlex
import sys
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from attn_nas.errors import UsageError

if TYPE_CHECKING:
    from attn_nas.engine.search import Search
    from attn_nas.execution.settings import Local, Ray


def search(
    space: Annotated[str | None, typer.Option(help="Search-space file, or the name of a shipped one.")] = None,
    budget: Annotated[int | None, typer.Option(help="Candidates to train; 50 for a new run.")] = None,
    time_budget: Annotated[
        str | None, typer.Option(help="End after this long, 30m or 1h30m; without --budget this alone ends the search.")
    ] = None,
    confirm: Annotated[
        int | None, typer.Option(help="Seeds with which the front and the references are trained again; 2 for a new run.")
    ] = None,
    early_stopping: Annotated[
        bool | None, typer.Option(help="Pause candidates that will hardly be on the front; off for a new run.")
    ] = None,
    run: Annotated[Path | None, typer.Option(help="Run folder; a new one under runs/ by default.")] = None,
    max_flops: Annotated[
        str | None, typer.Option(help="Most FLOPs of a candidate: in all (45M) or over the bare trunk (+200k, +5%).")
    ] = None,
    max_params: Annotated[str | None, typer.Option(help="Most parameters of a candidate, written likewise.")] = None,
    warm_start: Annotated[Path | None, typer.Option(help="An earlier run on the same trunk, to learn from.")] = None,
    storage: Annotated[
        str | None,
        typer.Option(help="Keep the study on a server, postgresql://user@host/database; for new runs also ATTN_NAS_STORAGE."),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of everything; 0 for a new run.")] = None,
    workers: Annotated[int | None, typer.Option(help="Processes that train; one per core on a CPU, measured on GPUs.")] = None,
    threads: Annotated[int | None, typer.Option(help="Threads of each of them; cores / workers by default.")] = None,
    trial_timeout: Annotated[
        str | None, typer.Option(help="Replace a worker that takes longer than this, 20m, for a training.")
    ] = None,
    executor: Annotated[str, typer.Option(help="local, or ray: train on the nodes of a Ray cluster.")] = "local",
    address: Annotated[
        str | None, typer.Option(help="Head of the Ray cluster, host:6379, or auto; by default one is started on this machine.")
    ] = None,
    gpus_per_trial: Annotated[
        float | None, typer.Option(help="Share of a GPU, or number of them, that a training takes on Ray; 1 if there are any.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    precision: Annotated[str | None, typer.Option(help="auto, fp32 or bf16; the space's proxy.precision by default.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with --run, or with the latest run.")] = False,
    download: Annotated[bool, typer.Option("--download", help="Fetch the data set if it is missing.")] = False,
    export: Annotated[bool, typer.Option(help="Export the front as model folders at the end.")] = True,
    json: Annotated[bool, typer.Option("--json", help="Events as JSON Lines on stdout.")] = False,
) -> None:
    """Search for attention placements; ends with a Pareto front and its models in the run folder."""
    from attn_nas.events.types import Event, JsonLines, Listener, SearchFinished
    from attn_nas.export import export_front
    from attn_nas.format import parse_seconds
    from attn_nas.report import write_front
    from attn_nas.terminal.closing import closing_words
    from attn_nas.terminal.console import can_redraw, console
    from attn_nas.terminal.lines import Lines
    from attn_nas.terminal.live.view import live_view
    from attn_nas.terminal.tables import front_table

    execution = _execution(
        executor,
        address,
        gpus_per_trial,
        workers=workers,
        threads=threads,
        device=device,
        trial_timeout=trial_timeout,
    )
    out, err = console(), console(stderr=True)
    ended: list[SearchFinished] = []

    def note_end(event: Event) -> None:
        if isinstance(event, SearchFinished):
            ended.append(event)

    with ExitStack() as stack:
        shown: Listener
        if json:
            shown = JsonLines(sys.stdout)
        elif can_redraw(out, err):
            shown = stack.enter_context(live_view(err))
        else:
            shown = Lines(out)
        if resume:
            if max_flops is not None or max_params is not None or warm_start is not None:
                raise UsageError("limits and a warm start belong to the beginning of a run: leave them out, or begin a new run")
            chosen = _loaded(space, run, seed, precision, storage, download=download)
        else:
            chosen = _new(space, max_flops, max_params, run, seed, precision, storage, warm_start, download=download)
        found = chosen.optimize(
            budget,
            None if time_budget is None else parse_seconds("--time-budget", time_budget),
            confirm=confirm,
            early_stopping=early_stopping,
            execution=execution,
            callbacks=(shown, note_end),
        )
    finished, where = ended[-1], found.folder.path
    written = write_front(found, where)
    if not json:
        out.print(front_table(found.front, f"Pareto front of {len(found.front)}", out.width))
    lines = closing_words(found, finished)
    lines.append(f"Written: {', '.join(path.name for path in written)} in {where}")
    say = err if json else out
    show = partial(say.print, markup=False, highlight=False, soft_wrap=not say.is_terminal)
    for line in lines:
        show(line)
    if export and finished.why != "interrupted" and export_front(found, where / "export", force=True, prune=True):
        show(f"Models, verified: {where / 'export'}/KEY/model.py")
    if found.knee:
        show(f"Next: attn-nas show {shlex.quote(str(where))} {found.knee.record.key}")
    if finished.why == "interrupted":
        raise typer.Exit(130)
    if not found.candidates:
        raise typer.Exit(1)


def _loaded(
    space: str | None, run: Path | None, seed: int | None, precision: str | None, storage: str | None, *, download: bool
) -> Search:
    """The search of an earlier run; raises UsageError if it was begun with another space, seed or precision."""
    from attn_nas.engine.search import Search

    found = Search.load(run, storage=storage, download=download)
    found.check(space=space, seed=seed, precision=precision)
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
    download: bool,
) -> Search:
    """A new search, whose limits and precision may be others than the space's."""
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
) -> Local | Ray:
    """The execution that the options describe; raises UsageError."""
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
