"""Writing exported folders: whole and verified, or not at all."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor

from attn_nas.errors import ExportError
from attn_nas.export.card import config, docstring, model_card
from attn_nas.export.source import model_source
from attn_nas.export.verify import sample_images, verify
from attn_nas.models.build import build_model
from attn_nas.study.results import Candidate, Run


def export_front(run: Run, to: str | Path, *, prune: bool = False) -> list[Path]:
    """Export every member of the front; see `export_candidates`.

    With ``prune``, model folders in ``to`` whose candidates have left the front are removed.
    """
    kept = export_candidates(run, run.front, to)
    for described in Path(to).glob("*/config.json") if prune else ():
        if described.parent not in kept:
            shutil.rmtree(described.parent)
    return kept


def export_candidates(run: Run, candidates: Sequence[Candidate], to: str | Path) -> list[Path]:
    """For each candidate the folder ``to/KEY`` with ``model.py``, ``model.safetensors``, ``config.json``, ``README.md``.

    All are verified in an isolated process before any is kept; a folder of the same key is replaced.

    Raises:
        ExportError: a folder cannot be written, or its verification fails; nothing new is left behind.
        RunError: the weights of a candidate were not kept.

    """
    target = Path(to)
    try:
        target.mkdir(parents=True, exist_ok=True)
        for leftover in target.glob(".export-*"):
            shutil.rmtree(leftover)
        with tempfile.TemporaryDirectory(dir=target, prefix=".export-") as temporary:
            folders = [Path(temporary) / candidate.record.key for candidate in candidates]
            expected = {
                folder.name: _write(run, candidate, folder) for candidate, folder in zip(candidates, folders, strict=True)
            }
            if folders:
                verify(folders, expected, run.task)
            return [_keep(folder, target / folder.name) for folder in folders]
    except OSError as error:
        raise ExportError(f"cannot export to {target}: {error.strerror or error}") from None


def _keep(folder: Path, final: Path) -> Path:
    if final.exists():
        shutil.rmtree(final)
    return folder.rename(final)


def _write(run: Run, candidate: Candidate, folder: Path) -> tuple[Tensor, int, int]:
    """Write one folder; returns what its verification must find: logits, FLOPs and parameters."""
    genotype, task = candidate.record.genotype, run.task
    weights = run.weights(candidate)
    model = build_model(genotype, task.num_classes, task.channels)
    model.load_state_dict(weights)
    folder.mkdir()
    source = model_source(genotype, task.num_classes, task.channels, docstring(run, candidate))
    (folder / "model.py").write_text(source, encoding="utf-8")
    (folder / "model.safetensors").write_bytes(save(weights, metadata={"genotype": genotype.to_json()}))
    (folder / "config.json").write_text(json.dumps(config(run, candidate), indent=2) + "\n", encoding="utf-8")
    (folder / "README.md").write_text(model_card(run, candidate), encoding="utf-8")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.no_grad():
            logits = model.eval()(sample_images(task))
    finally:
        torch.set_num_threads(threads)
    return logits, candidate.record.cost.flops, candidate.record.cost.params
