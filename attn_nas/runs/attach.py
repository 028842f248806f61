"""Runs on a database server: a list of them, and run folders on this machine to read them or to resume them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from attn_nas.errors import RunError, UsageError, unknown
from attn_nas.runs.folder import RunFolder
from attn_nas.runs.manifest import RunManifest
from attn_nas.storage.address import ServerAddress
from attn_nas.storage.postgres import ServerStudy, SharedStudy, shared_studies


@dataclass(frozen=True)
class SharedRun:
    """A run on a server: name of its ``study``, number of scored ``trainings``; ``budget`` is None where time alone ends it."""

    study: str
    space: str
    trainings: int
    budget: int | None

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def shared_runs(storage: str) -> list[SharedRun]:
    """The runs on the server at the address ``storage``, sorted by name; raises UsageError or RunError."""
    return [
        SharedRun(name, str(study.manifest.get("space_name", "?")), study.scored, study.manifest.get("budget"))
        for name, study in sorted(shared_studies(ServerAddress.parse(storage)).items())
    ]


def attach(storage: str, study: str, path: str | Path | None = None) -> RunFolder:
    """Make a run folder at ``path`` (``runs/STUDY`` by default) for the run with the name ``study`` on the server ``storage``.

    The search space and the plug-ins are copied into it; plug-ins are not run. Weights and other files of trainings stay on the
    machine that trained.

    Raises:
        UsageError: there is no such study, or the folder holds a run already.
        RunError: the server cannot be read, or the folder cannot be written.

    """
    address = ServerAddress.parse(storage)
    studies = shared_studies(address)
    if study not in studies:
        raise UsageError(unknown(f"study on {address}", study, studies) if studies else f"there is no run on {address}")
    folder = RunFolder(Path("runs") / study if path is None else path)
    folder.check_free()
    folder.create()
    with folder.locked():
        try:
            _write(folder, studies[study])
            ServerStudy(folder.path).point_to(address, study)
        except OSError as error:
            raise RunError(f"the run folder {folder.path} cannot be written: {error.strerror}") from None
        finally:
            folder.discard_beginning()
    return folder


def _write(folder: RunFolder, study: SharedStudy) -> None:
    space = RunManifest.from_stored(study.manifest, folder.path).space
    objective = space.objective.file if space.objective else None
    for file in dict.fromkeys(filter(None, (*space.plugins, space.model_file, objective))):
        # The study may have been written by anybody with access to the server: its paths are not trusted.
        source = study.sources.get(file) if isinstance(study.sources, dict) else None
        if Path(file).parent != Path(folder.plugins.name) or not isinstance(source, str):
            raise RunError(f"the study has no valid source of its plug-in {file}: it cannot be attached")
        folder.plugins.mkdir(exist_ok=True)
        (folder.path / file).write_text(source, encoding="utf-8")
    folder.keep_space({name: section for name, section in space.to_dict().items() if section is not None})
