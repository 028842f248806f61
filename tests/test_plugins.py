"""Mechanisms and trunks of other people: the README's tutorial, files, entry points, and what goes wrong."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from attn_nas import plugins
from attn_nas.errors import SpaceError, UsageError
from attn_nas.space.loading import load_space
from attn_nas.study.results import Run
from attn_nas.study.search import search

README = (Path(__file__).parents[1] / "README.md").read_text()


@pytest.fixture
def tutorial(tmp_path):
    """The files that the README's tutorial shows, in a folder."""
    for name, text in re.findall(r"```(?:python|yaml)\n# (my_\w+\.\w+|test_my_\w+\.py)\n(.*?)```", README, re.DOTALL):
        (tmp_path / name).write_text(text)
    assert {path.name for path in tmp_path.iterdir()} == {
        "my_attention.py",
        "my_space.yaml",
        "my_trunk.py",
        "test_my_attention.py",
        "test_my_trunk.py",
    }
    return tmp_path


def _run(folder, *command, **environment):
    return subprocess.run(
        [sys.executable, "-m", *command],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_tutorials_contracts_pass(tutorial):
    """Three lines per file run the whole suite on the user's mechanism and on the user's trunk."""
    done = _run(tutorial, "pytest", "-q", "test_my_attention.py", "test_my_trunk.py")
    assert done.returncode == 0, done.stdout
    assert int(re.search(r"(\d+) passed", done.stdout)[1]) >= 19


def test_the_tutorials_mechanism_is_in_the_catalogue(tutorial):
    """By name and in the table, with its costs."""
    shown = _run(tutorial, "attn_nas", "mechanisms", "energy_gate", "--plugin", "my_attention.py")
    assert "x * sigmoid(W2 relu(W1 rms_hw(x)))" in shown.stdout, shown.stderr
    assert "\nenergy_gate " in _run(tutorial, "attn_nas", "mechanisms", "--plugin", "my_attention.py").stdout


def test_the_tutorials_search_runs_and_its_run_can_move(tutorial, tmp_path):
    """Two workers train the user's mechanism; without the user's files the moved run is read, resumed and exported."""
    done = _run(tutorial, "attn_nas", "search", "--space", "my_space.yaml", "--budget", "5", "--run", "run", "--workers", "2")
    assert done.returncode == 0, done.stderr
    assert "energy_gate everywhere" in done.stdout
    moved = tmp_path / "elsewhere" / "run"
    moved.parent.mkdir()
    shutil.move(tutorial / "run", moved)
    (tutorial / "my_attention.py").unlink()
    front = _run(moved.parent, "attn_nas", "front", "run", "--json")
    references = {found["reference"]: found["key"] for found in json.loads(front.stdout)["references"]}
    assert "energy_gate everywhere" in references
    resumed = _run(moved.parent, "attn_nas", "search", "--resume", "--run", "run", "--budget", "6")
    assert resumed.returncode == 0, resumed.stderr
    exported = _run(moved.parent, "attn_nas", "export", "run", "--to", "models")
    assert exported.returncode == 0, exported.stderr
    sources = [path.read_text() for path in (moved.parent / "models").glob("*/model.py")]
    with_ours = [source for source in sources if "energy_gate" in source]
    assert all("class EnergyGate(nn.Module)" in source and "attn_nas" not in source.split('"""')[2] for source in with_ours)


def test_a_run_is_resumed_with_its_own_space_under_another_name(tutorial):
    """The same plug-in at another path is the same space; another one is not."""
    space = load_space(tutorial / "my_space.yaml")
    search(space, run=tutorial / "run", budget=2, workers=1)
    copy = tutorial / "copy"
    copy.mkdir()
    for name in ("my_space.yaml", "my_attention.py"):
        shutil.copy(tutorial / name, copy / name)
    search(load_space(copy / "my_space.yaml"), run=tutorial / "run", budget=2, workers=1, resume=True)
    assert len(Run(tutorial / "run").candidates) == 2
    (copy / "my_attention.py").write_text("")
    (copy / "my_space.yaml").write_text(
        "plugins: [my_attention.py]\n" + (tutorial / "my_space.yaml").read_text().partition("\n")[2]
    )
    with pytest.raises(UsageError, match="begun with another search space"):
        search(load_space(copy / "my_space.yaml"), run=tutorial / "run", budget=3, workers=1, resume=True)


def test_installed_plugins_are_in_the_catalogue(tutorial, tmp_path):
    """An entry point is enough; one that fails is told and left out."""
    (tmp_path / "demo-1.dist-info").mkdir()
    (tmp_path / "demo-1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: demo\nVersion: 1\n")
    (tmp_path / "demo-1.dist-info" / "entry_points.txt").write_text(
        "[attn_nas.plugins]\nbroken = no_such_module\nenergy = my_attention\n"
    )
    done = _run(tmp_path, "attn_nas", "mechanisms", "energy_gate", "--json", PYTHONPATH=str(tmp_path))
    assert json.loads(done.stdout)["name"] == "energy_gate"
    assert "the plug-in broken (no_such_module) is left out: ModuleNotFoundError" in done.stderr


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "cannot be read: No such file"),
        ("1 / 0", "fails: ZeroDivisionError"),
        ("import no_such_module", "fails: ModuleNotFoundError"),
        ("def", "fails: SyntaxError"),
        (
            "from attn_nas import Mechanism, register_mechanism\n"
            "register_mechanism(Mechanism('se', 'm:C', 'channel', '', title='', year=2026))",
            "mechanism name 'se' is taken: choose another",
        ),
        (
            "from attn_nas import Mechanism, register_mechanism\n"
            "register_mechanism(Mechanism('mine', 'm:C', 'channel', '', title='', year=2026, positions=('middle',)))",
            "choose from standard, pre",
        ),
    ],
)
def test_a_bad_plugin_is_an_error_at_its_line_of_the_space(text, message, tmp_path):
    """Missing, broken or clashing: file, line and reason, and nothing half loaded."""
    if text is not None:
        (tmp_path / "bad.py").write_text(text)
    (tmp_path / "space.yaml").write_text(
        "plugins: [bad.py]\ntrunk: {name: cifar_resnet, depth: 8}\ndata: {name: digits}\nmechanisms: [{name: se}]\n"
        "proxy: {epochs: 1, batch_size: 2, lr: 1}\n"
    )
    with pytest.raises(SpaceError, match=r"space.yaml:1:10  plugins.*bad\.py") as caught:
        load_space(tmp_path / "space.yaml")
    assert message in str(caught.value)
    assert not [path for path in plugins.loaded_files() if path.name == "bad.py"]
