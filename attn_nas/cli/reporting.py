"""``attn-nas report``: a run as a document."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from attn_nas.cli.options import RunArgument
from attn_nas.errors import UsageError, unknown

if TYPE_CHECKING:
    from attn_nas.report.pages.reading import RunReading

_FILES = {"html": "report.html", "md": "report.md", "csv": "trials.csv", "tensorboard": "tensorboard"}


def report(
    run: RunArgument,
    format: Annotated[str, typer.Option(help="html, md (a summary), csv (all trials) or tensorboard (scalars).")] = "html",
    to: Annotated[Path | None, typer.Option(help="Output file, - for stdout; by default a file in the run.")] = None,
) -> None:
    """Write the pages of the dashboard as one self-contained HTML file, or a run as Markdown, CSV or TensorBoard scalars."""
    from attn_nas.report.pages.reading import RunReading
    from attn_nas.report.result_files import write_file
    from attn_nas.report.scalars import write_scalars
    from attn_nas.terminal.console import console

    if format not in _FILES:
        raise UsageError(unknown("format", format, _FILES))
    reading = RunReading.of(run)
    target = to or run / _FILES[format]
    if format == "tensorboard":
        if str(to) == "-":
            raise UsageError("--to -: TensorBoard scalars need a folder; name a folder")
        written = write_scalars(reading.run, target)
    else:
        content = _content(format, reading)
        if str(to) == "-":
            print(content, end="")
            return
        written = write_file(content, target)
    console(stderr=True).print(f"Written: {written}", markup=False, highlight=False, soft_wrap=True)


def _content(format: str, reading: "RunReading") -> str:
    from attn_nas.report.document import html_report
    from attn_nas.report.markdown import markdown_report
    from attn_nas.report.scalars import trials_csv

    if format == "csv":
        return trials_csv(reading.run)
    return markdown_report(reading) if format == "md" else html_report(reading)
