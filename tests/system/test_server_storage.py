"""Tests of studies on a database server: a real PostgreSQL on loopback."""

import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import optuna
import psycopg
import pytest
import warm
from optuna.trial import TrialState
from sqlalchemy import event
from typer.testing import CliRunner

from attn_nas.cli import app as commands
from attn_nas.dashboard.app import dashboard_app
from attn_nas.dashboard.guard import Rules
from attn_nas.dashboard.library import Library
from attn_nas.engine import session
from attn_nas.engine.journal import Journal
from attn_nas.engine.search import Search
from attn_nas.errors import RunError, SpaceError, UsageError
from attn_nas.events.types import StorageAwaited, TrialFinished
from attn_nas.execution.settings import Local
from attn_nas.runs.attach import attach
from attn_nas.runs.run import Run
from attn_nas.space.schema import SearchSpace
from attn_nas.space.trunks import Trunk
from attn_nas.storage import address
from attn_nas.storage import postgres as storing
from attn_nas.storage.address import ServerAddress
from attn_nas.storage.formats import FORMAT
from attn_nas.storage.optuna_db import MANIFEST
from attn_nas.storage.retry import NO_RETRY
from attn_nas.testing import TableTrainer

PASSWORD = "very-secret-7"


def _programs() -> Path:
    """Where the server's programs are: on the path, or where Debian has them."""
    found = shutil.which("initdb")
    programs = Path(found).parent if found else max(Path("/usr/lib/postgresql").glob("*/bin"), default=None)
    if programs is None:
        assert not os.environ.get("ATTN_NAS_REQUIRE_POSTGRESQL"), "PostgreSQL is demanded, and not installed"
        pytest.skip("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    return programs


@dataclass
class Postgres:
    """A server in ``folder``, whose user is ``nas``; it runs as an unprivileged user, as it demands."""

    programs: Path
    folder: Path
    port: int

    def call(self, program, *arguments):
        """Run one of its programs."""
        user = None
        if not os.getuid():
            user = next(name for name in ("postgres", "nobody") if name in {each.pw_name for each in pwd.getpwall()})
            shutil.chown(self.folder, user)
        command = [str(self.programs / program), *map(str, arguments)]
        subprocess.run(command, check=True, user=user, cwd="/", stdout=subprocess.DEVNULL, timeout=60)

    def make(self):
        """Make its files."""
        (self.folder / "password").write_text(PASSWORD)
        (self.folder / "password").chmod(0o644)
        secret = ("-A", "scram-sha-256", "--pwfile", self.folder / "password")
        self.call("initdb", "-D", self.folder / "data", "-U", "nas", *secret, "-N")

    def start(self):
        """Start it, and wait until it answers."""
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off"
        self.call("pg_ctl", "-D", self.folder / "data", "-l", self.folder / "log", "-o", options, "-w", "start")

    def stop(self):
        """Let it go down at once, as in a crash."""
        self.call("pg_ctl", "-D", self.folder / "data", "-m", "immediate", "stop")

    def url(self, password=PASSWORD, database="postgres") -> str:
        """An address."""
        return f"postgresql://nas{f':{password}' if password else ''}@127.0.0.1:{self.port}/{database}"

    def say(self, statement, *values):
        """Have it do something; returns the rows."""
        with psycopg.connect(self.url(), autocommit=True) as connection:
            found = connection.execute(statement, values)
            return found.fetchall() if found.description else []


@pytest.fixture(scope="module")
def server():
    """A server that runs."""
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    folder = Path(f"/tmp/attn-nas-postgresql-{port}")  # where any user may enter
    folder.mkdir(mode=0o755)
    server = Postgres(_programs(), folder, port)
    server.make()
    server.start()
    yield server
    server.stop()
    shutil.rmtree(folder)


@pytest.fixture(autouse=True)
def _password(server, monkeypatch):
    """The password is in the environment, as for whoever looks at a run, and nowhere else."""
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    monkeypatch.setattr(address, "_given", {})


def _check(run, number):
    """So many candidates, each once, and nothing that runs."""
    assert len(run.candidates) == number
    assert len({record.key for record in run.records if record.state == "finished"}) == number
    assert sum(record.state == "finished" for record in run.records) == number
    assert not any(trial.state == TrialState.RUNNING for trial in run.study.get_trials())


def test_a_study_on_a_server_is_as_good_as_one_in_a_file(server, table_search, tmp_path):
    """The same search, the same front, and again when resumed; the study is Optuna's, under the run's name."""
    there = table_search(n_trials=8, storage=server.url())
    here = table_search(folder=tmp_path / "here", n_trials=8)
    assert [candidate.record.key for candidate in there.candidates] == [each.record.key for each in here.candidates]
    assert not (tmp_path / "run" / "study.db").exists()
    _check(table_search(n_trials=10, resume=True), 10)
    name = there.study.study_name
    assert name.startswith("run-")
    assert there.study.metric_names == here.study.metric_names == ["accuracy", "flops"]
    storage = optuna.storages.RDBStorage(server.url().replace("://", "+psycopg://"))
    assert len(optuna.load_study(study_name=name, storage=storage).get_trials(states=[TrialState.COMPLETE])) == 10
    storage.engine.dispose()


def test_several_runs_share_a_server(server, table_search, tmp_path):
    """Folders of the same name are runs of their own."""
    for name, budget in (("a", 2), ("b", 3)):
        table_search(folder=tmp_path / name, n_trials=budget, storage=server.url())
    assert [len(Run(tmp_path / name / "run").candidates) for name in "ab"] == [2, 3]


def test_the_password_is_nowhere(server, table_search, tmp_path, ask, capfd, monkeypatch):
    """Not in the run folder, a page, an error, what a command prints, or the study's own words."""
    run = table_search(n_trials=2, storage=server.url())
    assert PASSWORD not in "".join(path.read_text(errors="replace") for path in run.folder.path.rglob("*") if path.is_file())
    assert json.loads((run.folder.path / "storage.json").read_text())["url"] == server.url(password=None)
    app = dashboard_app(Library(tmp_path), Rules.of("127.0.0.1", None))
    pages = [ask(app, path) for path in ("/", "/runs/run", f"/runs/run/candidates/{run.candidates[0].record.key}")]
    assert [page.status for page in pages] == [200, 200, 200]
    assert PASSWORD not in "".join(page.text for page in pages)
    runner = CliRunner()
    for command in (["front"], ["runs"], ["report", "--format", "md", "--to", "-"]):
        place = tmp_path if command == ["runs"] else run.folder.path
        done = runner.invoke(commands, [command[0], str(place), *command[1:]])
        assert done.exit_code == 0, done.output
        assert PASSWORD not in done.output
    assert PASSWORD not in f"{run.study._storage._backend.url} {run.folder.study}"
    monkeypatch.setattr(address, "_given", {})
    monkeypatch.setenv("PGPASSWORD", "wrong-pass-5")
    with pytest.raises(RunError, match="password authentication failed") as failed:
        Run(run.folder.path)
    assert "wrong-pass-5" not in str(failed.value)
    assert PASSWORD not in "".join(capfd.readouterr())


def test_the_password_may_come_with_the_address(server, table_search, tmp_path, monkeypatch):
    """For a whole search, and again when it is resumed; a process that was not given it cannot look at the run."""
    monkeypatch.delenv("PGPASSWORD")
    assert len(table_search(n_trials=2, storage=server.url()).candidates) == 2
    monkeypatch.setattr(address, "_given", {})
    with pytest.raises(RunError, match="A password is taken from the address"):
        Run(tmp_path / "run")
    _check(table_search(n_trials=3, resume=True, storage=server.url()), 3)
    assert PASSWORD not in (tmp_path / "run" / "storage.json").read_text()


def test_the_password_may_come_with_the_variable(server, table_search, monkeypatch):
    """That of the same database; another one's is left alone."""
    run = table_search(n_trials=2, storage=server.url())
    monkeypatch.delenv("PGPASSWORD")
    monkeypatch.setattr(address, "_given", {})
    with pytest.raises(RunError, match="ATTN_NAS_STORAGE"):
        Run(run.folder.path)
    monkeypatch.setenv("ATTN_NAS_STORAGE", server.url())
    assert len(Run(run.folder.path).candidates) == 2
    assert PASSWORD not in repr(ServerAddress.parse(server.url()))
    monkeypatch.setattr(address, "_given", {})
    monkeypatch.setenv("ATTN_NAS_STORAGE", server.url(database="other"))
    with pytest.raises(RunError, match="cannot be used"):
        Run(run.folder.path)


@pytest.mark.parametrize("down", [0.0, 2.0], ids=["at once", "after a while"])
def test_a_server_that_restarts_in_the_middle_costs_nothing(server, table_search, down):
    """The search waits, says so if it has to, and goes on: no trial is lost or trained twice."""
    events = []

    def listen(what):
        events.append(what)
        if isinstance(what, TrialFinished) and what.finished == 3:
            server.stop()
            if down:
                threading.Timer(down, server.start).start()
            else:
                server.start()

    run = table_search(n_trials=7, storage=server.url(), callbacks=[listen], workers=2)
    _check(run, 7)
    assert any(isinstance(each, StorageAwaited) for each in events) == bool(down)
    assert not any(record.state == "lost" for record in run.records)


@pytest.mark.parametrize("when", range(1, 60, 7))
def test_a_connection_lost_at_any_statement_costs_nothing(server, table_search, monkeypatch, when):
    """The server ends the connection before a statement, and what was to be done is done again."""
    table_search(n_trials=1, storage=server.url())
    statements = []

    def cut(*_):
        statements.append(None)
        if len(statements) == when:
            server.say("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")

    class Cut(Journal):
        def __init__(self, live, *arguments):
            event.listen(live._storage.engine, "before_cursor_execute", cut)
            super().__init__(live, *arguments)

    monkeypatch.setattr(session, "Journal", Cut)
    _check(table_search(n_trials=3, resume=True), 3)
    assert len(statements) > when


def test_a_server_that_stays_away_ends_the_search_and_loses_nothing(server, table_search, tmp_path, monkeypatch):
    """When the patience is at its end; what was finished is there when it is back."""
    monkeypatch.setattr(session, "_RETRY_SECONDS", 1.0)

    def listen(what):
        if isinstance(what, TrialFinished) and what.finished == 3:
            server.stop()

    with pytest.raises(RunError, match=r"does not answer any more: .* resume the run when it is back"):
        table_search(n_trials=7, storage=server.url(), callbacks=[listen])
    with pytest.raises(RunError, match="cannot be used"):
        Run(tmp_path / "run")
    server.start()
    assert len(Run(tmp_path / "run").candidates) == 3
    _check(table_search(n_trials=7, resume=True), 7)


def test_two_machines_cannot_share_a_study(server, table_search, tmp_path):
    """They have run folders of their own, and no lock in common but the server's."""
    run = table_search(n_trials=2, storage=server.url())
    shutil.copytree(run.folder.path, tmp_path / "elsewhere" / "run")
    with (
        run.folder.study.held(NO_RETRY),
        pytest.raises(RunError, match=r"another process works on run-.* on postgresql://nas@"),
    ):
        table_search(folder=tmp_path / "elsewhere", n_trials=3, resume=True)
    _check(table_search(folder=tmp_path / "elsewhere", n_trials=3, resume=True), 3)


def test_whoever_took_the_study_while_the_connection_was_lost_keeps_it(server, table_search, tmp_path, monkeypatch):
    """The other search ends with a message, and writes nothing more."""
    monkeypatch.setattr(storing, "_STALE", 1.0)
    holder = table_search(n_trials=2, storage=server.url()).folder.study
    others = []

    def listen(what):
        if isinstance(what, TrialFinished) and what.finished == 4:
            server.say("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
            others.append(holder.held(NO_RETRY))
            others[0].__enter__()

    with pytest.raises(RunError, match="another process works on"):
        table_search(n_trials=7, resume=True, callbacks=[listen])
    assert len(Run(tmp_path / "run").candidates) == 4
    others[0].__exit__(None, None, None)


def test_a_lost_lock_is_taken_again_and_nobody_comes_between(server, table_search, tmp_path):
    """Its connection alone is ended: the search goes on; once another has worked on the study it ends, and writes nothing."""
    table_search(n_trials=3, storage=server.url())
    shutil.copytree(tmp_path / "run", tmp_path / "elsewhere" / "run")
    other = []

    def lose():
        server.say("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND pid <> pg_backend_pid()")

    def listen(what):
        if isinstance(what, TrialFinished) and what.finished == 4:
            lose()
        if isinstance(what, TrialFinished) and what.finished == 6 and not other:
            lose()
            other.append(table_search(folder=tmp_path / "elsewhere", n_trials=8, resume=True))

    with pytest.raises(RunError, match="another process works on"):
        table_search(n_trials=10, resume=True, callbacks=[listen])
    _check(other[0], 8)
    _check(Run(tmp_path / "run"), 8)


SCRIPT = """
import sys, time
from attn_nas.space.task import Task
from attn_nas.engine.journal import Journal
from attn_nas.engine.search import Search
from attn_nas.execution.settings import Local
from attn_nas.testing import TableTrainer

if __name__ == "__main__":
    trainer = TableTrainer(Task(3, 16, 16, 10), seconds=0.1)
    search = Search(sys.argv[1], run="run", storage=sys.argv[2], training=trainer)
    search.optimize(n_trials=30, confirm=0, execution=Local(workers=1))
"""


def test_a_killed_search_leaves_no_lock_on_the_server(server, tmp_path, table_search, tiny_file):
    """After kill -9 it goes on at once, to the exact budget."""
    (tmp_path / "script.py").write_text(SCRIPT)
    process = warm.Popen([sys.executable, "script.py", str(tiny_file), server.url()], cwd=tmp_path)
    log, deadline = tmp_path / "run" / "events.jsonl", time.monotonic() + 60
    while not log.exists() or log.read_text().count("TrialFinished") < 3:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    told = len(Run(tmp_path / "run").candidates)
    assert told >= 3
    run = table_search(n_trials=told + 3, resume=True)
    _check(run, told + 3)


def test_a_study_may_move_to_another_server(server, table_search, tmp_path):
    """Where it is now is said when it is resumed; a server without it, and a run without a server, are refused."""
    run = table_search(n_trials=2, storage=server.url())
    file = run.folder.path / "storage.json"
    file.write_text(file.read_text().replace(f":{server.port}", ":1"))
    with pytest.raises(RunError, match="cannot be used"):
        table_search(n_trials=3, resume=True)
    _check(table_search(n_trials=3, resume=True, storage=server.url()), 3)
    assert str(server.port) in file.read_text()
    server.say("CREATE DATABASE empty")
    with pytest.raises(RunError, match=r"has no study run-|no such table|does not exist"):
        table_search(n_trials=3, resume=True, storage=server.url(database="empty"))
    assert str(server.port) in file.read_text()
    table_search(folder=tmp_path / "here", n_trials=1)
    with pytest.raises(UsageError, match="keeps its study in a file of its own: leave the storage out"):
        table_search(folder=tmp_path / "here", n_trials=2, resume=True, storage=server.url())


PLUGIN = """
from attn_nas import Mechanism, register_mechanism
from torch import nn

class Scaled(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.scale = nn.Conv2d(channels, channels, 1, groups=channels)

    def forward(self, x):
        return self.scale(x)

register_mechanism(Mechanism("scaled", f"{__name__}:Scaled", "channel", "a x + b", title="A scale", year=2026))
"""


def test_a_run_begun_elsewhere_is_attached(server, table_search, tmp_path, monkeypatch, tiny_task, tiny_file):
    """It is found on the server, looked at from a new folder, gone on with there, and its plug-ins come along."""
    plugin = tmp_path / "shared_gate.py"
    plugin.write_text(PLUGIN)
    (tmp_path / "space.yaml").write_text(f"plugins: [{plugin.name}]\n{tiny_file.read_text()}")
    elsewhere = table_search(tmp_path / "space.yaml", folder=tmp_path / "elsewhere", n_trials=4, storage=server.url())
    name = elsewhere.study.study_name
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ATTN_NAS_STORAGE", server.url())
    runner = CliRunner()
    listed = json.loads(runner.invoke(commands, ["attach", "--json"]).output)
    assert {"study": name, "space": "space", "trainings": 4, "budget": 4} in listed
    assert name in runner.invoke(commands, ["attach"]).output
    done = runner.invoke(commands, ["attach", name])
    assert done.output.strip() == f"Look at it: attn-nas show runs/{name}"
    here = tmp_path / "runs" / name
    assert (here / "plugins" / plugin.name).read_text() == plugin.read_text()
    assert [each.record.key for each in Run(here).candidates] == [each.record.key for each in elsewhere.candidates]
    _check(Search.load(here, training=TableTrainer(tiny_task)).optimize(n_trials=6, execution=Local(workers=1)), 6)
    assert len(Run(elsewhere.folder.path).candidates) == 6


def test_a_run_of_an_objective_is_attached_with_its_file(server, tmp_path, monkeypatch):
    """The source comes along and is not run before this user trusts it."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    file = Path(__file__).parents[1] / "data" / "objectives.py"
    space = SearchSpace(trunk=Trunk("cifar_resnet", 8, 8), mechanisms=["se", "eca"], example=(3, 16, 16), classes=2)
    search = Search(space, objective=f"{file}:count", run=tmp_path / "elsewhere", storage=server.url())
    begun = search.optimize(3, confirm=0, execution=Local(workers=1))
    here = attach(server.url(), begun.study.study_name, tmp_path / "here")
    assert (here.plugins / file.name).read_text() == file.read_text()
    assert [each.record.key for each in Run(here.path).candidates] == [each.record.key for each in begun.candidates]
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "other"))
    with pytest.raises(SpaceError, match="was not run: it belongs to the folder that you open"):
        Search.load(here.path)
    monkeypatch.setenv("ATTN_NAS_TRUST_PLUGINS", "1")
    assert len(Search.load(here.path).optimize(4, confirm=0, execution=Local(workers=1)).candidates) == 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["attach"], "no server is named"),
        (["attach", "--storage", "nonsense"], "no address of a database"),
        (["attach", "nowhere", "--storage", "URL"], "unknown study on postgresql://nas@"),
        (["attach", "--run", "x", "NAME", "--storage", "URL"], "x holds a run already"),
    ],
)
def test_what_cannot_be_attached_says_why(server, table_search, tmp_path, monkeypatch, arguments, message):
    """And leaves nothing behind."""
    monkeypatch.chdir(tmp_path)
    name = table_search(run="x", n_trials=1, storage=server.url()).study.study_name
    words = {"URL": server.url(), "NAME": name}
    done = CliRunner().invoke(commands, [words.get(word, word) for word in arguments])
    assert done.exit_code == 2
    assert message in done.output
    assert PASSWORD not in done.output
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_a_run_of_format_3_on_a_server_is_read_and_goes_on(server, table_search, tmp_path):
    """Its manifest alone differs; it is stored in the present format when the search goes on."""
    run = table_search(n_trials=2, storage=server.url())
    stored = {**run.manifest.to_stored(), "format": 3}
    for name in ("rules", "classes", "digest"):
        del stored[name]
    run.study.set_user_attr(MANIFEST, stored)
    first = {"format": FORMAT, "rules": {"decoding": 1, "split": 1, "digest": 0, "augmentation": 1}}
    older = {**stored, **first, "classes": None, "digest": None}
    assert Run(tmp_path / "run").manifest.to_stored() == older
    assert run.study.user_attrs[MANIFEST] == stored
    _check(table_search(n_trials=3, resume=True), 3)
    assert run.study.user_attrs[MANIFEST] == {**older, "budget": 3}


def test_plug_ins_of_a_study_cannot_leave_the_run(server, table_search, tmp_path):
    """Whoever may write to the server may have written any path."""
    run = table_search(n_trials=2, storage=server.url())
    run.study.set_user_attr("run", run.manifest.with_files(["plugins/../../evil.py"]).to_stored())
    run.study.set_user_attr("plugins", {"plugins/../../evil.py": "print('evil')"})
    with pytest.raises(RunError, match="cannot be attached"):
        attach(server.url(), run.study.study_name, tmp_path / "here")
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_tables_of_another_optuna_are_refused(server, table_search, tmp_path):
    """With the command that brings them to this one."""
    server.say("CREATE DATABASE other_version")
    url = server.url(database="other_version")
    table_search(n_trials=1, storage=url)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'v0.9.0.a'")
    with pytest.raises(RunError, match=r"tables of .* are of another version of Optuna: .* optuna storage upgrade"):
        Run(tmp_path / "run")


@pytest.mark.parametrize(
    ("url", "error", "message"),
    [
        ("server", UsageError, "no address of a database: write postgresql://USER@HOST/DATABASE"),
        ("postgresql://host", UsageError, "postgresql://host names no database"),
        ("sqlite:///study.db", UsageError, "an SQLite file, which every run has by itself"),
        ("oracle://host/db", UsageError, "the storage oracle is not known, only PostgreSQL is"),
        ("postgresql+asyncpg://host/db", UsageError, "needs a driver"),
        (f"postgresql://nas:{PASSWORD}@127.0.0.1:1/db", RunError, "postgresql://nas@127.0.0.1:1/db cannot be used: .*refused"),
        (f"postgresql://nas@127.0.0.1:1/db?password={PASSWORD}", RunError, "postgresql://nas@127.0.0.1:1/db cannot be used"),
    ],
)
def test_a_senseless_address_is_refused_before_anything_is_written(table_search, tmp_path, url, error, message):
    """With a message that does not repeat a password."""
    with pytest.raises(error, match=message) as refused:
        table_search(n_trials=2, storage=url)
    assert PASSWORD not in str(refused.value)
    assert not (tmp_path / "run").exists()


def test_a_missing_driver_is_named(monkeypatch):
    """With the extra that brings it."""
    monkeypatch.setattr("attn_nas.storage.address.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r'postgresql://host/db needs a driver: pip install "attn-nas\[postgresql\]"'):
        _ = ServerAddress.parse("postgresql://host/db").driver_url


@pytest.mark.parametrize(
    "content", ["", "[]", '{"url": 3}', '{"url": "postgresql://host/db"}', '{"study": "x", "url": "nonsense"}']
)
def test_a_damaged_note_of_the_server_is_an_error(tmp_path, content):
    """Reading it says which file it is."""
    (tmp_path / "storage.json").write_text(content)
    with pytest.raises(RunError, match=r"storage\.json does not say where the study is"):
        Run(tmp_path)
