"""``attn-nas init``: write the first search space for data."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from attn_nas.errors import UsageError


def init(
    data: Annotated[Path, typer.Argument(help="Folder of images, CSV list, or NumPy arrays (a folder or an .npz file).")],
    trunk: Annotated[
        str | None,
        typer.Option(help="Trunk and depth, as resnet18; by default one for the size of the images."),
    ] = None,
    mirror: Annotated[
        bool, typer.Option("--mirror", help="Mirror training images; right only where this does not change their class.")
    ] = False,
    weights: Annotated[
        Path | None, typer.Option(help="Start candidates from these weights of the trunk (safetensors), and fine-tune.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="File to write; by default the name of the data with .yaml.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
) -> None:
    """Look at your images, measure a training step, and write a search space with a comment on each choice.

    Nothing is asked. The last lines say how long a search of 50 candidates takes, and how to begin it.
    """
    from attn_nas.followups.first_space import TRIALS, first_space
    from attn_nas.format import duration
    from attn_nas.terminal.console import console

    written = out or Path(f"{data.absolute().stem if data.is_file() else data.absolute().name}.yaml")
    if written.exists():
        raise UsageError(f"{written} exists already: name another file with --out, or remove it")
    found = first_space(data, written, trunk=trunk, mirror=mirror, weights=weights, device=device)
    found.write(written)
    messages = console()
    for line in found.lines:
        messages.print(line, markup=False, highlight=False, soft_wrap=True)
    name = shlex.quote(str(written))
    for line in (
        f"Written: {written}",
        f"A search of {TRIALS} candidates takes about {duration(found.seconds)} on this machine. Begin it:",
        f"  attn-nas search --space {name} --budget {TRIALS}",
    ):
        messages.print(line, markup=False, highlight=False, soft_wrap=True)
