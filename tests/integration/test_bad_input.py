"""What a user can do wrong, and what may have become of files: one message that helps, and nothing left behind."""

import json
import os
import shutil
import sqlite3
import struct
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from attn_nas.engine.search import Search
from attn_nas.execution.settings import Local

GOOD = """\
trunk: {name: cifar_resnet, depth: 8, width: 8}
data: {name: cluttered_digits, num_train: 128, num_validation: 32}
mechanisms: [{name: se}]
proxy: {epochs: 1, batch_size: 32, lr: 0.1}
"""


def _entries(folder):
    return {path.relative_to(folder) for path in folder.rglob("*")}


@pytest.fixture
def refused(command, tmp_path):
    """Demands that a command ends with this code (or 1 or 2), one message of these words, and leaves nothing behind."""

    def check(arguments, code, *words):
        before = _entries(tmp_path)
        ended, out, said = command(*arguments)
        err = " ".join(said.replace("│", " ").split())
        assert (ended, out) == (code or ended, ""), (ended, out, err)
        assert ended in (1, 2), err
        for word in words:
            assert word in err, err
        assert "Traceback" not in err
        assert "Unexpected error" not in err
        assert said.lstrip().startswith(("attn-nas: ", "Usage: ", "╭─ Error")), said
        assert sum(line.startswith(("attn-nas: ", "╭─ Error")) for line in said.splitlines()) == 1, said
        left = {path for path in _entries(tmp_path) - before if not path.name.startswith("study.db-")}
        assert left == set()

    return check


def _with(**lines):
    """A space in which a section says something else."""
    text = GOOD
    for name, value in lines.items():
        kept = [line for line in text.splitlines(keepends=True) if not line.startswith(f"{name}:")]
        text = "".join(kept) + (f"{name}: {value}\n" if value is not None else "")
    return text


_BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join(['*' + before] * 9)}]\n" for before, name in zip("abcdefghijk", "bcdefghijkl", strict=True)
)
SPACES = {
    "empty": ("", ["space.yaml:1:1", "a search space is a mapping with"]),
    "only a comment": ("# nothing\n", ["space.yaml:1:1", "a search space is a mapping with"]),
    "a list": ("- a\n- b\n", ["space.yaml:1:1", "a search space is a mapping with"]),
    "a word": ("hello\n", ["space.yaml:1:1", "a search space is a mapping with"]),
    "null": ("null\n", ["space.yaml:1:1", "a search space is a mapping with"]),
    "not YAML": ("trunk: {name: [\n", ["space.yaml:2:1", "not YAML"]),
    "a tab": ("trunk:\n\tname: resnet\n", ["space.yaml:2:1", "not YAML", "'\\t'", "indent with spaces"]),
    "two documents": (GOOD + "---\n" + GOOD, ["space.yaml:5:1", "not YAML", "another document"]),
    "a key twice": (GOOD + "granularity: per_block\ngranularity: per_stage\n", ["space.yaml:6:1", "appears twice"]),
    "a list as a key": ("? [a, b]\n: c\n" + GOOD, ["space.yaml:1:3", "not YAML", "unhashable key"]),
    "a tag of Python": ("trunk: !!python/object/apply:os.system [touch owned]\n", ["space.yaml:1:8", "not YAML", "tag"]),
    "a tag nobody knows": (_with(data="!gadget {name: digits}"), ["space.yaml:4:7", "not YAML", "!gadget"]),
    "a number that is none": (_with(data="!!int x"), ["space.yaml:4:7", "leave out the tag !!int"]),
    "a truth that is none": (_with(data="!!bool maybe"), ["space.yaml:4:7", "leave out the tag !!bool"]),
    "a time that is none": (_with(data="!!timestamp yesterday"), ["space.yaml:4:7", "leave out the tag !!timestamp"]),
    "an empty integer": (_with(data='!!int "_"'), ["space.yaml:4:7", "leave out the tag !!int"]),
    "a day that is none": (_with(data="2024-99-99"), ["space.yaml:4:7", "data", "write a mapping with name"]),
    "an anchor nobody set": (_with(data="*nowhere"), ["space.yaml:4:7", "not YAML", "nowhere"]),
    "a bomb of aliases": (_BOMB + GOOD, ["space.yaml:6:4", "aliases repeat more than 100,000 values"]),
    "a bomb of merge keys": (
        "a: &a {x: 1}\n"
        + "".join(f"{b}: &{b} {{<<: [{', '.join(['*' + a] * 9)}]}}\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)),
        ["space.yaml:6:", "aliases repeat more than 100,000 values"],
    ),
    "itself within itself": (
        "trunk: &t {name: *t}\n",
        ["space.yaml:1:8", "this anchor contains itself"],
    ),
    "a thousand levels": ("[" * 5000 + "]" * 5000, ["space.yaml", "nested too deeply"]),
    "text that is not UTF-8": (
        GOOD.replace("8}", "8} # größer").encode("latin-1"),
        ["space.yaml:1:53", "0xF6 is not UTF-8", "Latin-1", "Save it as UTF-8"],
    ),
    "UTF-16": (GOOD.encode("utf-16"), ["space.yaml is encoded in UTF-16: save it as UTF-8"]),
    "UTF-16 without a mark": (GOOD.encode("utf-16-le"), ["space.yaml is encoded in UTF-16 without", "save it as UTF-8"]),
    "UTF-32": (GOOD.encode("utf-32"), ["space.yaml is encoded in UTF-32: save it as UTF-8"]),
    "bytes": (bytes(range(256)) * 4, ["space.yaml", "is not text", "UTF-8"]),
    "a zero byte": (GOOD + "\0", ["space.yaml:5:1", "the character U+0000 is not allowed"]),
    "an unknown section": (GOOD + "proxies: {}\n", ["space.yaml:5:1", "proxies", "no such key", "did you mean proxy?"]),
    "an unknown key": (_with(trunk="{name: cifar_resnet, deph: 8}"), ["space.yaml:4:29", "deph", "did you mean depth?"]),
    "a section left out": (_with(data=None), ["space.yaml:1:1", "data", "this key is missing"]),
    "a section that is a list": (_with(data="[digits]"), ["space.yaml:4:7", "data", "write a mapping with name"]),
    "a section that is a word": (_with(data="digits"), ["space.yaml:4:7", "data", "write a mapping with name"]),
    "a section of nothing": (_with(data="null"), ["space.yaml:4:7", "data", "write a mapping with name"]),
    "an unknown trunk": (_with(trunk="{name: resnett}"), ["space.yaml:4:15", "trunk.name", "resnett", "did you mean resnet?"]),
    "a number as a name": (_with(trunk="{name: 3}"), ["space.yaml:4:15", "trunk.name = 3", "string"]),
    "a depth that is none": (_with(trunk="{name: cifar_resnet, depth: 9}"), ["space.yaml:4:36", "no depth 9", "choose from"]),
    "a depth as text": (_with(trunk="{name: cifar_resnet, depth: deep}"), ["space.yaml:4:36", "depth = deep", "integer"]),
    "a depth beyond reason": (_with(trunk="{name: cifar_resnet, depth: 6000000002}"), ["space.yaml:4:36", "depth", "at most"]),
    "a width of nothing": (_with(trunk="{name: cifar_resnet, depth: 8, width: 0}"), ["space.yaml:4:46", "width = 0", "1"]),
    "a width below nothing": (_with(trunk="{name: cifar_resnet, depth: 8, width: -4}"), ["space.yaml:4:46", "width = -4"]),
    "a width beyond reason": (
        _with(trunk="{name: cifar_resnet, depth: 8, width: 1000000000}"),
        ["space.yaml:4:46", "width", "equal to 4096"],
    ),
    "a width of 5000 digits": (
        _with(trunk=f"{{name: cifar_resnet, width: {'9' * 5000}}}"),
        ["space.yaml:4:36", "the number has more than 300 digits"],
    ),
    "a data set that is none": (_with(data="{name: cifar}"), ["space.yaml:4:14", "data.name = cifar", "did you mean cifar10"]),
    "images beyond reason": (
        _with(data="{name: cluttered_digits, num_train: 1000000000000}"),
        ["space.yaml:4:43", "num_train = 1000000000000", "less than or equal to"],
    ),
    "no images": (_with(data="{name: cluttered_digits, num_train: 0}"), ["space.yaml:4:43", "num_train = 0", "equal to 1"]),
    "more scans than there are": (
        _with(data="{name: digits, num_train: 100000}"),
        ["digits has", "num_train = 100000 is too many"],
        1,
    ),
    "half an image": (_with(data="{name: digits, num_train: 1.5}"), ["space.yaml:4:33", "num_train = 1.5", "integer"]),
    "images of a side beyond reason": (
        _with(data="{name: image_folder, image_size: 1000000}"),
        ["space.yaml:4:40", "image_size = 1000000", "choose from 8 to 4096 pixels"],
    ),
    "a seed below nothing": (_with(data="{name: digits, seed: -1}"), ["space.yaml:4:28", "data.seed = -1"]),
    "a seed beyond reason": (_with(data=f"{{name: digits, seed: {10**30}}}"), ["space.yaml:4:28", "data.seed"]),
    "no mechanisms": (_with(mechanisms="[]"), ["space.yaml:4:13", "mechanisms", "at least 1 item"]),
    "a mechanism that is none": (_with(mechanisms="[{name: sse}]"), ["space.yaml:4:21", "sse", "choose from"]),
    "a mechanism twice": (_with(mechanisms="[{name: se}, {name: se}]"), ["space.yaml:4:", "mechanisms", "se", "twice"]),
    "a mechanism as a word": (_with(mechanisms="[se]"), ["space.yaml:4:14", "mechanisms[0]", "write a mapping with name"]),
    "a reduction of nothing": (_with(mechanisms="[{name: se, reductions: [0]}]"), ["space.yaml:4:38", "reductions[0] = 0"]),
    "a reduction that it has not": (
        _with(mechanisms="[{name: eca, reductions: [4]}]"),
        ["space.yaml:4:38", "eca has no reductions", "leave it out"],
    ),
    "an even kernel": (_with(mechanisms="[{name: eca, kernel_sizes: [4]}]"), ["space.yaml:4:41", "kernel_sizes[0] = 4", "odd"]),
    "a position that is none": (
        _with(mechanisms="[{name: se, positions: [middle]}]"),
        ["space.yaml:4:37", "positions[0] = middle", "choose from"],
    ),
    "a rate of infinity": (
        _with(proxy="{epochs: 1, batch_size: 32, lr: .inf}"),
        ["space.yaml:4:40", "proxy.lr = .inf", "finite"],
    ),
    "a rate that is no number": (_with(proxy="{epochs: 1, batch_size: 32, lr: .nan}"), ["space.yaml:4:40", "proxy.lr = .nan"]),
    "a rate of nothing": (
        _with(proxy="{epochs: 1, batch_size: 32, lr: 0}"),
        ["space.yaml:4:40", "proxy.lr = 0", "greater than 0"],
    ),
    "a rate as text": (_with(proxy="{epochs: 1, batch_size: 32, lr: fast}"), ["space.yaml:4:40", "proxy.lr = fast", "number"]),
    "no epochs": (_with(proxy="{epochs: 0, batch_size: 32, lr: 0.1}"), ["space.yaml:4:17", "proxy.epochs = 0"]),
    "a batch of one": (_with(proxy="{epochs: 1, batch_size: 1, lr: 0.1}"), ["space.yaml:4:32", "proxy.batch_size = 1"]),
    "a batch larger than the data": (
        _with(proxy="{epochs: 1, batch_size: 129, lr: 0.1}"),
        ["proxy.batch_size = 129 is larger than the 128 training images", "lower it"],
        1,
    ),
    "a limit that is none": (GOOD + "limits: {max_flops: cheap}\n", ["space.yaml:5:21", "max_flops = cheap", "+5%"]),
    "a limit below the trunk": (
        GOOD + "limits: {max_flops: 10}\n",
        ["limits.max_flops = 10", "has 815,424 already", "write +5%"],
        2,
    ),
    "a cost that is none": (GOOD + "objectives: {costs: [price]}\n", ["space.yaml:5:22", "costs[0] = price", "choose from"]),
    "a cost twice": (GOOD + "objectives: {costs: [flops, flops]}\n", ["space.yaml:5:21", "flops appears twice"]),
    "a plug-in that is missing": (GOOD + "plugins: [nowhere.py]\n", ["space.yaml:5:10", "nowhere.py", "No such file"]),
    "a plug-in that is a folder": (GOOD + "plugins: [.]\n", ["space.yaml:5:10", "plug-in", "directory"]),
    "plug-ins that are no list": (GOOD + "plugins: {a: b}\n", ["space.yaml:5:10", "plugins", "list"]),
    "a name of a plug-in that no file has": (GOOD + 'plugins: ["a\\0b"]\n', ["space.yaml:5:10", "null byte"]),
}


@pytest.mark.parametrize("case", SPACES.values(), ids=SPACES)
def test_a_bad_space_is_refused_at_its_place(case, tmp_path, refused):
    """File, line, column, value, and what to write instead."""
    text, words, *code = case
    (tmp_path / "space.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
    arguments = ["search", "--space", "space.yaml", "--run", "run", "--budget", 1, "--workers", 1]
    refused(arguments, code[0] if code else 2, *words)


def test_a_space_of_a_hundred_megabytes_is_not_read(tmp_path, refused):
    """Nor is what has no end."""
    with (tmp_path / "space.yaml").open("wb") as file:
        file.truncate(100 * 2**20)
    refused(["search", "--space", "space.yaml"], 2, "space.yaml", "more than 1,048,576 bytes")
    refused(["search", "--space", "/dev/zero"], 2, "/dev/zero", "more than 1,048,576 bytes")


def test_a_space_that_cannot_be_opened_is_refused(tmp_path, refused):
    """A folder, a link to itself, a name that no file can have, no name at all."""
    (tmp_path / "loop.yaml").symlink_to("loop.yaml")
    refused(["search", "--space", "."], 2, ". cannot be read", "directory")
    refused(["search", "--space", "loop.yaml"], 2, "loop.yaml", "give a YAML file")
    refused(["search", "--space", "x" * 5000], 2, "no search space", "give a YAML file")


def test_images_that_do_not_fit_into_memory_are_refused(tmp_path, refused, monkeypatch):
    """Before the first is made."""
    monkeypatch.setattr("attn_nas.data.digits.usable_memory", lambda: 2**30)
    (tmp_path / "space.yaml").write_text(_with(data="{name: cluttered_digits, num_train: 10000000}"))
    refused(["search", "--space", "space.yaml"], 1, "10,000,000 train images of cluttered_digits", "14 GB", "choose fewer")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run of four candidates, really trained."""
    folder = tmp_path_factory.mktemp("finished")
    (folder / "space.yaml").write_text(GOOD)
    Search(folder / "space.yaml", run=folder / "run").optimize(n_trials=4, confirm=0, execution=Local(workers=1))
    return folder / "run"


@pytest.fixture
def run(finished, tmp_path):
    """A copy of it."""
    return Path(shutil.copytree(finished, tmp_path / "run"))


def _sql(run, *statements):
    with closing(sqlite3.connect(run / "study.db")) as connection:
        for statement in statements:
            connection.execute(*(statement if isinstance(statement, tuple) else (statement,)))
        connection.commit()


def _attribute(run, table, name, change):
    """Have ``change`` another attribute of a study, or of the trials; what it returns is stored as JSON, text as it is."""
    with closing(sqlite3.connect(run / "study.db")) as connection:
        (stored,) = connection.execute(f"SELECT value_json FROM {table} WHERE key = ?", (name,)).fetchone()
        changed = change(json.loads(stored))
        text = changed if isinstance(changed, str) else json.dumps(changed)
        connection.execute(f"UPDATE {table} SET value_json = ? WHERE key = ?", (text, name))
        connection.commit()


def _manifest(**changes):
    """Damage the manifest of a run: ``None`` takes an entry away."""

    def damage(run):
        def changed(stored):
            return {name: value for name, value in {**stored, **changes}.items() if value is not None}

        _attribute(run, "study_user_attributes", "run", changed)

    return damage


def _manifest_is(value):
    return lambda run: _attribute(run, "study_user_attributes", "run", lambda _: value)


def _trials(name, change):
    return lambda run: _attribute(run, "trial_user_attributes", name, change)


def _write(name, content):
    return lambda run: (run / name).write_bytes(content)


def _truncate(run):
    whole = (run / "study.db").read_bytes()
    (run / "study.db").write_bytes(whole[: len(whole) // 2])


def _other_application(run):
    (run / "study.db").unlink()
    _sql(run, "CREATE TABLE recipes (name TEXT)")


def _other_study(run):
    _sql(run, "UPDATE studies SET study_name = 'somebody else'")


def _empty_folder(run):
    shutil.rmtree(run)
    run.mkdir()


def _file_instead(run):
    shutil.rmtree(run)
    run.write_text("")


def _loop(run):
    shutil.rmtree(run)
    run.symlink_to("run")


RUNS = {
    "an empty folder": (_empty_folder, ["run is not a run", "study.db"]),
    "a file in the place of the folder": (_file_instead, ["run is not a run"]),
    "a link to itself": (_loop, ["run is not a run"]),
    "no study": (lambda run: (run / "study.db").unlink(), ["run is not a run", "study.db"]),
    "an empty study": (_write("study.db", b""), ["run/study.db", "cannot be opened as a study"]),
    "a study that is text": (_write("study.db", b"hello" * 1000), ["run/study.db", "cannot be opened as a study", "database"]),
    "half a study": (_truncate, ["study", "malformed"]),
    "a folder in the place of the study": (
        lambda run: ((run / "study.db").unlink(), (run / "study.db").mkdir()),
        ["run/study.db", "cannot be opened"],
    ),
    "a database of another application": (_other_application, ["run/study.db", "cannot be opened as a study"]),
    "somebody else's Optuna study": (_other_study, ["run is not a run of attn-nas"]),
    "a study without a manifest": (
        lambda run: _sql(run, "DELETE FROM study_user_attributes WHERE key = 'run'"),
        ["run is not a run of attn-nas", "does not say what was searched"],
    ),
    "a manifest that is no JSON": (_manifest_is("{"), ["run/study.db", "cannot be opened as a study"]),
    "a manifest that is a list": (_manifest_is([1]), ["run is not a run of attn-nas"]),
    "a manifest of a later format": (_manifest(format=99), ["run is a run of format 99", "update attn-nas"]),
    "a manifest without a space": (_manifest(space=None), ["run", "manifest", "space"]),
    "a space that is a word": (_manifest(space="word"), ["run", "space"]),
    "a space of unknown mechanisms": (_manifest(space={"mechanisms": [{"name": "sse"}]}), ["run", "space", "cannot be used"]),
    "a manifest without a task": (_manifest(task=None), ["run", "manifest", "task"]),
    "a task of text": (_manifest(task={"channels": "three"}), ["run", "manifest", "task"]),
    "a manifest without the trunk's cost": (_manifest(bare_cost=None), ["run", "manifest", "bare_cost"]),
    "a cost of text": (_manifest(bare_cost={"flops": "many"}), ["run", "manifest", "bare_cost"]),
    "a manifest without a reference point": (_manifest(reference_point=None), ["run", "manifest", "reference_point"]),
    "a reference point of one number": (_manifest(reference_point=[0.1]), ["run", "manifest", "reference_point"]),
    "a manifest without a seed": (_manifest(seed=None), ["run", "manifest", "seed"]),
    "a seed of text": (_manifest(seed="seven"), ["run", "manifest", "seed"]),
    "confirmations of text": (_manifest(confirm="twice"), ["run", "manifest", "confirm"]),
    "a manifest without numerics": (_manifest(numerics=None), ["run", "manifest", "numerics"]),
    "numerics of text": (_manifest(numerics="fast"), ["run", "manifest", "numerics"]),
    "a genotype of another trunk": (
        _trials("genotype", lambda found: {**found, "trunk": {"name": "cifar_resnet", "depth": 9, "width": 8}}),
        ["run", "trial 0", "no depth 9"],
    ),
    "a genotype that is a number": (_trials("genotype", lambda _: 7), ["run", "trial 0", "genotype"]),
    "a trial that is no JSON": (_trials("genotype", lambda _: "{"), ["run", "Expecting property name"]),
    "a cost without parameters": (_trials("cost", lambda found: {"flops": 1}), ["run", "trial 0", "Cost", "missing"]),
    "a cost that is text": (_trials("cost", lambda found: {**found, "flops": "many"}), ["run", "trial 0", "cost"]),
    "a result without a curve": (_trials("result", lambda found: {"accuracy": 0.5}), ["run", "trial 0", "Result", "missing"]),
    "an accuracy that is no number": (
        _trials("result", lambda found: {**found, "accuracy": float("nan")}),
        ["run", "trial 0", "accuracy"],
    ),
    "an accuracy of text": (_trials("result", lambda found: {**found, "accuracy": "high"}), ["run", "trial 0", "accuracy"]),
    "a profile of text": (_trials("profile", lambda found: '"slow"'), ["run", "trial 0", "profile"]),
}


@pytest.mark.parametrize(("damage", "words"), RUNS.values(), ids=RUNS)
def test_a_damaged_run_is_refused(damage, words, run, refused):
    """Whoever reads it: which run, what of it, and what may be done."""
    damage(run)
    for arguments in (["front", "run"], ["report", "run"], ["search", "--resume", "--run", "run"], ["export", "run"]):
        refused(arguments, 1 if "cannot be used" not in words else 2, *words)


def _missing(run):
    for name in ("space.yaml", "events.jsonl"):
        (run / name).unlink()
    (run / "loop").symlink_to("loop")


def _torn(run):
    for name in ("space.yaml", "events.jsonl"):
        (run / name).write_bytes((run / name).read_bytes()[:-40])


def _of_bytes(run):
    for name in ("space.yaml", "events.jsonl", "front.json", "plain.json", "audit.json", "retraining.json", "insight.json"):
        (run / name).write_bytes(bytes(range(256)) + b"\n\xff\n")
    (run / "pauses").mkdir()
    (run / "pauses" / "x.json").write_bytes(b"\xff")


def _of_other_kinds(run):
    for name in ("front.json", "audit.json", "retraining.json", "insight.json"):
        (run / name).write_text("[7]")
    (run / "plain.json").write_text('{"points": [{"accuracy": {"mean": "high"}}]}')
    started = json.loads((run / "events.jsonl").read_text().splitlines()[0])
    lines = [
        *({**started, name: "x"} for name in started if name not in ("event", "run", "space", "numerics", "trunk")),
        *({"event": name} for name in ("TrialFinished", "Event", "Nothing", 7)),
        *([], 7, "x", None),
    ]
    (run / "events.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


BESIDE = {"missing": _missing, "torn": _torn, "of bytes": _of_bytes, "of other kinds": _of_other_kinds}


@pytest.mark.parametrize("damage", BESIDE.values(), ids=BESIDE)
def test_what_lies_beside_the_study_stops_no_reader(damage, run, command, ask, tmp_path):
    """The study says what was found; a report and the dashboard's pages leave out what they cannot read."""
    from attn_nas.dashboard.app import dashboard_app
    from attn_nas.dashboard.guard import Rules
    from attn_nas.dashboard.library import Library

    damage(run)
    for arguments in (["report", "run", "--to", "-"], ["runs", "."]):
        code, _, err = command(*arguments)
        assert (code, "Traceback" in err, "attn-nas: " in err) == (0, False, False), err
    pages = dashboard_app(Library(tmp_path), Rules.of("127.0.0.1", None))
    assert [ask(pages, address).status for address in ("/", "/runs/run")] == [200, 200]


def test_a_damaged_run_has_a_page_that_says_so(run, ask, tmp_path):
    """And the list of runs goes on."""
    from attn_nas.dashboard.app import dashboard_app
    from attn_nas.dashboard.guard import Rules
    from attn_nas.dashboard.library import Library

    _manifest(task=None)(run)
    pages = dashboard_app(Library(tmp_path), Rules.of("127.0.0.1", None))
    assert ask(pages, "/").status == 200
    answer = ask(pages, "/runs/run")
    assert answer.status >= 400
    assert "manifest in its study is damaged, task: Field required" in answer.text


def _weights(run):
    return next((run / "weights").glob("*.safetensors"))


WEIGHTS = {
    "missing": (lambda path: path.unlink(), "were not kept"),
    "empty": (lambda path: path.write_bytes(b""), "is damaged"),
    "truncated": (lambda path: path.write_bytes(path.read_bytes()[:1000]), "is damaged"),
    "text": (lambda path: path.write_text("weights"), "is damaged"),
    "a header without an end": (lambda path: path.write_bytes(struct.pack("<Q", 2**60) + b"{}"), "is damaged"),
    "of another network": (lambda path: save_file({"x": torch.zeros(3)}, path, metadata={"seed": "0"}), "weights"),
    "of no known seed": (lambda path: save_file({"x": torch.zeros(3)}, path), "weights"),
}


@pytest.mark.parametrize(("damage", "word"), WEIGHTS.values(), ids=WEIGHTS)
def test_weights_that_are_none_are_refused(damage, word, run, refused):
    """By export and by maps: which file, and how to have it again."""
    path = _weights(run)
    damage(path)
    refused(["export", "run", path.stem, "--to", "out", "--without-data"], 1, path.stem, word)
    refused(["maps", "run", path.stem, "--to", "out"], 1, path.stem, word)


PRETRAINED = {
    "missing": (lambda path: None, "No such file"),
    "empty": (lambda path: path.write_bytes(b""), "cannot be read as safetensors"),
    "text": (lambda path: path.write_text("weights"), "cannot be read as safetensors"),
    "a pickle": (lambda path: torch.save({"fc.weight": torch.zeros(3)}, path), "cannot be read as safetensors"),
    "a folder": (lambda path: path.mkdir(), "cannot be read as safetensors"),
    "of another network": (lambda path: save_file({"x": torch.zeros(3)}, path), "does not have the weights of cifar_resnet"),
}


@pytest.mark.parametrize(("make", "word"), PRETRAINED.values(), ids=PRETRAINED)
def test_pretrained_weights_that_are_none_are_refused(make, word, run, tmp_path, refused):
    """Which file, and what it lacks."""
    make(tmp_path / "given.safetensors")
    refused(["retrain", "run", "--pretrained", "given.safetensors", "--plan"], 2, "given.safetensors", word)


def _parquet(metadata=None, **columns):
    def make(path):
        import pyarrow
        import pyarrow.parquet

        pyarrow.parquet.write_table(pyarrow.table(columns or {"a": [1]}).replace_schema_metadata(metadata), path)

    return make


def _changed_table(**changes):
    """The embedded table with another header."""

    def make(path):
        import pyarrow.parquet

        from attn_nas.benchmark import EMBEDDED

        table = pyarrow.parquet.read_table(EMBEDDED).slice(0, 20)
        ((name, header),) = [(key, json.loads(value)) for key, value in table.schema.metadata.items() if b"attn" in key]
        header = {key: value for key, value in {**header, **changes}.items() if value is not None}
        pyarrow.parquet.write_table(table.replace_schema_metadata({name: json.dumps(header)}), path)

    return make


TABLES = {
    "missing": (lambda path: None, "No such file"),
    "empty": (lambda path: path.write_bytes(b""), "not a table of trainings"),
    "text": (lambda path: path.write_text("a,b"), "not a table of trainings"),
    "a folder": (lambda path: path.mkdir(), "No such file"),
    "another table": (_parquet(), "its metadata have no header"),
    "no space": (_changed_table(space=None), "not a table of trainings"),
    "a space that cannot be": (_changed_table(space={"trunk": 7}), "not a table of trainings"),
    "a cost that cannot be": (_changed_table(bare={"flops": "many"}), "not a table of trainings"),
    "a task that cannot be": (_changed_table(task=[1, 2]), "not a table of trainings"),
    "a header that is a list": (_parquet({b"attn_nas": b"[]"}), "list indices must be integers"),
    "no seed that all have": (_changed_table(), "the table"),
}


@pytest.mark.parametrize(("make", "word"), TABLES.values(), ids=TABLES)
def test_a_table_that_is_none_is_refused(make, word, tmp_path, refused):
    """By `bench`, with the file's name."""
    make(tmp_path / "table.parquet")
    arguments = ["bench", "--table", "table.parquet", "--seeds", 1, "--budget", 2, "--processes", 1]
    refused(arguments, 1, "table" if word == "the table" else "table.parquet", word)


PLUGINS = {
    "no Python": ("def", "SyntaxError"),
    "fails": ("1 / 0", "ZeroDivisionError"),
    "imports what is not there": ("import nowhere", "ModuleNotFoundError"),
    "ends the process": ("raise SystemExit(0)", "SystemExit"),
    "interrupts": ("raise RecursionError", "RecursionError"),
    "no text": (b"\xff\xfe", "cannot be read"),
    "a zero byte": (b"x = 1\0", "fails: "),
    "takes a name": (
        "from attn_nas import Mechanism, register_mechanism\n"
        "register_mechanism(Mechanism('se', 'm:C', 'channel', '', title='', year=2026))",
        "'se' is taken",
    ),
    "registers what is no record": ("from attn_nas import register_mechanism\nregister_mechanism('gate')", "fails: "),
}


@pytest.mark.parametrize(("text", "word"), PLUGINS.values(), ids=PLUGINS)
def test_a_plug_in_that_is_none_is_refused(text, word, tmp_path, refused):
    """NamedStrategy on the command line, in a space, or as a strategy."""
    (tmp_path / "mine.py").write_bytes(text if isinstance(text, bytes) else text.encode())
    (tmp_path / "space.yaml").write_text(GOOD + "plugins: [mine.py]\n")
    refused(["mechanisms", "--plugin", "mine.py"], 2, "mine.py", word)
    refused(["trunks", "--plugin", "mine.py"], 2, "mine.py", word)
    refused(["search", "--space", "space.yaml"], 2, "space.yaml:5:10", "mine.py", word)
    refused(["bench", "--strategy", "mine.py:Mine"], 2, "mine.py", word)


OPTIONS = {
    "search --space good.yaml": {
        "--budget": ["-1", "0", "1.5", "nan", "many", "", str(10**30)],
        "--time-budget": ["0", "-1h", "soon", "nan", "inf", ""],
        "--confirm": ["-1", "x", str(10**12)],
        "--seed": ["-1", "x", str(2**64)],
        "--workers": ["0", "-2", "x", str(10**9)],
        "--threads": ["0", "100000", "x"],
        "--device": ["tpu", "", "cuda:99"],
        "--precision": ["fp8", ""],
        "--max-flops": ["cheap", "-5", "5%", "", "0"],
        "--max-params": ["nan", "+x%"],
        "--warm-start": ["nowhere", "file", ""],
        "--space": ["nowhere", "file", ""],
        "--run": ["file", "file/inside", ""],
    },
    "watch run": {},
    "runs": {},
    "show run": {"--svg": ["file/inside.svg"]},
    "maps run": {"--images": ["0", "-1", "x", str(10**9)], "--best-under": ["cheap", "1", ""], "--to": ["file", ""]},
    "retrain run --plan": {
        "--epochs": ["0", "-1", "x", str(10**30)],
        "--seeds": ["0", "-1", "x", str(10**30)],
        "--lr": ["0", "-1", "nan", "inf", "x"],
        "--workers": ["0", "x"],
        "--threads": ["0", "100000"],
        "--best-under": ["cheap", "1"],
    },
    "plain run --plan": {
        "--width": ["0", "-1", "x", str(10**9)],
        "--depth": ["0", "9", "-1", str(10**12)],
        "--seeds": ["0", "x", str(10**30)],
        "--workers": ["0"],
    },
    "audit run --plan": {
        "--candidates": ["0", "3", "x"],
        "--seeds": ["0", "-1", str(10**30)],
        "--epochs": ["0", "1", "-1"],
        "--threads": ["0"],
    },
    "bench": {
        "--strategy": ["", "nowhere", "file:X", "nowhere.py:X", "os:nothing", "os:path", ":"],
        "--seeds": ["0", "-1", "x"],
        "--budget": ["0", "-1", "x"],
        "--workers": ["0", "-1"],
        "--landscape": ["nowhere", ""],
        "--over": ["days", ""],
        "--processes": ["0", "-1"],
        "--table": ["", "."],
    },
    "export run": {
        "--trial": ["nothing", "", "x" * 5000],
        "--format": ["onx", "", ",", "source,,onx"],
        "--best-under": ["cheap", "0", "1"],
        "--to": ["file", "file/inside"],
    },
    "dashboard run": {
        "--port": ["-1", "65536", "x", str(10**30)],
        "--host": ["not a host", ""],
        "--token": ["short", ""],
    },
    "report run": {"--format": ["pdf", ""], "--to": ["file/inside.html", ""]},
    "spaces": {"": ["nowhere", "", "x" * 5000]},
    "mechanisms": {
        "": ["see", ""],
        "--channels": ["0", "-1", "x", str(10**12)],
        "--size": ["0", "-1", "x", str(10**12)],
        "--plugin": ["nowhere.py", "."],
    },
    "trunks": {"--plugin": ["nowhere.py", ""]},
}
SENSELESS = [
    pytest.param([*command.split(), *([option] if option else []), value], id=f"{command} {option} {value[:20]}")
    for command, options in OPTIONS.items()
    for option, values in options.items()
    for value in values
]
PAIRS = [
    "search --resume --run run --space cued_digits",
    "search --resume --run run --seed 7",
    "search --resume --run run --max-flops +5%",
    "search --resume --run run --warm-start run",
    "search --run run",
    "search --workers 100000 --threads 2",
    "show run --svg drawn.svg",
    "show run nothing",
    "show run e --svg",
    "compare run",
    "compare run nothing",
    "compare run a b c d e",
    "retrain run nothing --plan",
    "export run --retrained",
    "report run --format tensorboard --to -",
    "front",
    "front run run",
    "front --nothing",
    "watch",
    "watch http://",
    "watch http://[::1/runs/x",
    "watch file",
    "runs file",
    "dashboard file",
    "spaces cued_digits cued_digits",
    "nothing",
    "--nothing",
    "front run --json=yes",
]


@pytest.mark.parametrize("arguments", [*SENSELESS, *(pytest.param(pair.split(), id=pair) for pair in PAIRS)])
def test_senseless_options_are_refused(arguments, finished, tmp_path, refused, monkeypatch):
    """Every option of every command; the message names the value, or what it stands at."""
    monkeypatch.setattr("attn_nas.dashboard.serve.uvicorn.Server.run", lambda *_, **__: pytest.fail("it serves"))
    (tmp_path / "file").write_text("")
    (tmp_path / "good.yaml").write_text(GOOD)
    (tmp_path / "run").symlink_to(finished)
    refused(arguments, None)


def _raising(error):
    def fails():
        raise error

    return fails


def test_an_unexpected_error_is_reported_in_two_lines(command, monkeypatch):
    """Its name and first line, how to see more; exit code 1, and no traceback."""
    monkeypatch.setattr("attn_nas.space.loading.builtin_spaces", _raising(ZeroDivisionError("by zero\nmore")))
    code, out, err = command("spaces")
    assert (code, out) == (1, "")
    assert err == (
        "attn-nas: ZeroDivisionError: by zero\nUnexpected error; rerun with attn-nas --debug COMMAND and report it.\n"
    )


def test_debug_shows_the_traceback_of_any_error(command, monkeypatch):
    """An unexpected error, and one raised on purpose with the error it replaced; codes and messages stay."""
    code, out, err = command("--debug", "search", "--space", "nowhere.yaml")
    assert (code, out) == (2, "")
    assert err.startswith("Traceback (most recent call last):")
    assert err.splitlines()[-1].startswith("attn-nas: no search space 'nowhere.yaml'")
    Path("space.yaml").write_bytes(b"\xff")
    assert "UnicodeDecodeError" in command("--debug", "search", "--space", "space.yaml")[2]
    monkeypatch.setattr("attn_nas.space.loading.builtin_spaces", _raising(ZeroDivisionError("by zero")))
    code, _, err = command("--debug", "spaces")
    assert (code, "in fails" in err, "Unexpected error; report it" in err) == (1, True, True)


def test_debug_may_be_asked_for_by_the_environment(tmp_path):
    """Of the installed command, too."""
    done = subprocess.run(
        [sys.executable, "-m", "attn_nas", "spaces", "nowhere"],
        cwd=tmp_path,
        env={**os.environ, "ATTN_NAS_DEBUG": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("Traceback")


def test_an_interrupt_is_no_error(command, monkeypatch):
    """Nothing is said, with --debug neither."""
    monkeypatch.setattr("attn_nas.space.loading.builtin_spaces", _raising(KeyboardInterrupt()))
    assert command("spaces") == (130, "", "")
    assert command("--debug", "spaces") == (130, "", "")
