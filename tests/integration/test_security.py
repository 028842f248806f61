"""What comes from elsewhere is data: it is not run, does not leave its place in a page or a file, and calls nobody."""

import ast
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

import pytest
import warm
import yaml

from attn_nas.engine.search import Search
from attn_nas.errors import SpaceError
from attn_nas.execution.settings import Local
from attn_nas.plugins import registry as plugins
from attn_nas.report.pages.environment import environment
from attn_nas.space.families import FAMILIES
from attn_nas.space.trunks import register_trunk

PACKAGE = Path(__file__).parents[2] / "attn_nas"
SPACE = """\
trunk: {name: cifar_resnet, depth: 8, width: 8}
data: {name: cluttered_digits, num_train: 128, num_validation: 32}
mechanisms: [{name: se}]
proxy: {epochs: 1, batch_size: 32, lr: 0.1}
"""


@cache
def _trees():
    """The parsed sources of the package, by file."""
    return {str(path.relative_to(PACKAGE)): ast.parse(path.read_text()) for path in sorted(PACKAGE.rglob("*.py"))}


def _calls():
    for file, tree in _trees().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                yield file, ast.unparse(node.func), {each.arg: ast.unparse(each.value) for each in node.keywords}, node


def test_nothing_that_runs_code_when_it_reads_is_imported():
    """No pickle and no kin of it, but where a trainer in memory goes to the nodes of a Ray cluster."""
    travelling = tuple(f"execution/ray_cluster/{name}.py" for name in ("client", "tasks", "nodes"))
    forbidden = {"pickle", "cPickle", "_pickle", "marshal", "shelve", "dill", "joblib", "cloudpickle", "jsonpickle"}
    for file, tree in _trees().items():
        for node in ast.walk(tree):
            names = [each.name for each in node.names] if isinstance(node, ast.Import) else []
            names += [str(node.module), *(each.name for each in node.names)] if isinstance(node, ast.ImportFrom) else []
            found = {name.partition(".")[0] for name in names} & forbidden
            assert not found or (file in travelling and found == {"cloudpickle"}), file


def test_files_are_read_by_loaders_that_run_nothing():
    """torch, numpy, pandas and YAML each have one that does."""
    for file, function, keywords, _ in _calls():
        name = function.rpartition(".")[2]
        if function in ("torch.load", "torch.jit.load"):
            assert keywords.get("weights_only") == "True", file
        assert function != "torch.hub.load" or keywords["source"] == "'local'", file
        assert name not in ("unsafe_load", "full_load", "load_all", "read_pickle", "to_pickle"), (file, function)
        assert keywords.get("allow_pickle", "False") == "False", file
        if function in ("yaml.load", "yaml.compose"):
            assert keywords.get("Loader") == "yaml.SafeLoader", file
    for file, tree in _trees().items():
        bases = [ast.unparse(base) for node in ast.walk(tree) if isinstance(node, ast.ClassDef) for base in node.bases]
        assert {base for base in bases if base.endswith("Loader")} <= {"yaml.SafeLoader"}, file


def test_code_is_run_in_three_places_only():
    """A plug-in file, or a file of the user's code, that the user named or trusts; an exported model in an isolated process.

    The process that decodes images loads the module of this package that does it.
    """
    found = {(file, function) for file, function, _, _ in _calls() if function in ("exec", "eval", "compile", "__import__")}
    assert found == {(f"plugins/{file}.py", function) for file in ("registry", "user_code") for function in ("exec", "compile")}
    loaders = {file for file, function, _, _ in _calls() if function.endswith("exec_module") or function.startswith("runpy.")}
    assert loaders == {"export/isolated.py", "data/decoding_process.py"}


def test_no_shell_is_started():
    """Processes are started from lists of arguments."""
    for file, function, keywords, _ in _calls():
        assert function not in ("os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput"), file
        assert not function.startswith("os.exec"), file
        assert keywords.get("shell", "False") == "False", file


