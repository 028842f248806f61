"""What the dashboard takes: first page, updates, memory, and what a search notices of those who look at it.

Makes a study of 2,000 candidates of a ResNet-20 with a trainer that answers at once, and serves it by ``attn-nas dashboard`` in
a process of its own. The first page is asked for cold (the run was never read) and warm, and its size compressed is added to
that of the scripts and style sheets that it names; then the search goes on for ``--more``
candidates while the page's updates are followed; then the page and its updates are polled ``--polls`` times, about an hour of
one who looks every three seconds, and the memory of the server is read on the way. At last a new search is timed alone and
with somebody who polls its pages all the time.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from common import make_parser, present

from attn_nas.data import load_dataset
from attn_nas.engine.search import Search
from attn_nas.execution.settings import Local
from attn_nas.sampling.baselines import at_random
from attn_nas.space.loading import load_space
from attn_nas.space.schema import SearchSpace
from attn_nas.testing import TableTrainer

_KILOBYTE, _MEGABYTE = 1e3, 2**20


def deep_space() -> SearchSpace:
    """The embedded mechanisms on a ResNet-20, with few images."""
    space = load_space("cued_digits")
    return space.model_copy(
        update={
            "trunk": space.trunk.model_copy(update={"depth": 20}),
            "data": space.data.model_copy(update={"num_train": 512, "num_validation": 64}),
        }
    )


def grow(folder: Path, budget: int, *, resume: bool = False) -> float:
    """Search up to ``budget`` candidates with a trainer that answers at once; returns the seconds it took."""
    space = deep_space()
    trainer = TableTrainer(load_dataset(space.data).task, epochs=3)
    begun = time.perf_counter()
    if resume:
        search = Search.load(folder, training=trainer, sampler=at_random)
    else:
        search = Search(space, run=folder, training=trainer, sampler=at_random)
    search.optimize(n_trials=budget, confirm=0, execution=Local(workers=1))
    return time.perf_counter() - begun


@contextmanager
def served(folder: Path) -> Iterator[tuple[str, int]]:
    """The address and the process of a dashboard on ``folder``."""
    command = [sys.executable, "-m", "attn_nas", "dashboard", str(folder), "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        address = process.stderr.readline().split()[1].rstrip("/")
        try:
            yield address, process.pid
        finally:
            process.terminate()


def get(address: str) -> tuple[float, bytes]:
    """Seconds and content of one request."""
    begun = time.perf_counter()
    with urllib.request.urlopen(address, timeout=60) as answer:
        content = answer.read()
    return time.perf_counter() - begun, content


def compressed(address: str, path: str) -> int:
    """Bytes of one answer as they are sent to a browser."""
    request = urllib.request.Request(f"{address}{path}", headers={"accept-encoding": "gzip"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return len(answer.read())


def resident_mb(process: int) -> float:
    """Resident memory of a process."""
    return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / _MEGABYTE


class Updates:
    """Follows the updates of a page, and keeps the size of each."""

    def __init__(self, page: str) -> None:
        self._stream = urllib.request.urlopen(f"{page}/updates?version=", timeout=600)
        self.sizes: list[int] = []
        threading.Thread(target=self._follow, daemon=True).start()

    def _follow(self) -> None:
        for line in self._stream:
            if line.startswith(b"data:"):
                self.sizes.append(len(line))


def measure(work: Path, trials: int, more: int, polls: int, timed: int) -> dict[str, Any]:
    """All figures."""
    runs = work / "runs"
    grow(runs / "large", trials)
    grow(runs / "other", 10)
    found: dict[str, Any] = {"trials": trials, "polls": polls}
    with served(runs) as (address, process):
        get(f"{address}/runs/other")
        page = f"{address}/runs/large"
        found["first_page_cold_seconds"], content = get(page)
        found["first_page_kb"] = len(content) / _KILOBYTE
        time.sleep(20)  # beliefs are computed on the side
        found["first_page_warm_seconds"] = median(get(page)[0] for _ in range(5))
        found["with_beliefs_kb"] = len(get(page)[1]) / _KILOBYTE
        assets = re.findall(r'(?:src|href)="(/assets/[^"]*)"', get(page)[1].decode())
        found["compressed_page_kb"] = compressed(address, "/runs/large") / _KILOBYTE
        found["compressed_assets_kb"] = sum(compressed(address, path) for path in assets) / _KILOBYTE
        updates = Updates(page)
        grow(runs / "large", trials + more, resume=True)
        time.sleep(10)
        found["updates"], found["largest_update_kb"] = len(updates.sizes), max(updates.sizes) / _KILOBYTE
        memory = []
        for number in range(polls):
            get(page if number % 10 == 0 else f"{page}/trials?page={number % 40}")
            if number % max(1, polls // 40) == 0:
                memory.append((number, resident_mb(process)))
        found["memory_mb"] = memory
        half = np.array(memory[len(memory) // 2 :])
        found["memory_growth_mb"] = float(half[-1, 1] - half[0, 1])
        found["search"] = watched_search(runs, address, timed)
    return found


def watched_search(runs: Path, address: str, budget: int) -> dict[str, float]:
    """Seconds of a search alone, and while its page is asked for again and again; each twice, in turns."""
    seconds: dict[str, list[float]] = {"alone": [], "watched": []}
    for number in range(2):
        seconds["alone"].append(grow(runs / f"alone{number}", budget))
        ended = threading.Event()

        def look(page: str = f"{address}/runs/watched{number}", ended: threading.Event = ended) -> None:
            while not ended.wait(0.5):
                try:
                    get(page)
                except OSError:
                    continue

        watcher = threading.Thread(target=look)
        watcher.start()
        seconds["watched"].append(grow(runs / f"watched{number}", budget))
        ended.set()
        watcher.join()
    alone, watched = min(seconds["alone"]), min(seconds["watched"])
    return {"alone_seconds": alone, "watched_seconds": watched, "ratio": watched / alone}


def main() -> None:
    """Measure and print."""
    parser = make_parser(__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=2000)
    parser.add_argument("--more", type=int, default=60)
    parser.add_argument("--polls", type=int, default=1200)
    chosen = parser.parse_args()
    sizes = (100, 5, 60, 20) if chosen.quick else (chosen.trials, chosen.more, chosen.polls, 150)
    with tempfile.TemporaryDirectory() as work:
        found = measure(Path(work), *sizes)
    told = {name: value for name, value in found.items() if name != "memory_mb"}
    present(chosen, found["first_page_cold_seconds"], json.dumps(told, indent=1), **found)


if __name__ == "__main__":
    main()
