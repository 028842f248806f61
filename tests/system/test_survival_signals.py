"""Ctrl-C, SIGTERM and a terminal that goes away, at any time of any command: exit code 130, and nothing half-written."""

import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
import warm
import yaml
from optuna.trial import TrialState
from PIL import Image

from attn_nas.__main__ import main
from attn_nas.engine.search import Search
from attn_nas.execution.replicates import ReplicateFolder
from attn_nas.execution.settings import Local
from attn_nas.runs.run import Run

COMMAND = [sys.executable, "-m", "attn_nas"]


@pytest.fixture
def search_command(tiny_file):
    """The command line of a search without confirmation."""
    return [*COMMAND, "search", "--space", str(tiny_file), "--run", "run", "--confirm", "0"]


@pytest.fixture(autouse=True)
def _signals():
    """A command leaves signals to their default when it has ended, for so does its process."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(scope="module")
def finished(tiny_space, tmp_path_factory):
    """A short run that was really trained."""
    return (
        Search(tiny_space, run=tmp_path_factory.mktemp("runs") / "run")
        .optimize(n_trials=4, confirm=0, execution=Local(workers=1))
        .folder.path
    )


@pytest.fixture
def run(finished, tmp_path, monkeypatch):
    """A copy of it in the current folder."""
    monkeypatch.chdir(tmp_path)
    return Path(shutil.copytree(finished, "run"))


def _called(monkeypatch, *arguments):
    """The exit code of a command in this process."""
    monkeypatch.setattr(sys, "argv", ["attn-nas", *map(str, arguments)])
    try:
        main()
    except SystemExit as ended:
        return ended.code or 0
    return 0


def _begun(folder, number=1):
    log = folder / "run" / "events.jsonl"
    return log.exists() and log.read_text().count('"TrialStarted"') >= number


def _leftovers(folder):
    return [path for path in folder.rglob("*") if "unfinished" in path.name or path.name.startswith((".export", ".cache"))]


def _cut(monkeypatch, nth, number=signal.SIGINT):
    """Have the ``nth`` file be written by half, and a signal come then."""
    left, write = [nth], Path.write_bytes

    def write_bytes(path, data):
        left[0] -= 1
        if left[0]:
            return write(path, data)
        write(path, data[: len(data) // 2])
        os.kill(os.getpid(), number)
        return len(data) // 2

    monkeypatch.setattr(Path, "write_bytes", write_bytes)


BESIDE = ["--workers", "1", "--epochs", "3", "--seeds", "1"]


@pytest.mark.parametrize(
    ("command", "writes"),
    [
        (["insight", "run"], 2),
        (["report", "run"], 1),
        (["report", "run", "--format", "csv"], 1),
        (["export", "run"], 1),
        (["audit", "run", "--candidates", "4", *BESIDE], 2),
        (["retrain", "run", *BESIDE], 1),
    ],
    ids=str,
)
def test_a_command_cut_while_it_writes_leaves_nothing_by_half(run, monkeypatch, capfd, command, writes):
    """Not the file it was at, nor any other; what was there before is there."""
    before = {path: path.read_bytes() for path in run.glob("weights/*")}
    for nth in range(1, writes + 1):
        with pytest.MonkeyPatch.context() as patched:
            _cut(patched, nth)
            assert _called(monkeypatch, *command) == 130
        assert not _leftovers(Path())
        assert all(json.loads(path.read_text()) for path in Path().rglob("*.json"))
    assert {path: path.read_bytes() for path in before} == before
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_every_signal_that_ends_a_command_ends_it_in_order(run, monkeypatch, capfd, number):
    """As when somebody presses Ctrl-C, a scheduler ends the job, or the terminal is closed."""
    _cut(monkeypatch, 1, number)
    assert _called(monkeypatch, "insight", "run") == 130
    assert not _leftovers(run)
    assert capfd.readouterr().err == ""


def test_a_stopped_retraining_goes_on_where_it_was(run, monkeypatch, capfd):
    """What was trained is not trained again."""
    kept, keep = [], ReplicateFolder.keep

    def keep_and_stop(self, replicate, outcome):
        keep(self, replicate, outcome)
        kept.append(str(replicate))
        if len(kept) == 2:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(ReplicateFolder, "keep", keep_and_stop)
    assert _called(monkeypatch, "audit", "run", "--candidates", "4", *BESIDE) == 130
    assert "stopped; finished trainings are kept: the same command continues" in capfd.readouterr().out
    assert len(kept) == 2
    assert _called(monkeypatch, "audit", "run", "--candidates", "4", *BESIDE) == 0
    assert len(kept) == len(set(kept)) == 8


def test_a_search_cut_while_it_exports_has_its_models_later(run, monkeypatch):
    """The search is done; resumed, it has nothing to train, and exports."""
    with pytest.MonkeyPatch.context() as patched:
        _cut(patched, 4)
        assert _called(monkeypatch, "search", "--resume", "--run", "run", "--workers", "1") == 130
    assert not _leftovers(run)
    assert _called(monkeypatch, "search", "--resume", "--run", "run", "--workers", "1") == 0
    ended = Run(run)
    assert len(ended.records) == 4
    exported = {path.parent.name for path in run.glob("export/*/model.safetensors")}
    assert exported == {ended.pick.record.key, *(candidate.record.key for candidate in ended.front)}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_a_search_that_is_cut_while_it_loads_its_data_has_written_nothing(tmp_path, number, tiny_file, child_env, wait_until):
    """An image that never comes: here a pipe into which nobody writes."""
    for label in ("cats", "dogs"):
        (tmp_path / "images" / "train" / label).mkdir(parents=True)
        for name in range(8):
            Image.new("RGB", (16, 16), (9 * name, 0, 0)).save(tmp_path / "images" / "train" / label / f"{name}.png")
    slow = tmp_path / "images" / "train" / "cats" / "3.png"
    slow.unlink()
    os.mkfifo(slow)
    space = yaml.safe_load(tiny_file.read_text())
    data = {"name": "image_folder", "root": str(tmp_path / "images"), "image_size": 16, "num_validation": 4}
    (tmp_path / "space.yaml").write_text(yaml.safe_dump({**space, "data": data}))
    command = [*COMMAND, "search", "--space", "space.yaml", "--run", "run"]
    with warm.Popen(command, cwd=tmp_path, env=child_env, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        writers = []

        def is_read():
            with suppress(OSError):  # which it is as long as nobody reads
                writers.append(os.open(slow, os.O_WRONLY | os.O_NONBLOCK))
            return writers or process.poll() is not None

        try:
            wait_until(is_read)
            time.sleep(0.3)  # it has opened the file, and begins to wait in it
            process.send_signal(number)
            assert process.communicate(timeout=300) == (b"", b"")
        finally:
            process.kill()
        os.close(*writers)
    assert process.returncode == 130
    assert not (tmp_path / "run").exists()


def _check_kept(folder, process_told):
    """Everything that was told as finished is kept, nothing runs, and resumed the run comes to its budget."""
    kept = {record.key for record in Run(folder / "run").records if record.state == "finished"}
    assert process_told <= kept
    assert not any(trial.state == TrialState.RUNNING for trial in Run(folder / "run").study.get_trials())
    assert not _leftovers(folder)


def _told(folder):
    lines = (folder / "run" / "events.jsonl").read_text().splitlines()
    return {event["key"] for event in map(json.loads, lines) if event["event"] == "TrialFinished"}


def _children(process):
    return [Path("/proc", child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def _workers(process):
    """Children of the server that forks them, which is the only child of the search with children."""
    return [worker for child in _children(process) for worker in _children(child.name)]


def _runs(worker):
    """Not when it is dead and only waits for whoever inherited it to notice."""
    try:
        return "State:\tZ" not in (worker / "status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


HANGS = """
import sys, time
from attn_nas.space.task import Task
from attn_nas.engine.search import Search
from attn_nas.execution.settings import Local
from attn_nas.testing import TableTrainer

