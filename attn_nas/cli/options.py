"""Arguments and options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

MAX_SEEDS, MAX_EPOCHS = 1000, 100_000
"""Upper limits of plausible values: a typing error is refused before trainings are planned."""

RunArgument = Annotated[Path, typer.Argument(help="Run folder.")]
KeysArgument = Annotated[list[str] | None, typer.Argument(metavar="KEY", help="Keys of candidates, or the beginnings of keys.")]
PickOption = Annotated[
    bool, typer.Option("--pick", help="Select the pick: the cheapest that cannot be told apart from the most accurate.")
]
FrontOption = Annotated[bool, typer.Option("--front", help="Select all members of the front.")]
BestUnderOption = Annotated[
    str | None,
    typer.Option(help="Select the pick of the candidates up to a number of FLOPs: in all (45M), or over the bare trunk (+1%)."),
]
WorkersOption = Annotated[int | None, typer.Option(help="Number of processes that train; by default one per core on a CPU.")]
ThreadsOption = Annotated[int | None, typer.Option(help="CPU threads of each process; by default cores / workers.")]
PlanOption = Annotated[bool, typer.Option("--plan", help="Print the planned trainings and their time, and train nothing.")]
DownloadOption = Annotated[bool, typer.Option("--download", help="Download the data set if it is missing.")]
DataRootOption = Annotated[
    Path | None,
    typer.Option(help="Folder where the files of the data set are now, in the place of data.root of the search space."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
