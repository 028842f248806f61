"""Write exported folders: all of them complete and verified, or none."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from attn_nas.data.dataset import Split
from attn_nas.errors import ExportError
from attn_nas.export.model_card import config, model_card
from attn_nas.export.model_formats import (
    DEFAULT_FORMATS,
    FORMATS,
    chosen_formats,
    companions,
    formats_of,
    reference_formats,
)
from attn_nas.export.own_model import loading_of_host
from attn_nas.export.retrained import retrained_winner
from attn_nas.export.validation import validation_split
from attn_nas.export.verify import OnVerified, Verified, Written, verify
from attn_nas.export.winner import Winner
from attn_nas.followups.full_training import FullTraining
from attn_nas.runs.candidate import Candidate
from attn_nas.runs.run import Run
from attn_nas.space.host import Host


def export_front(
    run: Run,
    to: str | Path,
    *,
    formats: Sequence[str] = DEFAULT_FORMATS,
    force: bool = False,
    prune: bool = False,
    on_verified: OnVerified | None = None,
) -> list[Path]:
    """Export all members of the front of ``run``, and its pick, to the folder ``to``; see `export_candidates`.

    With ``prune``, model folders in ``to`` of other candidates are removed.
    """
    chosen = run.front if run.pick is None or run.pick in run.front else [*run.front, run.pick]
    kept = export_candidates(run, chosen, to, formats=formats, force=force, on_verified=on_verified)
    for described in Path(to).glob("*/config.json") if prune else ():
        if described.parent not in kept:
            shutil.rmtree(described.parent)
    return kept


def export_candidates(
    run: Run,
    candidates: Sequence[Candidate],
    to: str | Path,
    *,
    formats: Sequence[str] = DEFAULT_FORMATS,
    force: bool = False,
    retrained: bool = False,
    without_data: bool = False,
    download: bool = False,
    on_verified: OnVerified | None = None,
) -> list[Path]:
    """Write a folder ``to/KEY`` for each candidate with the files of ``formats``, ``config.json``, a model card and a drawing.

    The weights are those of the search, or with ``retrained`` those of the full training. The recorded accuracy is reproduced
    on the run's data set, which is fetched only if ``download`` is true; ``without_data`` skips this check. The value of an
    objective is not reproduced. ``force`` replaces
    existing folders. ``on_verified`` is called with the numbers of verified and of all networks as the first grows. Returns
    the folders.

    Raises:
        RunError: the weights of a candidate were not kept or are damaged, or it was not trained in full.
        UsageError: see `export_winners`.
        ExportError: see `export_winners`; or the data set is missing.

    """
    chosen_formats(formats)
    training = FullTraining.of(run) if retrained else None
    winners = [retrained_winner(training, each) if training else Winner.of(run, each) for each in candidates]
    _check_target(Path(to), winners, force)
    has_images = not run.space.objective
    validation = validation_split(run, download=download) if winners and has_images and not without_data else None
    return export_winners(winners, to, validation, formats=formats, force=force, on_verified=on_verified)


def export_winners(
    winners: Sequence[Winner],
    to: str | Path,
    validation: Split | None,
    *,
    formats: Sequence[str] = DEFAULT_FORMATS,
    force: bool = False,
    on_verified: OnVerified | None = None,
) -> list[Path]:
    """Write a folder ``to/KEY`` for each winner; all folders are verified in an isolated process before any is moved there.

    Accuracies are reproduced on ``validation``, unless it is None. Returns the folders.

    Raises:
        UsageError: a format is unknown, or its packages are missing.
        ExportError: a folder exists and ``force`` is false, cannot be written, or fails its verification; then nothing is
            written.

    """
    target, chosen = Path(to), chosen_formats(formats)
    _check_target(target, winners, force)
    was_there = target.exists()
    try:
        target.mkdir(parents=True, exist_ok=True)
        for leftover in target.glob(".export-*-*"):
            number = leftover.name.split("-")[1]
            if number.isdecimal() and not _is_alive(int(number)):
                shutil.rmtree(leftover)
        with tempfile.TemporaryDirectory(dir=target, prefix=f".export-{os.getpid()}-") as temporary:
            written = [_write(winner, Path(temporary) / winner.key, chosen) for winner in winners]
            for each, found in zip(written, verify(written, validation, on_verified), strict=True):
                _describe(each, chosen, found)
            return [_keep(each.folder, target) for each in written]
    except OSError as error:
        raise ExportError(f"cannot export to {target}: {error.strerror or error}") from None
    finally:
        if not was_there and target.is_dir() and not any(target.iterdir()):
            target.rmdir()


def _check_target(target: Path, winners: Sequence[Winner], force: bool) -> None:
    """Check that folders can be made in ``target``, and that none exists unless ``force`` allows replacing it.

    Raises:
        ExportError: ``target`` is a file, or a folder exists.

    """
    if target.exists() and not target.is_dir():
        raise ExportError(f"cannot export to {target}: it is a file")
    taken = [target / winner.key for winner in winners if (target / winner.key).exists()]
    if taken and not force:
        raise ExportError(f"{taken[0]} exists already: add --force to replace it, or name another folder with --to")


def _write(winner: Winner, folder: Path, formats: Sequence[str]) -> Written:
    """Write the files of a winner, and those of `reference_formats`, which the others are compared with."""
    model = winner.model()
    folder.mkdir()
    trunk = winner.genotype.trunk
    wanted = {*formats_of(trunk, formats), *reference_formats(trunk)}
    names = tuple(name for name in FORMATS if name in wanted)
    for name in names:
        (folder / FORMATS[name].file).write_bytes(FORMATS[name].content(winner, model))
    for name, (content, _) in companions(winner).items():
        (folder / name).write_text(content(winner), encoding="utf-8")
    (folder / "config.json").write_text(config(winner, {}), encoding="utf-8")
    return Written(winner, model, folder, names)


def _describe(written: Written, formats: Sequence[str], found: dict[str, Verified]) -> None:
    """Remove files of formats not in ``formats``; write the results of the verification to ``config.json`` and the card."""
    winner, folder = written.winner, written.folder
    formats = formats_of(winner.genotype.trunk, formats)
    for name in set(written.formats) - set(formats):
        (folder / FORMATS[name].file).unlink()
    kept = {name: FORMATS[name] for name in formats}
    verified = {name: each for name, each in found.items() if name in kept}
    (folder / "config.json").write_text(
        config(winner, {name: each.to_dict() for name, each in verified.items()}), encoding="utf-8"
    )
    card = model_card(
        winner,
        {format_.file: format_.summary for format_ in kept.values()}
        | {name: description for name, (_, description) in companions(winner).items()},
        [(FORMATS[name].file, code) for name in kept if (code := _loading(winner, name))],
        [f"`{kept[name].file}`: {each}" for name, each in verified.items()],
    )
    (folder / "README.md").write_text(card, encoding="utf-8")


def _loading(winner: Winner, name: str) -> str:
    """Return the code that loads the file of a format; empty for a file that is not loaded by itself."""
    if name == "insert" and isinstance(winner.genotype.trunk, Host):
        return loading_of_host(winner.genotype, winner.task.num_classes)
    return FORMATS[name].loading


def _keep(folder: Path, target: Path) -> Path:
    """Move ``folder`` into ``target``; a folder it replaces moves to the temporary folder, which is removed afterwards."""
    final, replaced = target / folder.name, folder.with_suffix(".replaced")
    if final.exists():
        final.rename(replaced)
    try:
        return folder.rename(final)
    except BaseException:
        if replaced.exists():
            replaced.rename(final)
        raise


def _is_alive(process: int) -> bool:
    """True if a process of this id runs on this machine."""
    return Path(f"/proc/{process}").exists()