class Hanging(TableTrainer):
    def __call__(self, genotype, seed, on_epoch):
        open(f"hangs-{genotype.key}", "w").close()
        time.sleep(3600)

if __name__ == "__main__":
    search = Search(sys.argv[1], run="run", training=Hanging(Task(3, 16, 16, 10)))
    search.optimize(n_trials=4, confirm=0, execution=Local(workers=2))
"""


def test_a_killed_search_leaves_no_process_though_its_workers_hang(tmp_path, tiny_file, child_env, wait_until):
    (tmp_path / "hangs.py").write_text(HANGS)
    with warm.Popen([sys.executable, "hangs.py", str(tiny_file)], cwd=tmp_path, env=child_env) as process:
        wait_until(lambda: len([*tmp_path.glob("hangs-*")]) == 2)
        left = [*_children(process.pid), *_workers(process.pid)]
        process.kill()
    assert len(left) >= 3
    wait_until(lambda: not any(map(_runs, left)))


def test_sigterm_to_all_processes_stops_now_and_keeps_everything(search_command, tmp_path, child_env, wait_until):
    """As a scheduler sends it: exit code 130, no worker left, nothing half-written, and --resume goes on."""
    command = [*search_command, "--budget", "40", "--workers", "2"]
    with warm.Popen(
        command, cwd=tmp_path, env=child_env, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        wait_until(lambda: _begun(tmp_path, 4))
        workers = _workers(process.pid)
        os.killpg(process.pid, signal.SIGTERM)
        output, complaints = process.communicate(timeout=300)
    assert process.returncode == 130
    assert complaints == b""
    assert b"Next: attn-nas search --resume --run run" in output.replace(b"\n", b" ")
    assert len(workers) == 2
    wait_until(lambda: not any(map(_runs, workers)))
    _check_kept(tmp_path, _told(tmp_path))


IN_TERMINAL = """
import fcntl, runpy, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
runpy.run_module("attn_nas", run_name="__main__", alter_sys=True)
"""
"""A command whose terminal is its stdin: the kernel tells it when that goes away."""


def test_a_search_whose_terminal_goes_away_ends_in_order(search_command, tmp_path, child_env, wait_until):
    """As by SIGTERM: nothing runs on, neither trials nor processes, and nobody is written to who is not there."""
    command = [sys.executable, "-c", IN_TERMINAL, *search_command[3:], "--budget", "40", "--workers", "2"]
    terminal, end = pty.openpty()
    process = warm.Popen(
        command, cwd=tmp_path, env={**child_env, "TERM": "xterm"}, start_new_session=True, stdin=end, stdout=end, stderr=end
    )
    os.close(end)
    os.set_blocking(terminal, False)
    shown = b""

    def is_begun():
        nonlocal shown
        with suppress(BlockingIOError):
            shown += os.read(terminal, 65536)
        return _begun(tmp_path, 4)

    wait_until(is_begun)
    workers = _workers(process.pid)
    os.close(terminal)
    assert process.wait(300) == 130
    assert b"Ctrl-C stops after the running trials" in shown
    assert len(workers) == 2
    wait_until(lambda: not any(map(_runs, workers)))
    _check_kept(tmp_path, _told(tmp_path))


def test_a_search_under_nohup_outlives_its_terminal(search_command, tmp_path, child_env, wait_until):
    """SIGHUP that was ignored stays ignored."""
    command = ["nohup", *search_command, "--budget", "2", "--workers", "1", "--no-export"]
    with subprocess.Popen(command, cwd=tmp_path, env=child_env, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        wait_until(lambda: _begun(tmp_path))
        process.send_signal(signal.SIGHUP)
        process.communicate(timeout=300)
    assert process.returncode == 0
    assert len(Run(tmp_path / "run").candidates) == 2


def test_ctrl_c_during_the_first_imports_ends_without_a_word(tmp_path, tiny_file, child_env):
    """Here when torch begins to be loaded, and when the command line itself is."""
    for module in ("typer", "torch"):
        hook = f"""
import os, signal, sys
def hear(event, arguments):
    if event == "import" and arguments[0] == {module!r}:
        os.kill(os.getpid(), signal.SIGINT)
sys.addaudithook(hear)
sys.argv = ["attn-nas", "search", "--run", "run", "--space", {str(tiny_file)!r}]
from attn_nas.__main__ import main
main()
"""
        ended = subprocess.run([sys.executable, "-c", hook], cwd=tmp_path, env=child_env, capture_output=True, check=False)
        assert ended.stderr == ended.stdout == b""
        assert ended.returncode in (130, -signal.SIGINT)  # the interpreter may end itself as interrupted: a shell says 130
        assert not (tmp_path / "run").exists()
