"""The main job: `attn-nas search --budget 50` with no other flag, as a user runs it, from start to verified models.

Prints wall time, the share of it outside training (with every worker counted), and the peak memory of the coordinator
and its workers together (proportional set size, sampled once a second).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from common import make_parser, present


def family_memory_mb(root: int) -> float:
    """Memory of a process and all its descendants; shared pages are divided among those that map them."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError):
            continue
    family = {root}
    while grown := {child for child, parent in parents.items() if parent in family} - family:
        family |= grown
    total = 0
    for process in family:
        try:
            rollup = Path(f"/proc/{process}/smaps_rollup").read_text()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
    return total / 1024


def measure(budget: int, folder: Path) -> dict[str, Any]:
    """Run one search in ``folder`` and read what it took from the outside and from its own events."""
    run = folder / "run"
    command = [sys.executable, "-m", "attn_nas", "search", "--budget", str(budget), "--run", run.name]
    start, peak = time.monotonic(), 0.0
    with (folder / "output.txt").open("w") as output:
        process = subprocess.Popen(command, stdout=output, cwd=folder)
        while process.poll() is None:
            peak = max(peak, family_memory_mb(process.pid))
            time.sleep(1.0)
    wall = time.monotonic() - start
    if process.returncode:
        raise SystemExit(f"the search failed with exit code {process.returncode}")
    events = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]
    started = events[0]
    ended = next(event for event in reversed(events) if event["event"] == "SearchFinished")
    front = json.loads((run / "front.json").read_text())
    workers = started["workers"]
    return {
        "trials": ended["finished"],
        "wall_seconds": wall,
        "search_seconds": ended["seconds"],
        "training_seconds": ended["training_seconds"],
        "workers": workers,
        "numerics": started["numerics"],
        "share_outside_training": 1 - ended["training_seconds"] / (workers * ended["seconds"]),
        "share_outside_training_with_start_and_export": 1 - ended["training_seconds"] / (workers * wall),
        "peak_memory_mb": peak,
        "front": [{key: row[key] for key in ("key", "accuracy", "flops", "summary")} for row in front["front"]],
        "references": {row["reference"]: row["accuracy"] for row in front["references"]},
        "output": (folder / "output.txt").read_text().splitlines(),
    }


def main() -> None:
    """Measure, print."""
    parser = make_parser(__doc__.splitlines()[0])
    parser.add_argument("--keep", type=Path, help="folder for the run, to be kept; a temporary one by default")
    chosen = parser.parse_args()
    os.environ.setdefault("COLUMNS", "120")
    with tempfile.TemporaryDirectory() as temporary:
        folder = chosen.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        result = measure(3 if chosen.quick else 50, folder)
    text = (
        f"{result['trials']} trials in {result['wall_seconds']:.0f} s on {result['workers']} workers ({result['numerics']}), "
        f"start and verified export included\n"
        f"outside training: {100 * result['share_outside_training']:.1f} % of the search, "
        f"{100 * result['share_outside_training_with_start_and_export']:.1f} % with start and export\n"
        f"peak memory {result['peak_memory_mb']:.0f} MB"
    )
    present(chosen, result["share_outside_training"], text, **result)


if __name__ == "__main__":
    main()
