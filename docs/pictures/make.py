"""Draws the pictures of the documentation, all of them from one run.

    python docs/pictures/make.py                    draw all pictures from docs/pictures/run.tar.xz
    python docs/pictures/make.py --pack runs/NAME   first put another run, which has ended, into that file

Pictures of the dashboard need the extra `dashboard`, the package playwright, and Chromium.
"""

from __future__ import annotations

import argparse
import shutil
import sqlite3
import subprocess
import sys
import tarfile
import tempfile
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import save_file

HERE = Path(__file__).resolve().parent
DOCS = HERE.parent
RUN = HERE / "run.tar.xz"
sys.path.insert(0, str(DOCS))

from generators.positions import draw_positions  # noqa: E402

from attn_nas import Genotype, Placement, Trunk  # noqa: E402
from attn_nas.drawing import draw_svg  # noqa: E402
from attn_nas.runs.candidate import Candidate  # noqa: E402
from attn_nas.runs.run import Run  # noqa: E402

_KEPT = ("space.yaml", "events.jsonl")
_DASHBOARD, _CANDIDATE = (1280, 1120), (1280, 1330)
"""Width and height of the pages that are photographed."""


def example() -> Genotype:
    """The network of placements.svg: a gate of each of three mechanisms, at two positions."""
    placements = (
        Placement("se", "pre", reduction=4),
        Placement("cam_gate", "inner", reduction=4),
        Placement("sam", "inner", kernel_size=3),
    )
    return Genotype(Trunk("cifar_resnet", depth=8, width=16), placements)


def shown(run: Run) -> Candidate:
    """The candidate that pictures show: the pick, or the cheapest member of the front with attention that has its weights."""
    attended = [each for each in run.front if each.record.genotype.num_attended]
    found = [each for each in (run.pick, *attended) if each and run.folder.weights_of(each.record.key).exists()]
    return found[0]


def pack(folder: Path) -> None:
    """Put what the pictures need of a run into the committed file: study, events, space, and weights of three networks.

    Weights are rounded to half precision, so that the file is small.
    """
    run = Run(folder)
    references = {each.record.reference: each.record.key for each in run.references}
    keys = {shown(run).record.key, references["none"], references["cbam everywhere"]}
    with tempfile.TemporaryDirectory() as place:
        packed = Path(place) / run.folder.path.name
        (packed / "weights").mkdir(parents=True)
        with closing(sqlite3.connect(folder / "study.db")) as source:
            source.execute("VACUUM INTO ?", (str(packed / "study.db"),))
        for name in _KEPT:
            shutil.copy(folder / name, packed / name)
        for key in keys:
            _round(run.folder.weights_of(key), packed / "weights" / f"{key}.safetensors")
        with tarfile.open(RUN, "w:xz", preset=9) as archive:
            archive.add(packed, packed.name, filter=_anonymous)


def _round(weights: Path, to: Path) -> None:
    with safe_open(weights, "pt") as file:
        rounded = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  it is no mapping
        metadata = file.metadata()
    for name, tensor in rounded.items():
        if tensor.is_floating_point():
            rounded[name] = tensor.half().to(tensor.dtype)
    save_file(rounded, to, metadata)


def _anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Without owner and time."""
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mtime = 0
    return member


@contextmanager
def unpacked() -> Iterator[Path]:
    """The folder of the committed run, in a folder of runs that is removed at the end."""
    with tempfile.TemporaryDirectory() as place:
        with tarfile.open(RUN) as archive:
            archive.extractall(place, filter="data")
        (folder,) = Path(place).iterdir()
        yield folder


def draw_files(folder: Path) -> None:
    """The pictures that the package itself draws."""
    from attn_nas.maps import compare
    from attn_nas.report import write_front, write_insight, write_maps

    run = Run(folder)
    (DOCS / "placements.svg").write_text(draw_svg(example()), encoding="utf-8")
    (HERE / "positions.svg").write_text(draw_positions(), encoding="utf-8")
    for written, name in ((write_front(run, folder), "front.svg"), (write_insight(run.insight, run, folder), "insight.svg")):
        (path,) = (each for each in written if each.name == name)
        shutil.copy(path, DOCS / name)
    (path,) = write_maps(compare(run, [shown(run)], images=6), folder / "maps")
    shutil.copy(path, DOCS / "maps.png")


def photograph(folder: Path) -> None:
    """Two pages of the dashboard, in a headless Chromium."""
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    run = Run(folder)
    pages = {
        "dashboard.png": (f"runs/{folder.name}", _DASHBOARD),
        "candidate.png": (f"runs/{folder.name}/candidates/{shown(run).record.key}", _CANDIDATE),
    }
    with _served(folder.parent) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for name, (path, (width, height)) in pages.items():
            page = browser.new_page(viewport={"width": width, "height": height}, color_scheme="light")
            page.goto(f"{address}{path}", wait_until="load")
            page.wait_for_timeout(3000)
            page.screenshot(path=DOCS / name)
        browser.close()


@contextmanager
def _served(folder: Path) -> Iterator[str]:
    """The address of a dashboard of the runs in ``folder``."""
    command = [sys.executable, "-m", "attn_nas", "dashboard", str(folder), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as server:
        assert server.stdout is not None
        for line in server.stdout:
            if line.startswith("Dashboard: "):
                break
        else:
            raise SystemExit("the dashboard does not start")
        drained = threading.Thread(target=server.stdout.read)
        drained.start()
        try:
            yield line.removeprefix("Dashboard: ").strip()
        finally:
            server.terminate()
            drained.join()


def main() -> None:
    """Pack a run if one is named, then draw everything."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pack", type=Path, metavar="RUN", help="put this run into the committed file first")
    given = parser.parse_args()
    if given.pack:
        pack(given.pack)
    with unpacked() as folder:
        draw_files(folder)
        photograph(folder)


if __name__ == "__main__":
    main()
