"""Data flows one way, checked by import-linter's contracts in pyproject.toml."""

import subprocess
import sys
from pathlib import Path


def test_no_module_imports_upwards():
    """All contracts are kept."""
    code = "from importlinter.cli import lint_imports; raise SystemExit(lint_imports(no_cache=True))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parents[3], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    assert "4 kept, 0 broken" in done.stdout
