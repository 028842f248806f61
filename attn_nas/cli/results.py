"""Writes the results of a search that has ended, and tells listeners how far that is."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from attn_nas.errors import ExportError
from attn_nas.events.types import Event, ExportAdvanced, JsonLines, Listener, open_log

if TYPE_CHECKING:
    from attn_nas.runs.run import Run


@dataclass(frozen=True)
class Results:
    """The written ``files`` of the front, and the folder with the exported ``models``; None if there are none."""

    files: Sequence[Path]
    models: Path | None

    def lines(self, folder: Path) -> list[str]:
        """What was written into the run's ``folder``, for people."""
        names = ", ".join(path.name for path in self.files)
        return [f"Written: {names} in {folder}", *([f"Models, verified: {self.models}/KEY/model.py"] if self.models else [])]


def write_results(run: "Run", listeners: Sequence[Listener], *, export: bool) -> Results:
    """Write the front of ``run``, and with ``export`` its models; the events go to ``listeners`` and into the run's log.

    Raises:
        ExportError: the run's folder cannot be written, or a model fails its verification.

    """
    from attn_nas.report import write_front

    folder = run.folder.path
    try:
        with open_log(run.folder.events) as log:
            told: tuple[Listener, ...] = (JsonLines(log), *listeners)

            def advance(done: int, models: int | None) -> None:
                event: Event = ExportAdvanced(done=done, models=models)
                for listener in told:
                    listener(event)

            advance(0, None)
            files = write_front(run, folder)
            models = _exported(run, folder / "export", advance) if export else 0
            advance(models, models)
    except BrokenPipeError:  # of a listener, not of the folder
        raise
    except OSError as error:
        raise ExportError(f"cannot write to {folder}: {error.strerror or error}") from None
    return Results(files, folder / "export" if models else None)


def _exported(run: "Run", folder: Path, advance: Callable[[int, int | None], None]) -> int:
    """Export the front of ``run``, of which one model is told to be left until all is done; returns the number of models."""
    from attn_nas.export import export_front

    return len(
        export_front(
            run, folder, force=True, prune=True, on_verified=lambda done, models: advance(min(done, models - 1), models)
        )
    )
