"""A full disk, a folder that may not be written, a clock that jumps, memory or a GPU that is gone: each in its own words."""

import json
import os
import subprocess
import sys
import time
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial

import pytest
import warm
from optuna.trial import TrialState

from attn_nas.errors import DeviceLostError, ExportError, RunError
from attn_nas.events.types import EpochFinished, TrialFailed, TrialFinished
from attn_nas.monitor.summary import runs_in
from attn_nas.report import write_front
from attn_nas.report.growth import growth_of
from attn_nas.runs.run import Run
from attn_nas.testing import TableTrainer


@pytest.fixture
def table_search(table_search):
    """Six candidates."""
    return partial(table_search, n_trials=6)


class Disk:
    """A small file system that can be filled up."""

    def __init__(self, path):
        self.path, self.filler = path, path / "filler"

    def fill(self):
        """Leave no room at all."""
        with self.filler.open("ab", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(4096))

    def make_room(self):
        """Remove what fills it."""
        self.filler.unlink()


@pytest.fixture
def disk(tmp_path):
    """Sixteen megabytes, where this user may mount them."""
    path = tmp_path / "disk"
    path.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", path], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("only root may mount a file system")
    yield Disk(path)
    subprocess.run(["umount", "-l", path], check=True)


def _fill_at(disk, kind, nth):
    left = [nth]

    def listener(event):
        if isinstance(event, kind):
            left[0] -= 1
            if not left[0]:
                disk.fill()

    return listener


def _check_resumed(disk, budget, table_search):
    """After making room everything that was finished is there, and the rest is trained."""
    disk.make_room()
    before = {record.number: record.result for record in Run(disk.path / "run").records if record.state == "finished"}
    run = table_search(folder=disk.path, n_trials=budget, resume=True)
    assert len(run.candidates) == budget
    assert not run.failures
    assert before.items() <= {record.number: record.result for record in run.records}.items()
    assert not any(trial.state == TrialState.RUNNING for trial in run.study.get_trials())


def test_a_run_that_does_not_fit_on_the_disk_is_not_begun(table_search, disk):
    """One message, and nothing half-made."""
    disk.fill()
    with pytest.raises(RunError, match=r"run.* (made|written): (No space left on device|database or disk is full)"):
        table_search(folder=disk.path)
    assert [path.name for path in disk.path.iterdir()] == ["filler"]
    disk.make_room()
    assert len(table_search(folder=disk.path).candidates) == 6


@pytest.mark.parametrize(("kind", "nth"), [(EpochFinished, 2), (TrialFinished, 3)])
def test_a_disk_that_fills_up_ends_the_search_and_keeps_what_is_finished(table_search, disk, kind, nth):
    """Before a trial is told, and between two trials."""
    with pytest.raises(
        RunError,
        match=r"cannot be written any more: (database or disk is full|.*No space left on device)\. What .* is kept: make room",
    ):
        table_search(folder=disk.path, n_trials=100, confirm=1, callbacks=[_fill_at(disk, kind, nth)])
    _check_resumed(disk, 8, table_search)


def test_weights_that_find_no_room_are_no_failure_of_their_candidate(table_search, disk):
    """It is trained again when there is room, and counts once."""
    with pytest.raises(RunError, match=r"safetensors cannot be written: .*No space left on device.* make room"):
        table_search(folder=disk.path, training=None, callbacks=[_fill_at(disk, EpochFinished, 4)])
    disk.make_room()
    run = table_search(folder=disk.path, training=None, n_trials=3, resume=True)
    first, unkept, *others = [record.state for record in run.records]
    assert [first, *others] == ["finished"] * 3
    assert unkept in ("interrupted", "lost")  # there may be no room even to say so
    assert not list(disk.path.rglob("*unfinished*"))


def test_events_that_find_no_room_end_the_search(table_search, tmp_path):
    """The log is a device that is always full."""
    table_search(n_trials=2)
    log = tmp_path / "run" / "events.jsonl"
    log.unlink()
    log.symlink_to("/dev/full")
    with pytest.raises(RunError, match=r"cannot be written any more: .*No space left on device.*resume the run"):
        table_search(n_trials=4, resume=True)
    log.unlink()
    assert len(table_search(n_trials=4, resume=True).candidates) == 4


def test_a_front_that_finds_no_room_leaves_the_old_one(table_search, disk):
    """Whole files, or none."""
    run = table_search(folder=disk.path)
    written = {path: path.read_bytes() for path in write_front(run, disk.path / "run")}
    disk.fill()
    with pytest.raises(ExportError, match="No space left on device"):
        write_front(run, disk.path / "run")
    assert {path: path.read_bytes() for path in written} == written
    assert not list(disk.path.rglob("*unfinished*"))


