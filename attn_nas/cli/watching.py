"""``attn-nas watch``: follow a search from outside its process."""

import shlex
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from attn_nas.errors import RunError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from attn_nas.monitor.follow import LogUpdate, Watch


def watch(
    run: Annotated[str, typer.Argument(metavar="RUN_OR_URL", help="Run folder, or address of a run in a dashboard.")],
    json: Annotated[bool, typer.Option("--json", help="Print events as JSON Lines, past events first.")] = False,
) -> None:
    """Follow a search that runs in another process or on another machine; Ctrl-C ends only this command."""
    from attn_nas.monitor.follow import Watch, folder_updates
    from attn_nas.monitor.remote import remote_updates
    from attn_nas.terminal.console import console

    is_remote = run.startswith(("http://", "https://"))
    watched = Watch(remote_updates(run) if is_remote else folder_updates(run))
    out = console(stderr=json, highlight=False)
    try:
        _show(watched, json=json)
    except KeyboardInterrupt:
        out.print("left; the search continues", markup=False)
        raise typer.Exit(130) from None
    out.print(_closing(watched, None if is_remote else run), markup=False, soft_wrap=not out.is_terminal)


def _show(watched: "Watch", *, json: bool) -> None:
    """Print lines or JSON Lines, or draw the live view, until the search ends."""
    from attn_nas.terminal.console import can_redraw, console

    out, err = console(), console(stderr=True)
    if json:
        _pass_on(iter(watched))
    elif can_redraw(out, err):
        from attn_nas.terminal.live.picture import picture

        _draw(watched)
        if watched.progress.started:
            out.print(picture(watched.progress, now=watched.progress.last))
    else:
        from attn_nas.terminal.lines import Lines

        lines, updates = Lines(out), iter(watched)
        lines.catch_up(next(updates).events)
        for update in updates:
            for event in update.events:
                lines(event)


def _pass_on(updates: "Iterator[LogUpdate]") -> None:
    from attn_nas.terminal.event_lines import EventLines

    shown = EventLines(sys.stdout)
    for update in updates:
        for line in update.lines:
            shown.pass_on(line)


def _draw(watched: "Watch") -> None:
    from attn_nas.events.progress import SearchProgress
    from attn_nas.terminal.console import console
    from attn_nas.terminal.live.picture import LEAVE
    from attn_nas.terminal.live.view import live_view

    shown, updates = SearchProgress(), iter(watched)
    for event in next(updates).events:
        shown(event)
    with live_view(console(stderr=True), shown, LEAVE) as listener:
        for update in updates:
            for event in update.events:
                listener(event)


def _closing(watched: "Watch", folder: str | None) -> str:
    """State how the search has ended, and the next command; ``folder`` is None for a run behind a dashboard.

    Raises:
        RunError: the search has not ended, and no process works on it.

    """
    from attn_nas.terminal.lines import ENDED, trained

    progress = watched.progress
    start, ended = progress.started, progress.ended
    where = shlex.quote(folder or (start.run if start else "RUN"))
    there = "" if folder else " (where it ran)"
    if ended is None:
        finished = f"{progress.finished}{f' of {start.budget}' if start and start.budget else ''} candidates are done"
        raise RunError(f"no search works on this run: {finished}. Continue{there} with: attn-nas search --resume --run {where}")
    more = f" Continue{there} with: attn-nas search --resume --run {where}." if ended.why == "interrupted" else ""
    return f"The search has ended: {trained(ended)}, {ENDED[ended.why]}.{more} Next{there}: attn-nas show {where}"
