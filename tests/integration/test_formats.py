"""Tests of runs that another version has made: older ones open, newer ones are refused."""

import gzip
import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from attn_nas.engine.search import search
from attn_nas.errors import RunError
from attn_nas.runs.run import Run
from attn_nas.storage.formats import FORMAT
from attn_nas.testing import TableTrainer

DUMP = Path(__file__).parents[1] / "data" / "format2.sql.gz"
"""The study of a finished run of six candidates, as the version that wrote format 2 has left it."""


@pytest.fixture(params=[1, 2])
def old(request, tmp_path):
    """A run of an older format; format 1 is 2 without the number."""
    folder = tmp_path / "old"
    folder.mkdir()
    with closing(sqlite3.connect(folder / "study.db")) as connection, connection:
        connection.executescript(gzip.decompress(DUMP.read_bytes()).decode())
        if request.param == 1:
            _change_facts(connection, lambda facts: facts.pop("format"))
    return folder


def _change_facts(connection, change):
    (stored,) = connection.execute("SELECT value_json FROM study_user_attributes WHERE key = 'run'").fetchone()
    facts = json.loads(stored)
    change(facts)
    connection.execute("UPDATE study_user_attributes SET value_json = ? WHERE key = 'run'", (json.dumps(facts),))


def test_an_older_run_is_read_and_left_as_it_is(old):
    """From a copy: candidates, front, references, what is believed; the file has the same bytes after."""
    before = (old / "study.db").read_bytes()
    run = Run(old)
    assert len(run.candidates) == 6
    assert run.meta["format"] == FORMAT
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
    run = search(run=old, resume=True, budget=8, workers=1, trainer=TableTrainer(tiny_task))
    assert len(run.candidates) == 8
    assert run.meta["budget"] == 8
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
    assert len(search(run=old, resume=True, budget=8, workers=1, trainer=TableTrainer(tiny_task)).candidates) == 8
    (kept,) = old.glob("study-format-*.db")
    with closing(sqlite3.connect(kept)) as connection:
        assert connection.execute("SELECT count(*) FROM trials").fetchone() == (6,)


def test_limits_over_the_bare_trunk_are_kept(old):
    """They were a field of their own."""
    with closing(sqlite3.connect(old / "study.db")) as connection, connection:
        _change_facts(connection, lambda facts: facts["space"]["limits"].update(max_added_flops=9000))
    assert Run(old).space.limits.max_flops == "+9000"


def test_a_newer_run_is_refused_politely(old, tiny_task):
    """With both formats, its version, and what to do; nothing is changed."""
    with closing(sqlite3.connect(old / "study.db")) as connection, connection:
        _change_facts(connection, lambda facts: facts.update(format=FORMAT + 1, versions={"attn_nas": "9.1"}))
    for attempt in (
        lambda: Run(old),
        lambda: search(run=old, resume=True, budget=8, workers=1, trainer=TableTrainer(tiny_task)),
    ):
        with pytest.raises(RunError, match=rf"run of format 4, made by attn-nas 9.1; .* up to {FORMAT}: update attn-nas"):
            attempt()


def test_a_run_of_an_older_format_that_is_damaged_says_so(old):
    """What is missing in it, and that it could not be brought to the present one."""
    with closing(sqlite3.connect(old / "study.db")) as connection, connection:
        _change_facts(connection, lambda facts: facts["space"].pop("objectives"))
    with pytest.raises(RunError, match=f"cannot be brought to format {FORMAT}: 'objectives'"):
        Run(old)
