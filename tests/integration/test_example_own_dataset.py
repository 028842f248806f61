"""The example with Datasets of the user's own, at toy length."""

import os
import subprocess
import sys
from pathlib import Path

import warm

EXAMPLE = Path(__file__).parents[2] / "examples" / "own_dataset.py"


def test_the_example_searches_exports_and_goes_on(tmp_path):
    """As a program of its own; the run folder holds the images and the export."""
    environment = {**os.environ, "ATTN_NAS_EXAMPLE": "toy", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(EXAMPLE), "run"]
    done = warm.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stdout
    assert "3 candidates in run" in done.stdout
    assert (tmp_path / "run" / "arrays" / "test_images.npy").exists()
    assert [*(tmp_path / "run" / "best").rglob("model.py")]