def test_values_reach_the_database_as_parameters():
    """No statement is put together from text."""
    for file, function, _, node in _calls():
        if function.rpartition(".")[2] in ("execute", "executemany", "executescript", "exec_driver_sql", "text") and node.args:
            composed = (ast.JoinedStr, ast.BinOp)
            assert not isinstance(node.args[0], composed), (file, ast.unparse(node))
            assert not (isinstance(node.args[0], ast.Call) and ast.unparse(node.args[0].func).endswith(".format")), file


def test_templates_escape_what_they_are_given():
    """All of them; markup is what this package has made."""
    assert environment().autoescape is True
    made = environment().from_string("{{ text }}").render(text="<script>'\"&")
    assert made == "&lt;script&gt;&#39;&#34;&amp;"


HOSTILE = 'x"""\'\\ <img src=x onerror=alert(1)>\n---\nevil: yes\n`$(touch owned)`{{7*7}}|[a](javascript:1)<!--'
CODE = '"""\nimport pathlib\npathlib.Path("owned").touch()\n"""\\'


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """A run whose space, folder and manifest have names that try to break out of wherever they are written."""
    folder = tmp_path_factory.mktemp("hostile")
    space = folder / f"{HOSTILE}.yaml"
    space.write_text(SPACE)
    run = folder / "runs" / HOSTILE
    Search(space, run=run).optimize(n_trials=4, confirm=0, execution=Local(workers=1))
    with closing(sqlite3.connect(run / "study.db")) as connection:
        query = "SELECT value_json FROM study_user_attributes WHERE key = 'run'"
        stored = json.loads(connection.execute(query).fetchone()[0])
        stored["versions"] = dict.fromkeys(stored["versions"], f"{CODE} {HOSTILE}")
        stored["flops_convention"] = f"{HOSTILE} {CODE}"
        connection.execute("UPDATE study_user_attributes SET value_json = ? WHERE key = 'run'", (json.dumps(stored),))
        connection.commit()
    return run


class _Attributes(HTMLParser):
    """Notes handlers of events, scripts and links of scripts."""

    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attributes):
        if tag == "img":
            self.found.append(tag)
        self.found += [name for name, value in attributes if name.startswith("on") or (value or "").startswith("javascript:")]


def _is_harmless(page):
    parser = _Attributes()
    parser.feed(page)
    return parser.found == [] and "49|[a]" not in page


@pytest.mark.usefixtures("verified_here")
def test_hostile_names_stay_text_in_exported_folders(hostile, tmp_path, command):
    """Sources have the classes and functions that they should have, and no more; the card's metadata is what it was."""
    code, _, err = command("export", hostile, "--pick", "--to", "out", "--format", "source,safetensors,insert,hub")
    assert code == 0, err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]
    for folder in (path for path in (tmp_path / "out").iterdir() if path.is_dir()):
        for source in folder.glob("*.py"):
            tree = ast.parse(source.read_text())
            assert ast.get_docstring(tree)
            assert "pathlib" not in {
                name.name for node in tree.body if isinstance(node, ast.Import) for name in node.names
            } or (source.name == "hubconf.py")
            statements = (ast.Import, ast.ImportFrom, ast.ClassDef, ast.FunctionDef, ast.Assign, ast.AnnAssign)
            assert all(isinstance(node, statements) for node in tree.body[1:])
        card = (folder / "README.md").read_text()
        _, front_matter, body = card.split("---\n", 2)
        assert set(yaml.safe_load(front_matter)) == {"tags", "library_name", "pipeline_tag", "model-index"}
        assert "<img" not in body
        assert "\nevil: yes" not in body
        assert json.loads((folder / "config.json").read_text())["versions"]["torch"] == f"{CODE} {HOSTILE}"


