"""``attn-nas export``: trained candidates as files."""

import json as json_module
from pathlib import Path
from typing import Annotated

import typer

from attn_nas.cli.options import (
    BestUnderOption,
    DataRootOption,
    DownloadOption,
    JsonOption,
    KeysArgument,
    PickOption,
    RunArgument,
)
from attn_nas.terminal.waiting import waiting


def export(
    run: RunArgument,
    keys: KeysArgument = None,
    pick: PickOption = False,
    front: Annotated[bool, typer.Option("--front", help="Select all members of the front; the default.")] = False,
    best_under: BestUnderOption = None,
    format: Annotated[
        str, typer.Option(help="Formats, separated by commas: source, safetensors, insert, hub, pt2, onnx.")
    ] = "source,safetensors,insert",
    retrained: Annotated[
        bool, typer.Option("--retrained", help="Export the weights of the full training; by default those of its winners.")
    ] = False,
    to: Annotated[Path, typer.Option(help="Output folder.")] = Path("export"),
    force: Annotated[bool, typer.Option("--force", help="Replace existing folders.")] = False,
    trial: Annotated[list[str] | None, typer.Option(hidden=True)] = None,
    without_data: Annotated[
        bool, typer.Option("--without-data", help="Do not reproduce the recorded accuracy, which needs the data set.")
    ] = False,
    data_root: DataRootOption = None,
    download: DownloadOption = False,
    json: JsonOption = False,
) -> None:
    """Export trained candidates as model folders that run without attn-nas; each is verified before it is kept.

    An export of the front also writes front.json, front.csv and front.svg.
    """
    with waiting():
        from attn_nas.export import chosen_formats, export_candidates
        from attn_nas.followups.full_training import FullTraining
        from attn_nas.report import write_front
        from attn_nas.runs.run import Run
        from attn_nas.runs.selection import Selection

        formats = chosen_formats(name.strip() for name in format.split(",") if name.strip())
        opened = Run(run, data_root=data_root)
    selection = Selection((*(keys or ()), *(trial or ())), pick, front, best_under)
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
