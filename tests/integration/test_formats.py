"""Tests of runs that another version has made: older ones open, newer ones are refused."""

import gzip
import json
import os
import sqlite3
import subprocess
import sys
import tarfile
from contextlib import closing
from pathlib import Path

import pytest
from pydantic import ValidationError

from attn_nas.data.rules import DataRules
from attn_nas.engine.search import Search
from attn_nas.errors import RunError
from attn_nas.execution.settings import Local
from attn_nas.export import export_candidates
from attn_nas.runs.manifest import RunManifest
from attn_nas.runs.run import Run
from attn_nas.storage.formats import FORMAT
from attn_nas.testing import TableTrainer

DUMP = Path(__file__).parents[1] / "data" / "format2.sql.gz"
"""The study of a finished run of six candidates, as the version that wrote format 2 has left it."""

FIRST_RULES = {"decoding": 1, "split": 1, "digest": 0, "augmentation": 1}
"""The rules of runs that store none."""


@pytest.fixture(params=[1, 2])
def old(request, tmp_path):
    """A run of an older format; format 1 is 2 without the number."""
    folder = tmp_path / "old"
    folder.mkdir()
    with closing(sqlite3.connect(folder / "study.db")) as connection, connection:
        connection.executescript(gzip.decompress(DUMP.read_bytes()).decode())
        if request.param == 1:
            _change_manifest(connection, lambda stored: stored.pop("format"))
    return folder


def _change_manifest(connection, change):
    (stored,) = connection.execute("SELECT value_json FROM study_user_attributes WHERE key = 'run'").fetchone()
    stored = json.loads(stored)
    change(stored)
    connection.execute("UPDATE study_user_attributes SET value_json = ? WHERE key = 'run'", (json.dumps(stored),))


def test_an_older_run_is_read_and_left_as_it_is(old):
    """From a copy: candidates, front, references, what is believed; the file has the same bytes after."""
    before = (old / "study.db").read_bytes()
    run = Run(old)
    assert len(run.candidates) == 6
    assert run.manifest.format == FORMAT
    assert run.axes == ["flops"]
    assert run.candidates[1].record.reference == "se everywhere"
    assert run.candidates[1].record.seed == 0
    assert run.candidates[1].accuracy == pytest.approx(0.717, abs=0.1)
    assert run.front
    assert run.beliefs
    assert (old / "study.db").read_bytes() == before
    assert [path.name for path in old.iterdir()] == ["study.db"]


def test_an_older_run_is_read_where_nothing_can_be_written(old, monkeypatch):
    """The copy is not made beside it."""
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: not (path == old and mode == os.W_OK) and access(path, mode))
    assert len(Run(old).candidates) == 6


def test_an_older_run_goes_on_and_is_kept_as_it_was(old, tiny_task):
    """It is brought to the present format; the study as it was is beside it."""
    before = (old / "study.db").read_bytes()
    assert Run(old).study.metric_names is None
    run = Search.load(old, training=TableTrainer(tiny_task)).optimize(n_trials=8, execution=Local(workers=1))
    assert len(run.candidates) == 8
    assert Run(old).study.metric_names == ["accuracy", "flops"]
    assert run.manifest.budget == 8
    (kept,) = old.glob("study-format-*.db")
    assert kept.read_bytes() == before
    assert len(Run(old).candidates) == 8


def test_an_older_run_that_was_killed_keeps_what_is_in_its_log(old, tiny_task):
    """Its write-ahead log holds all that it has, as after kill -9."""
    with sqlite3.connect(old / "study.db") as connection:
        statements = [*connection.iterdump()]
    connection.close()
    (old / "study.db").unlink()
    code = """
import os, signal, sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
connection.execute("PRAGMA journal_mode=WAL")
connection.execute("PRAGMA wal_autocheckpoint=0")
connection.executescript(sys.stdin.read())
os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", code, old / "study.db"], input="\n".join(statements), text=True, check=False)
    assert (old / "study.db-wal").stat().st_size > (old / "study.db").stat().st_size
    assert len(Run(old).candidates) == 6
    assert (
        len(Search.load(old, training=TableTrainer(tiny_task)).optimize(n_trials=8, execution=Local(workers=1)).candidates) == 8
    )
    (kept,) = old.glob("study-format-*.db")
    with closing(sqlite3.connect(kept)) as connection:
        assert connection.execute("SELECT count(*) FROM trials").fetchone() == (6,)


def test_limits_over_the_bare_trunk_are_kept(old):
    """They were a field of their own."""
    with closing(sqlite3.connect(old / "study.db")) as connection, connection:
        _change_manifest(connection, lambda stored: stored["space"]["limits"].update(max_added_flops=9000))
    assert Run(old).space.limits.max_flops == "+9000"


def test_a_newer_run_is_refused_politely(old, tiny_task):
    """With both formats, its version, and what to do; nothing is changed."""
    with closing(sqlite3.connect(old / "study.db")) as connection, connection:
        _change_manifest(connection, lambda stored: stored.update(format=FORMAT + 1, versions={"attn_nas": "9.1"}))
    for attempt in (
        lambda: Run(old),
        lambda: Search.load(old, training=TableTrainer(tiny_task)).optimize(n_trials=8, execution=Local(workers=1)),
    ):
        with pytest.raises(
            RunError, match=rf"of format {FORMAT + 1}, made by attn-nas 9.1; .* up to {FORMAT}: update attn-nas"
        ):
            attempt()


def test_a_run_of_an_older_format_that_is_damaged_says_so(old):
    """What is missing in it, and that it could not be brought to the present one."""
    with closing(sqlite3.connect(old / "study.db")) as connection, connection:
        _change_manifest(connection, lambda stored: stored["space"].pop("objectives"))
    with pytest.raises(RunError, match=f"cannot be brought to format {FORMAT}: 'objectives'"):
        Run(old)


@pytest.fixture
def format_3(tmp_path):
    """The folder of a run that the last version of format 3 has made: five candidates, and one round of confirmation."""
    with tarfile.open(DUMP.with_name("run-format3.tar.xz")) as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path / "run-format3"


def _stored_manifest(folder, file="study.db"):
    with closing(sqlite3.connect(folder / file)) as connection:
        return json.loads(connection.execute("SELECT value_json FROM study_user_attributes WHERE key = 'run'").fetchone()[0])


def test_a_run_of_format_3_is_read_where_it_is(format_3):
    """Its trials are as today's, so that no copy is made; its manifest says the rules of its time, in memory alone."""
    before = (format_3 / "study.db").read_bytes()
    run = Run(format_3)
    assert len(run.candidates) == 5
    assert {len(candidate.results) for candidate in run.front} == {2}
    assert run.manifest.rules == DataRules(decoding=1, split=1, digest=0, augmentation=1)
    assert run.manifest.format == FORMAT
    assert run.manifest.confirm == 1
    assert (format_3 / "study.db").read_bytes() == before
    assert _stored_manifest(format_3)["format"] == 3


