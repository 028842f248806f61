"""The README keeps up with the code."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command

import attn_nas
from attn_nas.attention.catalog import mechanism_names
from attn_nas.attention.mechanism import POSITIONS
from attn_nas.cli import app
from attn_nas.space.schema import json_schema

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def test_every_command_and_option_is_documented():
    """Each command has its name, and each option its flag, in the README; names of former releases are left out."""
    commands = get_command(app).commands
    catalog = {f"catalog {name}": command for name, command in commands["catalog"].commands.items()}
    for name, command in {**commands, **catalog}.items():
        if command.hidden:
            continue
        assert f"attn-nas {name}" in README, name
        for parameter in command.params:
            flags = [flag for flag in parameter.opts if flag.startswith("--") and flag != "--help"]
            assert all(flag in README for flag in flags), (name, flags)


def test_every_key_of_a_search_space_is_documented():
    """Each key of each section stands in the README's table."""
    schema = json_schema()
    sections = [schema, *schema["$defs"].values()]
    missing = [key for section in sections for key in section.get("properties", {}) if f"`{key}`" not in README]
    assert missing == []


def test_every_mechanism_and_position_is_documented():
    """By name."""
    assert [name for name in (*mechanism_names(), *POSITIONS) if f"`{name}`" not in README] == []


def test_every_public_name_is_documented():
    """All of `attn_nas.__all__` but the version."""
    assert [name for name in attn_nas.__all__ if name != "__version__" and f"`{name}" not in README] == []
    assert all(getattr(attn_nas, name) is not None for name in attn_nas.__all__)


def test_every_benchmark_is_documented_with_its_results():
    """Each script stands in benchmarks/README.md beside committed results."""
    files = (ROOT / "benchmarks").glob("*.py")
    scripts = sorted(path.stem for path in files if '__name__ == "__main__"' in path.read_text())
    assert len(scripts) >= 4
    text = (ROOT / "benchmarks" / "README.md").read_text()
    for name in scripts:
        assert f"{name}.py" in text
        assert (ROOT / "benchmarks" / "results" / f"{name}.json").exists()


EXAMPLES = [code for code in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if not re.match(r"# \w+\.py\n", code)]


@pytest.mark.parametrize("code", EXAMPLES, ids=range(len(EXAMPLES)))
def test_the_python_of_the_readme_runs(code, tmp_path):
    """Each example is executed as it stands, in a folder of its own; the files of the tutorial have tests of their own."""
    (tmp_path / "example.py").write_text(code)
    done = subprocess.run([sys.executable, "example.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
