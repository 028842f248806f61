"""``attn-nas why``, with the former ``insight`` and ``maps``: effects of attention on accuracy, maps of single candidates."""

import json as json_module
from pathlib import Path
from typing import Annotated

import typer

from attn_nas.cli.options import (
    BestUnderOption,
    DataRootOption,
    DownloadOption,
    FrontOption,
    JsonOption,
    KeysArgument,
    PickOption,
    RunArgument,
)
from attn_nas.errors import UsageError
from attn_nas.terminal.waiting import waiting

_NUM_IMAGES = 6


def why(
    run: RunArgument,
    keys: KeysArgument = None,
    pick: PickOption = False,
    front: FrontOption = False,
    best_under: BestUnderOption = None,
    images: Annotated[
        int | None, typer.Option(help=f"For maps: number of validation images in the picture; by default {_NUM_IMAGES}.")
    ] = None,
    to: Annotated[Path | None, typer.Option("--to", help="For maps: output folder; by default maps/ in the run.")] = None,
    data_root: DataRootOption = None,
    download: DownloadOption = False,
    json: JsonOption = False,
) -> None:
    """Explain a result: what each mechanism, position and block adds; with a KEY, where that candidate looks.

    Without KEY or a selecting option: estimates from all trainings what placements add to the bare trunk, and to the pick of
    the search, with 90 % intervals, and writes insight.json and insight.svg into the run folder. With them: shows activation
    maps and gates of candidates, next to the bare trunk and CBAM everywhere, and writes a picture KEY.png for each.
    """
    if keys or pick or front or best_under is not None:
        maps(run, keys, pick, front, best_under, _NUM_IMAGES if images is None else images, to, data_root, download, json)
        return
    for option, value in (("--images", images), ("--to", to), ("--data-root", data_root), ("--download", download or None)):
        if value is not None:
            raise UsageError(f"{option} is for maps of candidates: add a KEY, --pick, --front or --best-under")
    insight(run, json)


def insight(run: RunArgument, json: JsonOption = False) -> None:
    """Estimate what each mechanism, position and block adds in accuracy; same as attn-nas why RUN."""
    with waiting():
        from attn_nas.report import write_insight
        from attn_nas.runs.run import Run
        from attn_nas.terminal.console import console
        from attn_nas.terminal.insight_table import insight_notes, insight_tables

        opened = Run(run)
        found = opened.insight
    out = console(highlight=False)
    if json:
        print(json_module.dumps(found.to_dict(opened.metric), indent=2))
    else:
        for table in insight_tables(found, opened.metric):
            out.print(table)
            out.print()
        for line in insight_notes(found, opened.metric, opened.verdict.epochs):
            out.print(line, markup=False, soft_wrap=not out.is_terminal)
    written = write_insight(found, opened, opened.folder.path)
    if not json:
        names = ", ".join(path.name for path in written)
        out.print(f"Written: {names} in {opened.folder.path}", markup=False, soft_wrap=not out.is_terminal)


def maps(
    run: RunArgument,
    keys: KeysArgument = None,
    pick: PickOption = False,
    front: FrontOption = False,
    best_under: BestUnderOption = None,
    images: Annotated[int, typer.Option(help="Number of validation images in the picture.")] = _NUM_IMAGES,
    to: Annotated[Path | None, typer.Option("--to", help="Output folder; by default maps/ in the run.")] = None,
    data_root: DataRootOption = None,
    download: DownloadOption = False,
    json: JsonOption = False,
) -> None:
    """Show activation maps and gates of candidates, by default of the pick; same as attn-nas why RUN KEY."""
    with waiting():
        from attn_nas.maps import compare
        from attn_nas.report import write_maps
        from attn_nas.runs.run import Run
        from attn_nas.runs.selection import Selection
        from attn_nas.terminal.console import console
        from attn_nas.terminal.maps_table import GLOSSARY, maps_notes, maps_tables

        opened = Run(run, data_root=data_root)
        selected = Selection(keys or (), pick, front, best_under, otherwise="pick").of(opened)
    comparisons = compare(opened, selected, images, download=download)
    written = write_maps(comparisons, to or opened.folder.maps)
    if json:
        documents = [{"file": str(path), **comparison.to_dict()} for path, comparison in zip(written, comparisons, strict=True)]
        print(json_module.dumps(documents, indent=2))
        return
    out = console(highlight=False)
    for table in maps_tables(comparisons):
        out.print(table)
        out.print()
    notes = [line for comparison in comparisons for line in maps_notes(comparison)]
    for line in (*notes, GLOSSARY, *(f"Written: {path}" for path in written)):
        out.print(line, markup=False, soft_wrap=not out.is_terminal)
