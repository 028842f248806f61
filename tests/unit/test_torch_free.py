"""The tests in torch_free are collected without torch."""

import subprocess
import sys
from pathlib import Path

COLLECT = """
import sys
import pytest

code = pytest.main(["--collect-only", "-q", "-p", "no:cacheprovider", sys.argv[1]])
print("torch" in sys.modules)
raise SystemExit(code)
"""


def test_torch_free_tests_do_not_import_torch():
    """Neither they nor the configuration of all tests."""
    folder = Path(__file__).parent / "torch_free"
    done = subprocess.run([sys.executable, "-c", COLLECT, str(folder)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    *_, count, loaded = done.stdout.splitlines()
    assert int(count.split()[0]) > 200
    assert loaded == "False"