COMMANDS = """
import contextlib, ctypes, io, json, sys
from attn_nas.cli import main

# Root gives up the power to write where nobody may (CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH); anyone else has none.
header, capabilities = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
assert ctypes.CDLL(None).capget(header, capabilities) == 0
capabilities[0], capabilities[1] = (each & ~0b110 for each in capabilities[:2])
assert ctypes.CDLL(None).capset(header, capabilities) == 0

told = []
for arguments in json.loads(sys.argv[1]):
    sys.argv = ["attn-nas", *arguments]
    out, err, code = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main()
        except SystemExit as ended:
            code = ended.code
    told.append([code or 0, out.getvalue(), err.getvalue()])
print(json.dumps(told))
"""


def test_a_folder_that_may_not_be_written_is_read_and_nothing_else(table_search, tmp_path, tiny_file):
    """Reading works; what would write says what it cannot write, and exits with 1; nothing is changed."""
    run = table_search().folder.path
    tmp_path.chmod(0o500)
    run.chmod(0o500)
    before = sorted(path.name for path in run.iterdir())
    commands = [
        ["front", "run", "--json"],
        ["search", "--space", str(tiny_file), "--run", "new", "--workers", "1"],
        ["search", "--resume", "--run", "run", "--budget", "9", "--workers", "1"],
        ["insight", "run"],
        ["report", "run"],
    ]
    try:
        done = warm.run(
            [sys.executable, "-c", COMMANDS, json.dumps(commands)], cwd=tmp_path, capture_output=True, check=True,
            timeout=180, env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        assert sorted(path.name for path in run.iterdir()) == before
        assert [path.name for path in tmp_path.iterdir()] == ["run"]
    finally:
        tmp_path.chmod(0o700)
        run.chmod(0o700)
    (code, shown, _), *refused = json.loads(done.stdout)
    assert code == 0
    assert len(json.loads(shown)["references"]) == 5
    for code, _, complaint in refused:
        assert code == 1
        assert "Permission denied" in complaint or "attempt to write a readonly database" in complaint
        assert complaint.startswith("attn-nas: ")
        assert "Unexpected error" not in complaint


@pytest.mark.parametrize("days", [-1, 1])
def test_a_clock_that_jumps_by_a_day_changes_nothing(table_search, tmp_path, monkeypatch, days):
    """Neither order nor budget nor time budget; what is shown of the run stays sensible."""
    jumped, now, time_now = [], datetime.now, time.time

    class TimeBudget(datetime):
        @classmethod
        def now(cls, tz=None):
            return now(tz) + timedelta(days=days * bool(jumped))

    def jump(event):
        if isinstance(event, TrialFinished) and event.finished == 3:
            jumped.append(event)
            monkeypatch.setattr(time, "time", lambda: time_now() + 86400 * days)

    for module in list(sys.modules.values()):
        if getattr(module, "datetime", None) is datetime and module.__name__.startswith(("optuna", "attn_nas")):
            monkeypatch.setattr(module, "datetime", TimeBudget)
    run = table_search(n_trials=8, timeout=3600.0, callbacks=[jump])
    assert jumped
    assert [record.number for record in run.records] == list(range(8))
    assert len(run.candidates) == 8
    assert len(table_search(n_trials=10, resume=True).candidates) == 10
    grown = growth_of(Run(run.folder.path))
    assert [each.trials for each in grown] == list(range(1, 11))
    for figures in ([each.seconds for each in grown], [each.hypervolume for each in grown]):
        assert figures == sorted(figures)
    assert [summary.state for summary in runs_in(tmp_path)] == ["finished"]


class Exhausted(TableTrainer):
    """The first candidate finds no memory, the second loses its GPU."""

    def __call__(self, genotype, seed, on_epoch):
        if genotype.num_attended == 0:
            raise MemoryError
        if str(genotype).startswith("eca"):
            raise DeviceLostError("the GPU failed: it has fallen off the bus")
        return super().__call__(genotype, seed, on_epoch)


def test_want_of_memory_fails_a_candidate_and_a_lost_gpu_ends_a_search_of_one_process(table_search, tiny_task):
    """The one counts, the other is trained again with --resume."""
    events = []
    with pytest.raises(RunError, match=r"fallen off the bus\. What was finished is kept: resume the run in a fresh process"):
        table_search(training=Exhausted(tiny_task), callbacks=[events.append])
    (failed,) = [event for event in events if isinstance(event, TrialFailed) and event.counts]
    assert failed.reason.startswith("MemoryError")
    run = table_search(resume=True)
    assert len(run.candidates) == 5
    assert len(run.failures) == 1
