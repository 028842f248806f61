"""``attn-nas export``."""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import Annotated

import typer

from attn_nas.cli.results import JsonOption, RunArgument


def export(
    run: RunArgument,
    trial: Annotated[list[str] | None, typer.Option(help="Key of a candidate, or its beginning; once for each.")] = None,
    knee: Annotated[bool, typer.Option("--knee", help="The knee of the front.")] = False,
    front: Annotated[bool, typer.Option("--front", help="The whole front: the default.")] = False,
    best_under: Annotated[
        str | None, typer.Option(help="The most accurate with so many FLOPs: in all (45M), or over the bare trunk (+1%).")
    ] = None,
    format: Annotated[
        str, typer.Option(help="Formats: source, safetensors, insert, hub, pt2, onnx; several with commas.")
    ] = "source,safetensors,insert",
    retrained: Annotated[
        bool, typer.Option("--retrained", help="With the weights of the full training; its winners by default.")
    ] = False,
    to: Annotated[Path, typer.Option(help="Folder to export to.")] = Path("export"),
    force: Annotated[bool, typer.Option("--force", help="Replace folders that are there already.")] = False,
    without_data: Annotated[
        bool, typer.Option("--without-data", help="Do not reproduce the recorded accuracy, which needs the data set.")
    ] = False,
    download: Annotated[bool, typer.Option("--download", help="Fetch the data set if it is missing.")] = False,
    json: JsonOption = False,
) -> None:
    """Export candidates, a verified folder each, to use without attn-nas; with the front also its table and picture."""
    from attn_nas.export import chosen_formats, export_candidates
    from attn_nas.followups.full_training import FullTraining
    from attn_nas.report import write_front
    from attn_nas.runs.run import Run
    from attn_nas.runs.selection import Selection

    formats = chosen_formats(name.strip() for name in format.split(",") if name.strip())
    opened = Run(run)
    selection = Selection(trial or (), knee, front, best_under)
    with_front = front or not (selection.is_explicit or retrained)
    if retrained and not selection.is_explicit:
        selection = Selection(FullTraining.of(opened).winners)
    folders = export_candidates(
        opened,
        selection.of(opened),
        to,
        formats=formats,
        force=force,
        retrained=retrained,
        without_data=without_data,
        download=download,
    )
    files = write_front(opened, to) if with_front else []
    if json:
        models = [
            {"key": folder.name, "folder": str(folder), "files": sorted(path.name for path in folder.iterdir())}
            for folder in folders
        ]
        print(json_module.dumps({"models": models, "files": [str(path) for path in files]}, indent=2))
        return
    for path in (*folders, *files):
        print(path)
