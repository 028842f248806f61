"""Mechanisms and trunks of other people: the documentation's tutorial, files, entry points, and what goes wrong."""

import json
import os
import re
import shutil
import sys
from pathlib import Path

import pytest
import warm
from generators.blocks import blocks_of

from attn_nas.attention.catalog import get_mechanism
from attn_nas.engine.search import Search
from attn_nas.errors import AttnNasError, ExportError, SpaceError, UsageError
from attn_nas.execution.settings import Local
from attn_nas.export import export_candidates
from attn_nas.export.source import model_source
from attn_nas.models.insertion.planning import bare_blocks
from attn_nas.plugins import registry as plugins
from attn_nas.runs.run import Run
from attn_nas.space.encoding import Encoding
from attn_nas.space.loading import load_space
from attn_nas.space.trunks import Trunk

TUTORIAL = Path(__file__).parents[2] / "docs" / "extending.md"


@pytest.fixture
def tutorial(tmp_path):
    """The files that the tutorial shows, in a folder."""
    for block in blocks_of(TUTORIAL):
        if block.file_name:
            (tmp_path / block.file_name).write_text(block.code)
    assert {path.name for path in tmp_path.iterdir()} == {
        "my_attention.py",
        "my_space.yaml",
        "my_trunk.py",
        "test_my_attention.py",
        "test_my_trunk.py",
    }
    return tmp_path


def _run(folder, *command, **environment):
    return warm.run(
        [sys.executable, "-m", *command],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
    )


def test_the_tutorials_contracts_pass(tutorial):
    """Three lines per file run the whole suite on the user's mechanism and on the user's trunk."""
    done = _run(tutorial, "pytest", "-q", "test_my_attention.py", "test_my_trunk.py")
    assert done.returncode == 0, done.stdout
    assert int(re.search(r"(\d+) passed", done.stdout)[1]) >= 19


@pytest.mark.usefixtures("tutorial")
def test_the_tutorials_mechanism_is_in_the_catalogue(command):
    """By name and in the table, with its costs."""
    _, shown, told = command("mechanisms", "energy_gate", "--plugin", "my_attention.py")
    assert "x * sigmoid(W2 relu(W1 rms_hw(x)))" in shown, told
    assert "\nenergy_gate " in command("mechanisms", "--plugin", "my_attention.py")[1]


@pytest.mark.usefixtures("verified_here")
def test_the_tutorials_search_runs_and_its_run_can_move(tutorial, tmp_path, command, monkeypatch):
    """Two workers train the user's mechanism; without the user's files the moved run is read, resumed and exported."""
    options = ("--run", "run", "--confirm", "0", "--no-export")
    begin = ("search", "--space", "my_space.yaml", "--budget", "5", "--workers", "2")
    done = _run(tutorial, "attn_nas", *begin, *options)
    assert done.returncode == 0, done.stderr
    assert "energy_gate everywhere" in done.stdout
    moved = tmp_path / "elsewhere" / "run"
    moved.parent.mkdir()
    shutil.move(tutorial / "run", moved)
    (tutorial / "my_attention.py").unlink()
    monkeypatch.chdir(moved.parent)
    references = {found["reference"]: found["key"] for found in json.loads(command("front", "run", "--json")[1])["references"]}
    assert "energy_gate everywhere" in references
    code, _, told = command("search", "--resume", "--budget", "6", "--workers", "1", *options)
    assert code == 0, told
    run = Run(moved)
    ours = next(candidate for candidate in run.candidates if candidate.record.reference == "energy_gate everywhere")
    (folder,) = export_candidates(run, [ours], tmp_path / "models")
    source = (folder / "model.py").read_text()
    assert "class EnergyGate(nn.Module)" in source
    assert "attn_nas" not in source.split('"""')[2]