def test_hostile_names_stay_text_in_reports_and_pages(hostile, tmp_path, ask, command):
    """As HTML, Markdown, SVG and CSV, and in the dashboard."""
    from attn_nas.dashboard.app import dashboard_app
    from attn_nas.dashboard.guard import Rules
    from attn_nas.dashboard.library import Library

    for kind, name in (("html", "r.html"), ("md", "r.md"), ("csv", "r.csv")):
        code, _, err = command("report", hostile, "--format", kind, "--to", name)
        assert code == 0, err
    page = (tmp_path / "r.html").read_text()
    assert "evil: yes" in page
    assert _is_harmless(page)
    heading, *rest = (tmp_path / "r.md").read_text().splitlines()
    assert heading.startswith("# attn-nas: x")
    assert heading.endswith("&lt;!--")
    assert not any("<img" in line or line.startswith(("---", "evil")) for line in (heading, *rest))
    for picture in hostile.glob("*.svg"):
        assert _is_harmless(picture.read_text())
    pages = dashboard_app(Library(hostile.parent), Rules.of("127.0.0.1", None))
    listed = ask(pages, "/")
    assert "evil: yes" in listed.text
    assert _is_harmless(listed.text)
    single = dashboard_app(Library(hostile), Rules.of("127.0.0.1", None))
    assert _is_harmless(ask(single, "/").text)


def test_keys_and_names_of_records_are_words():
    """So they may stand in file names, sources and addresses."""
    from dataclasses import replace

    for name in ("../x", 'x"""', "x\ny", "X", "", "x y"):
        with pytest.raises(SpaceError, match="lower-case letters"):
            register_trunk(replace(FAMILIES[0], name=name))


PLUGIN = """
from pathlib import Path
from torch import nn
from attn_nas import Mechanism, register_mechanism

Path({mark!r}).touch()


class Twice(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.scale = nn.Conv2d(channels, channels, 1, groups=channels)

    def forward(self, x):
        return x * self.scale(x).sigmoid()


register_mechanism(Mechanism("twice", f"{{__name__}}:Twice", "channel", "2x", title="Twice", year=2026))
"""


