"""The front of a run as ``front.json``, ``front.csv`` and ``front.svg``."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

from attn_nas.errors import ExportError
from attn_nas.report.front_svg import front_svg
from attn_nas.study.folder import write_whole
from attn_nas.study.results import Run

_COLUMNS = ("key", "reference", "accuracy", "flops", "added_flops", "macs", "fvcore_default", "params", "summary")
_PROFILE = (
    "step_seconds",
    "step_ratio",
    "latency_1",
    "latency_1_ratio",
    "latency_128",
    "latency_128_ratio",
    "step_memory_ratio",
)


def write_front(run: Run, folder: str | Path) -> list[Path]:
    """Write the three files into ``folder``, each whole or not at all; returns their paths.

    Raises:
        ExportError: the folder cannot be written.

    """
    target = Path(folder)
    contents = {
        "front.json": json.dumps(run.to_dict(), indent=2) + "\n",
        "front.csv": _csv(run),
        "front.svg": front_svg(run),
    }
    try:
        target.mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            write_whole(target / name, content)
    except OSError as error:
        raise ExportError(f"cannot write the front to {target}: {error.strerror or error}") from None
    return [target / name for name in contents]


def _csv(run: Run) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("on_front", *_COLUMNS, *_PROFILE))
    front = {candidate.record.key for candidate in run.front}
    for candidate in run.candidates:
        row = candidate.to_dict()
        beside = row["profile"] or dict.fromkeys(_PROFILE, "")
        timed = (beside[column] for column in _PROFILE)
        writer.writerow((int(candidate.record.key in front), *(row[column] for column in _COLUMNS), *timed))
    return text.getvalue()
