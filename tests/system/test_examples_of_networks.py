"""The examples with networks of other libraries, at toy length."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(name, *arguments, folder):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "YOLO_CONFIG_DIR": str(folder)}
    command = [sys.executable, str(EXAMPLES / name), *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_a_network_of_timm_is_searched_and_exported(tmp_path):
    """Three candidates of one epoch; the exported folder has the file that inserts the attention."""
    pytest.importorskip("timm")
    done = run("own_model.py", "--toy", "--run", str(tmp_path / "run"), folder=tmp_path)
    assert done.returncode == 0, done.stderr
    (exported,) = (tmp_path / "run" / "export").iterdir()
    assert (exported / "insert.py").exists()
    assert "s4.b1      Bottleneck" in done.stdout


def test_a_yolo_with_attention_is_trained_reloaded_fused_and_removed(tmp_path):
    """Sites, an epoch through the trainer of ultralytics, averaged copy, checkpoint, fuse; or a message without ultralytics."""
    done = run("yolo_sites.py", "--without-onnx", folder=tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "fused: outputs differ by" in done.stdout or "this example needs ultralytics" in done.stdout