@pytest.mark.usefixtures("verified_here")
def test_the_tutorials_trunk_is_searched_and_exported(tutorial, command):
    """A space may name both files; the exported model carries the source of trunk and slots."""
    text = (tutorial / "my_space.yaml").read_text().replace("[my_attention.py]", "[my_attention.py, my_trunk.py]")
    text = text.replace("{name: cifar_resnet, depth: 8, width: 8}", "{name: plain_net, depth: 1, width: 8}")
    (tutorial / "space.yaml").write_text(text)
    run = Search(load_space(tutorial / "space.yaml"), run=tutorial / "run").optimize(
        n_trials=3, confirm=0, execution=Local(workers=1)
    )
    assert run.failures == []
    folders = export_candidates(run, run.references, tutorial / "models")
    assert len(folders) == 3
    assert all("class PlainBlock(nn.Module)" in (folder / "model.py").read_text() for folder in folders)
    assert "plain_net" in command("trunks", "--plugin", "my_trunk.py")[1]


def test_a_plugin_is_what_it_was_when_it_was_read(tutorial):
    """Edited during a search, the file changes neither what workers train nor what is exported and kept."""
    space = load_space(tutorial / "my_space.yaml")
    source = (tutorial / "my_attention.py").read_text()
    (tutorial / "my_attention.py").write_text(source.replace(".sigmoid()", ".tanh()"))
    genotype = Encoding(space).decode(
        {name: "energy_gate" if name.endswith("mechanism") else values[0] for name, values in Encoding(space).choices.items()}
    )
    assert ".tanh()" not in model_source(genotype, 10, 3, "A network.")
    whole = source.replace("from attn_nas import", "import attn_nas\nfrom attn_nas import")
    (tutorial / "my_attention.py").write_text(whole.replace("energy = (x", "attn_nas.__name__\n        energy = (x"))
    load_space(tutorial / "my_space.yaml")
    with pytest.raises(ExportError, match="imports attn_nas whole: write from attn_nas import"):
        model_source(genotype, 10, 3, "A network.")


def test_a_run_is_resumed_with_its_own_space_under_another_name(tutorial):
    """The same plug-in at another path is the same space; another one is not."""
    space = load_space(tutorial / "my_space.yaml")
    Search(space, run=tutorial / "run").optimize(n_trials=2, confirm=0, execution=Local(workers=1))
    copy = tutorial / "copy"
    copy.mkdir()
    for name in ("my_space.yaml", "my_attention.py"):
        shutil.copy(tutorial / name, copy / name)
    Search.load(tutorial / "run").check(space=copy / "my_space.yaml")
    source = (copy / "my_attention.py").read_text()
    (copy / "my_attention.py").write_text(source.replace("1e-3", "1e-2"))
    with pytest.raises(UsageError, match="begun with another search space"):
        Search.load(tutorial / "run").check(space=copy / "my_space.yaml")
    Search.load(tutorial / "run").optimize(n_trials=3, confirm=0, execution=Local(workers=1))
    shutil.rmtree(tutorial / "run" / "plugins")
    with pytest.raises(
        SpaceError, match=r"the search space of .*run cannot be used any more: plugins: the plug-in .* cannot be read"
    ):
        Search.load(tutorial / "run").optimize(n_trials=4, confirm=0, execution=Local(workers=1))


def test_a_plugin_that_cannot_be_built_or_counted_is_named(tutorial):
    """A class that is not there, and an operator without a counter, before anything is trained."""
    source = (tutorial / "my_attention.py").read_text()
    for broken, message in (
        (source.replace(":EnergyGate", ":EnergyGait"), "energy_gate: there is no class"),
        (
            source.replace("(self.fc1(energy)", "(self.fc1(energy.lgamma())"),
            "energy_gate r2: no cost is known for aten::lgamma",
        ),
    ):
        (tutorial / "my_attention.py").write_text(broken)
        with pytest.raises(AttnNasError, match=message):
            Search(load_space(tutorial / "my_space.yaml"), run=tutorial / "run").optimize(
                n_trials=2, confirm=0, execution=Local(workers=1)
            )
        assert not (tutorial / "run").exists()


