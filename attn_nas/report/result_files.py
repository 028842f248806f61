"""Write the front of a run as ``front.json``, ``.csv`` and ``.svg``, and its insight as ``insight.json`` and ``.svg``."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from pathlib import Path

from attn_nas.errors import ExportError
from attn_nas.files import write_whole
from attn_nas.report.charts.front_svg import front_svg
from attn_nas.report.charts.insight_svg import insight_svg
from attn_nas.runs.run import Run
from attn_nas.sampling.insight import Insight

_BELIEF = ("standard_deviation", "low", "high", "chance", "lead")
_COLUMNS = ("flops", "added_flops", "macs", "fvcore_default", "params", "name", "summary")
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
    contents = {
        "front.json": json.dumps(run.to_dict(), indent=2) + "\n",
        "front.csv": _csv(run),
        "front.svg": front_svg(run),
    }
    return write_files(contents, Path(folder))


def write_insight(insight: Insight, run: Run, folder: str | Path) -> list[Path]:
    """Write the two files into ``folder``, each whole or not at all; returns their paths.

    Raises:
        ExportError: the folder cannot be written.

    """
    title = f"{run.manifest.space_name}: effect of each mechanism at each site, from {insight.networks} networks"
    contents = {
        "insight.json": json.dumps(insight.to_dict(run.metric), indent=2) + "\n",
        "insight.svg": insight_svg(insight, title, run.metric),
    }
    return write_files(contents, Path(folder))


def write_files(contents: Mapping[str, str | bytes], target: Path) -> list[Path]:
    """Write ``contents``, by file name, into the folder ``target``, each whole or not at all; returns their paths.

    Raises:
        ExportError: the folder cannot be written.

    """
    try:
        target.mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            write_whole(target / name, content)
    except OSError as error:
        raise ExportError(f"cannot write to {target}: {error.strerror or error}") from None
    return [target / name for name in contents]


def write_file(content: str | bytes, path: Path) -> Path:
    """Write ``content``, whole or not at all; returns the ``path``.

    Raises:
        ExportError: ``path`` cannot be written, or is a folder.

    """
    if path.is_dir():
        raise ExportError(f"cannot write {path}: it is a folder; name a file")
    return write_files({path.name: content}, path.parent)[0]


def _csv(run: Run) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    named = ("key", "reference", run.metric.name, *_COLUMNS)
    writer.writerow(("on_front", *named, *_BELIEF, "measured", "standard_error", "seeds", *_PROFILE))
    front = {candidate.record.key for candidate in run.front}
    for candidate in run.candidates:
        row = candidate.to_dict()
        profile = row["profile"] or dict.fromkeys(_PROFILE, "")
        times = (profile[column] for column in _PROFILE)
        belief = row["belief"] or dict.fromkeys(_BELIEF, "")
        estimates = (belief[column] for column in _BELIEF)
        measured = (*row["measured"].values(), len(candidate.results))
        columns = (row[column] for column in named)
        writer.writerow((int(candidate.record.key in front), *columns, *estimates, *measured, *times))
    return text.getvalue()
