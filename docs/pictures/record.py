"""Records what a terminal shows of the main job as an animated SVG, docs/terminal.svg; needs `pip install termtosvg`.

    python docs/pictures/record.py runs/NAME            record `attn-nas search --budget 50 --run runs/NAME`
    python docs/pictures/make.py --pack runs/NAME       then draw the pictures from the same run

There is a frame for every two seconds of the search, which is shown for a fifth of a second.
"""

from __future__ import annotations

import argparse
import os
import pty
import sys
from pathlib import Path

TO = Path(__file__).resolve().parents[1] / "terminal.svg"
_SIZE = "100x30"
_EVERY, _SHOWN, _END = 2000, 200, 6000
"""Milliseconds of the search between two frames, those that each is shown, and those that the last one stays."""


def main() -> None:
    """Run the search in a terminal of 100 x 30 characters, and write what it showed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("run", type=Path, help="run folder, which must not exist")
    chosen = parser.parse_args()
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    search = f"attn-nas search --budget 50 --run {chosen.run}"
    times = ["-m", str(_EVERY), "-M", str(_SHOWN), "-D", str(_END)]
    status = pty.spawn(["termtosvg", str(TO), "-g", _SIZE, *times, "-c", search])
    raise SystemExit(os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main()