@pytest.mark.usefixtures("verified_here")
def test_a_run_of_format_3_goes_on_and_is_exported(format_3, tmp_path):
    """With one candidate more; the study as it was is beside it, and the new one has the rules of its time."""
    before = _stored_manifest(format_3)
    run = Search.load(format_3).optimize(n_trials=6, execution=Local(workers=1))
    assert len(run.candidates) == 6
    assert _stored_manifest(format_3, "study-format-3.db") == before
    stored = _stored_manifest(format_3)
    assert (stored["format"], stored["budget"]) == (FORMAT, 6)
    assert stored["rules"] == FIRST_RULES
    export_candidates(run, [run.pick], tmp_path / "models", formats=["safetensors", "source"])
    assert [path.name for path in tmp_path.glob("models/**/model.safetensors")] == ["model.safetensors"]


@pytest.mark.parametrize("rule", ["decoding", "split", "digest", "augmentation"])
def test_a_rule_of_a_later_version_is_refused_politely(format_3, rule):
    """The images would be others: neither opened nor resumed, nothing changed."""
    Search.load(format_3).optimize(n_trials=5, execution=Local(workers=1))
    with closing(sqlite3.connect(format_3 / "study.db")) as connection, connection:
        _change_manifest(connection, lambda stored: stored["rules"].update({rule: 9}))
    before = (format_3 / "study.db").read_bytes()
    for attempt in (lambda: Run(format_3), lambda: Search.load(format_3).optimize(n_trials=8, execution=Local(workers=1))):
        with pytest.raises(RunError, match=rf"with {rule} rule 9, which this version does not know: update attn-nas"):
            attempt()
    assert (format_3 / "study.db").read_bytes() == before


def test_a_manifest_comes_back_from_its_stored_form(format_3):
    """Entry by entry as it was stored, but for what the newer format has."""
    stored = _stored_manifest(format_3)
    manifest = Run(format_3).manifest
    newer = {"format": FORMAT, "rules": FIRST_RULES, "classes": None, "digest": None}
    assert manifest.to_stored() == {**stored, **newer}
    assert RunManifest.from_stored(manifest.to_stored(), "run") == manifest


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda stored: stored.update(surprise=1), "surprise = 1: Extra inputs are not permitted"),
        (lambda stored: stored["rules"].pop("split"), r"rules = .*split is missing"),
        (lambda stored: stored["numerics"].pop("precision"), r"numerics = .*precision is missing"),
        (lambda stored: stored["bare_cost"].update(flops=-1), r"bare_cost = .*negative"),
        (lambda stored: stored["reference_point"].append("x"), r"reference_point.2 = 'x': Input should be a valid number"),
        (lambda stored: stored.update(seed=True), r"seed = True: Input should be a valid integer"),
    ],
)
def test_a_damaged_manifest_is_refused(format_3, change, message):
    """With the entry, what it is, and what it should be."""
    stored = Run(format_3).manifest.to_stored()
    change(stored)
    with pytest.raises(RunError, match=f"run: .* damaged, {message}"):
        RunManifest.from_stored(stored, "run")


def test_a_manifest_does_not_change(format_3):
    """Neither by assignment nor by what is made of it."""
    manifest = Run(format_3).manifest
    with pytest.raises(ValidationError, match="frozen"):
        manifest.budget = 3
    before = manifest.to_stored()
    assert manifest.resumed(budget=9).budget == 9
    assert manifest.to_stored() == before
