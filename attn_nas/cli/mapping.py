"""``attn-nas maps``."""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import Annotated

import typer

from attn_nas.cli.results import JsonOption, RunArgument


def maps(
    run: RunArgument,
    keys: Annotated[list[str] | None, typer.Argument(metavar="[KEY]...", help="Keys, or their beginnings.")] = None,
    knee: Annotated[bool, typer.Option("--knee", help="The front's knee; the default.")] = False,
    front: Annotated[bool, typer.Option("--front", help="Every member of the front.")] = False,
    best_under: Annotated[str | None, typer.Option(help="The most accurate below so many FLOPs: 45M, +1%.")] = None,
    images: Annotated[int, typer.Option(help="Validation images to show.")] = 6,
    to: Annotated[Path | None, typer.Option("--to", help="Folder to write to; maps/ in the run by default.")] = None,
    download: Annotated[bool, typer.Option("--download", help="Fetch the data set if it is missing.")] = False,
    json: JsonOption = False,
) -> None:
    """Show where candidates look and what their gates do, beside the bare trunk and CBAM everywhere; writes KEY.png each."""
    from attn_nas.maps import compare
    from attn_nas.report import write_maps
    from attn_nas.runs.run import Run
    from attn_nas.runs.selection import Selection
    from attn_nas.terminal.console import console
    from attn_nas.terminal.maps import GLOSSARY, comparison_tables, comparison_words

    opened = Run(run)
    selected = Selection(keys or (), knee, front, best_under, otherwise="knee").of(opened)
    comparisons = compare(opened, selected, images, download=download)
    written = write_maps(comparisons, to or opened.folder.maps)
    if json:
        documents = [{"file": str(path), **comparison.to_dict()} for path, comparison in zip(written, comparisons, strict=True)]
        print(json_module.dumps(documents, indent=2))
        return
    out = console(highlight=False)
    for table in comparison_tables(comparisons):
        out.print(table)
        out.print()
    words = [line for comparison in comparisons for line in comparison_words(comparison)]
    for line in (*words, GLOSSARY, *(f"Written: {path}" for path in written)):
        out.print(line, markup=False, soft_wrap=not out.is_terminal)
