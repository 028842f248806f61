"""Rebuild a documented figure or table: from committed results, or with ``--from-scratch`` from nothing.

Prints the tables as Markdown; ``--to FOLDER`` also draws the figure's pictures there. ``--from-scratch`` measures first, and
writes the new document into the same folder; committed results are never overwritten. Arguments after ``--`` go to the
command that measures. ``--list`` names all figures.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from figures.core import RESULTS, Document, Figure, FigureError
from figures.registry import FIGURES

from attn_nas.format import duration

HERE = Path(__file__).resolve().parent


def listing() -> str:
    """A paragraph for each figure: results file, time of its measurement where the results have it, and commands."""
    parts = []
    for figure in FIGURES.values():
        document = figure.load()
        seconds = document.get("seconds", document.get("wall_seconds"))
        took = f"; took {duration(seconds)}" if seconds else ""
        lines = [f"{figure.name}: {figure.about}", f"  results/{figure.results}{took}"]
        lines += [f"  $ {step.command(quick=False)}" for step in figure.steps] or ["  no command: trained in parts"]
        parts.append("\n".join(lines))
    return "\n".join(parts)


def measure(figure: Figure, to: Path, *, quick: bool, extra: Sequence[str]) -> Path:
    """Run the commands of ``figure`` with the folder ``to``, and write what the last one prints there.

    Raises:
        FigureError: there is no command, ``to`` has or is the place of other results, or a command fails.

    """
    if not figure.steps:
        raise FigureError(f"{figure.name} has no command that measures it from nothing")
    to, path = to.resolve(), to.resolve() / figure.results
    if to == RESULTS.resolve():
        raise FigureError(f"--to {to}: committed results are not overwritten; name another folder")
    if path.exists():
        raise FigureError(f"{path} exists already; name another folder or remove it")
    to.mkdir(parents=True, exist_ok=True)
    printed = ""
    for step in figure.steps:
        last = step is figure.steps[-1]
        words = [*shlex.split(step.command(quick=quick, to=shlex.quote(str(to)))), *(extra if last else ())]
        print(f"$ {shlex.join(words)}", file=sys.stderr, flush=True)
        environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
        if step.threads:
            environment["OMP_NUM_THREADS"] = str(step.threads)
        done = subprocess.run(_runnable(words), cwd=HERE, env=environment, stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            raise FigureError(f"{shlex.join(words)}: ended with exit code {done.returncode}")
        printed = done.stdout
    path.write_text(printed, encoding="utf-8")
    return path


def _runnable(words: Sequence[str]) -> list[str]:
    """The command with this interpreter and this environment's package."""
    own = {"python": [sys.executable], "attn-nas": [sys.executable, "-m", "attn_nas"]}
    return [part for word in words for part in own.get(word, [word])]


def rebuild(chosen: argparse.Namespace, extra: Sequence[str]) -> None:
    """Measure if asked to, print the tables, draw the pictures.

    Raises:
        FigureError: the figure is unknown, or cannot be rebuilt.

    """
    if chosen.figure not in FIGURES:
        raise FigureError(f"no figure {chosen.figure!r}; choose from {', '.join(FIGURES)}")
    figure = FIGURES[chosen.figure]
    path = None
    if chosen.from_scratch:
        if not chosen.to:
            raise FigureError("--from-scratch needs --to FOLDER for the new results")
        path = measure(figure, chosen.to, quick=chosen.quick, extra=extra)
    document: Document = figure.load(path)
    print(figure.markdown(document))
    if chosen.to:
        for drawn in figure.draw(document, chosen.to):
            print(f"drawn: {drawn}", file=sys.stderr)


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line; an error is one line and exit code 2."""
    given = [*(sys.argv[1:] if arguments is None else arguments)]
    split = given.index("--") if "--" in given else len(given)
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("figure", nargs="?", metavar="FIGURE", help="a name that --list prints")
    parser.add_argument("--list", action="store_true", help="name all figures, their results and their commands")
    parser.add_argument("--from-scratch", action="store_true", help="measure it first, which can take hours")
    parser.add_argument("--quick", action="store_true", help="with --from-scratch: a smaller version")
    parser.add_argument("--to", type=Path, metavar="FOLDER", help="for new results and pictures")
    chosen = parser.parse_args(given[:split])
    if not chosen.list and not chosen.figure:
        parser.error("name a figure, or --list")
    if not chosen.from_scratch and (chosen.quick or given[split + 1 :]):
        parser.error("--quick and arguments after -- belong to --from-scratch")
    try:
        if chosen.list:
            print(listing())
        else:
            rebuild(chosen, given[split + 1 :])
    except FigureError as error:
        print(f"reproduce: {error}", file=sys.stderr)
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