@pytest.fixture(scope="module")
def theirs(tmp_path_factory):
    """A run with a plug-in that marks when it is run, as somebody else made it; and the mark."""
    folder = tmp_path_factory.mktemp("theirs")
    (folder / "mine.py").write_text(PLUGIN.format(mark=str(folder / "mark")))
    (folder / "space.yaml").write_text(SPACE.replace("{name: se}", "{name: twice}") + "plugins: [mine.py]\n")
    options = ["--space", "space.yaml", "--run", "run", "--budget", "4", "--confirm", "0", "--workers", "1", "--no-export"]
    environment = {**os.environ, "XDG_STATE_HOME": str(folder / "state"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "attn_nas", "search", *options]
    warm.run(command, cwd=folder, env=environment, capture_output=True, check=True)
    assert (folder / "mark").exists()
    return folder


@pytest.fixture
def anew(command):
    """Runs the command line as a process does that has run no plug-in yet."""

    def run(*arguments):
        plugins._active.clear()
        return command(*arguments)

    return run


def test_own_plug_ins_are_known_again(theirs, anew, monkeypatch):
    """Whoever made a run reads it without a word more."""
    monkeypatch.setenv("XDG_STATE_HOME", str(theirs / "state"))
    assert anew("front", theirs / "run")[0] == 0


@pytest.fixture
def received(theirs, tmp_path, monkeypatch):
    """A copy of the run on the machine of who never named its plug-in; gives the mark."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("ATTN_NAS_TRUST_PLUGINS", "0")
    shutil.copytree(theirs / "run", tmp_path / "runs" / "run")
    (theirs / "mark").unlink(missing_ok=True)
    return theirs / "mark"


LOOKS = ["front", "report", "insight", "export", "search --resume --budget 5 --run", "plain --plan", "retrain --plan", "maps"]


@pytest.mark.parametrize("look", LOOKS)
def test_code_that_came_with_a_run_is_not_run(look, received, anew):
    """Not by any command that looks at it; the message names the file and the remedy."""
    code, out, err = anew(*look.split(), "runs/run")
    assert (code, out) == (2, "")
    assert "runs/run/plugins/mine.py was not run: it belongs to the folder that you open" in err
    assert "attn-nas --trust-plugins" in err
    assert not received.exists()


def test_the_word_for_a_plug_in_is_given_once(received, anew, tmp_path, monkeypatch):
    """By an option or by the environment; it holds for what the file says, and for no other content."""
    plugin = tmp_path / "runs" / "run" / "plugins" / "mine.py"
    assert anew("--trust-plugins", "front", "runs/run")[0] == 0
    assert received.exists()
    monkeypatch.setenv("ATTN_NAS_TRUST_PLUGINS", "0")
    assert anew("front", "runs/run")[0] == 0
    plugin.write_text(plugin.read_text() + "\n# changed\n")
    received.unlink()
    assert anew("front", "runs/run")[0] == 2
    assert not received.exists()
    monkeypatch.setenv("ATTN_NAS_TRUST_PLUGINS", "1")
    assert anew("front", "runs/run")[0] == 0
    assert received.exists()


def test_a_state_that_cannot_be_written_is_no_obstacle(received, anew, tmp_path, monkeypatch):
    """The word is asked for again, that is all."""
    (tmp_path / "state").write_text("")
    assert anew("--trust-plugins", "front", "runs/run")[0] == 0
    monkeypatch.setenv("ATTN_NAS_TRUST_PLUGINS", "0")
    assert anew("front", "runs/run")[0] == 2


def test_code_that_came_with_a_run_is_not_run_by_a_dashboard(received, tmp_path, ask):
    """Nor by the list of runs; the page says why."""
    from attn_nas.dashboard.app import dashboard_app
    from attn_nas.dashboard.guard import Rules
    from attn_nas.dashboard.library import Library

    plugins._active.clear()
    pages = dashboard_app(Library(tmp_path / "runs"), Rules.of("127.0.0.1", None))
    assert ask(pages, "/").status == 200
    answer = ask(pages, "/runs/run")
    assert answer.status >= 400
    assert "was not run: it belongs to the folder that you open" in answer.text
    assert not received.exists()


OFFLINE = """
import sys

def watch(event, arguments):
    if event == "socket.getaddrinfo":
        raise AssertionError(f"somebody was looked up: {arguments}")
    if event in ("socket.connect", "socket.bind", "socket.sendto", "socket.sendmsg"):
        import socket
        if arguments[0].family in (socket.AF_INET, socket.AF_INET6):
            raise AssertionError(f"somebody was called: {event} {arguments}")

sys.addaudithook(watch)
"""
COMMANDS = """
if __name__ == "__main__":
    import json
    from attn_nas.cli import main

    def run(*arguments):
        sys.argv = ["attn-nas", "--debug", *arguments]
        try:
            main()
        except SystemExit as ended:
            assert not ended.code, arguments

    begin = ["search", "--space", "space.yaml", "--budget"]
    run(*begin, "4", "--run", "one", "--workers", "1", "--confirm", "1")
    run(*begin, "2", "--run", "two", "--workers", "2", "--confirm", "0", "--no-export")
    run("front", "one")
    run("show", "one", json.load(open("one/front.json"))["pick"])
    run("insight", "one")
    run("report", "one")
"""


def test_nothing_is_fetched_or_sent(tmp_path):
    """A search by one and by two workers, with confirmation and export, and all that reads it, without a socket to anybody."""
    (tmp_path / "offline.py").write_text(OFFLINE + COMMANDS)
    (tmp_path / "space.yaml").write_text(SPACE)
    done = warm.run([sys.executable, "offline.py"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "one" / "report.html").exists()
    imports = f"import {', '.join(warm.LOADED)}\nprint('loaded')"
    calling = f"{OFFLINE}\n{imports}\nimport urllib.request\nurllib.request.urlopen('http://127.0.0.1:9')"
    called = subprocess.run([sys.executable, "-c", calling], capture_output=True, text=True, check=False)
    assert called.stdout == "loaded\n", called.stderr
    assert "somebody was" in called.stderr
