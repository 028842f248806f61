"""Writes the results of a search that has ended, and tells listeners how far that is."""

import shlex
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
    """The written ``files`` of the front, and the folders of the exported ``models``."""

    files: Sequence[Path]
    models: Sequence[Path]

    def lines(self, run: "Run") -> list[str]:
        """What was written into the folder of ``run``, for people: the files, and the model of the pick with the others."""
        written = [f"Written: {', '.join(path.name for path in self.files)} in {run.folder.path}"]
        picked = [folder for folder in self.models if folder.name == run.verdict.pick]
        others = len(self.models) - len(picked)
        more = f", and {others} more in {self.models[0].parent}" if others else ""
        return written + [f"Model of the pick, verified: {folder / 'model.py'}{more}" for folder in picked]


def unwritten_lines(run: "Run", *, export: bool) -> list[str]:
    """What to do where the results of ``run`` could not be written, for people; empty unless models were to be exported."""
    where, to = (shlex.quote(str(path)) for path in (run.folder.path, run.folder.path / "export"))
    return [f"The models are not exported. To export them later: attn-nas export {where} --to {to} --force"] * export


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
            models = _exported(run, folder / "export", advance) if export else []
            advance(len(models), len(models))
    except BrokenPipeError:  # of a listener, not of the folder
        raise
    except OSError as error:
        raise ExportError(f"cannot write to {folder}: {error.strerror or error}") from None
    return Results(files, models)


def _exported(run: "Run", folder: Path, advance: Callable[[int, int | None], None]) -> list[Path]:
    """Export the front and the pick of ``run``; ``advance`` is called until the last model is verified."""
    from attn_nas.export import export_front

    def note(done: int, models: int) -> None:
        if done < models:
            advance(done, models)

    return export_front(run, folder, force=True, prune=True, on_verified=note)