def test_builtin_trunks_cannot_be_replaced_by_the_plugin_that_first_needs_them(tutorial):
    """What comes with the package stays its own, though a plug-in's import was the first to load it."""
    clash = (tutorial / "my_trunk.py").read_text().replace('"plain_net"', '"cifar_resnet"')
    (tutorial / "run.py").write_text(
        "from attn_nas.plugins import registry as plugins\n"
        "plugins.load_file('my_trunk.py', named=True)\n"
        f"open('my_trunk.py', 'w').write({clash!r})\n"
        "plugins.load_file('my_trunk.py', named=True)\n"
    )
    done = warm.run([sys.executable, "run.py"], cwd=tutorial, capture_output=True, text=True)
    assert "SpaceError: trunk name 'cifar_resnet' is taken" in done.stderr


def test_a_mended_plugin_can_be_loaded_again(tutorial):
    """What failed half-way registered nothing, and a new version takes the place of the old one."""
    path = tutorial / "my_attention.py"
    source = path.read_text()
    path.write_text(source + "\n1 / 0\n")
    with pytest.raises(SpaceError, match="ZeroDivisionError"):
        load_space(tutorial / "my_space.yaml")
    path.write_text(source.replace("energy_gate", "power_gate"))
    plugins.load_file(path, named=True)
    assert get_mechanism("power_gate").title == "Energy gates"
    path.write_text(source.replace("Energy gates", "Better gates"))
    assert load_space(tutorial / "my_space.yaml").mechanisms[0].mechanism.title == "Better gates"


def test_a_mended_trunk_has_its_new_blocks(tutorial):
    """What was computed for a trunk of the same name, depth and width is not taken for the new version."""
    path = tutorial / "my_trunk.py"
    source = path.read_text()
    plugins.load_file(path, named=True)
    first = Trunk("plain_net", 2, 8)
    before = first.blocks, first.sites, bare_blocks(first)
    path.write_text(
        source.replace("for _ in range(depth)", "for _ in range(depth + 1)").replace("range(2 * depth)", "range(2 * depth + 2)")
    )
    plugins.load_file(path, named=True)
    mended = Trunk("plain_net", 2, 8)
    assert (len(before[0]), len(mended.blocks)) == (4, 6)
    assert (len(before[1]), len(mended.sites)) == (5, 7)
    assert (len(before[2]), len(bare_blocks(mended))) == (4, 6)
    assert before[2][0][0] is not bare_blocks(mended)[0][0]


def test_installed_plugins_are_in_the_catalogue(tutorial, tmp_path):
    """An entry point is enough; one that fails is told and left out."""
    (tmp_path / "demo-1.dist-info").mkdir()
    (tmp_path / "demo-1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: demo\nVersion: 1\n")
    (tmp_path / "demo-1.dist-info" / "entry_points.txt").write_text(
        "[attn_nas.plugins]\nbroken = no_such_module\nenergy = my_attention\n"
    )
    done = _run(tmp_path, "attn_nas", "mechanisms", "energy_gate", "--json", PYTHONPATH=str(tmp_path))
    assert json.loads(done.stdout)["name"] == "energy_gate"
    assert "the plug-in broken (no_such_module) is skipped, its import failed: ModuleNotFoundError" in done.stderr
    found = _run(tmp_path, "attn_nas", "mechanisms", "energy_gate", "--plugin", "my_attention.py", PYTHONPATH=str(tmp_path))
    assert found.returncode == 0, found.stderr


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "cannot be read: No such file"),
        ("1 / 0", "fails: ZeroDivisionError"),
        ("import no_such_module", "fails: ModuleNotFoundError"),
        ("def", "fails: SyntaxError"),
        ("import sys\nsys.exit(0)", "fails: SystemExit"),
        (
            "from attn_nas import Mechanism, register_mechanism\n"
            "register_mechanism(Mechanism('se', 'm:C', 'channel', '', title='', year=2026))",
            "mechanism name 'se' is taken: choose another name",
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
    assert not [file for file in plugins.active_files() if file.path.name == "bad.py"]
