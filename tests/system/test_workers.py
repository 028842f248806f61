"""Worker processes: what they inherit, and what becomes of the server that forks them."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from multiprocessing import forkserver
from multiprocessing.context import SpawnContext
from pathlib import Path

import pytest
from optuna.trial import TrialState
from speaking import SaysAWord, SaysItsPageFaults, SaysWhatItBlocks

from attn_nas.engine.search import Search
from attn_nas.execution import processes as workers
from attn_nas.execution.jobs import Failed, Job
from attn_nas.execution.local import LocalPool
from attn_nas.execution.settings import Local
from attn_nas.space.encoding import Encoding
from attn_nas.space.references import reference_genotypes
from attn_nas.testing import TableTrainer

PATIENCE = 60.0
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}

LOADS = """
import os, torch

def refuse(*_):
    raise AssertionError("a GPU was looked at")

for name in ("is_available", "device_count", "init", "_lazy_init"):
    setattr(torch.cuda, name, refuse)
import importlib, sys
for module in sys.argv[1:]:
    importlib.import_module(module)
print(len(os.listdir("/proc/self/task")))
"""


class ServerKiller(TableTrainer):
    """Kills the server of its worker once."""

    def __call__(self, genotype, seed, on_epoch):
        marker = Path(os.environ["ATTN_NAS_TEST_MARKER"])
        if not marker.exists():
            marker.touch()
            assert b"forkserver" in Path(f"/proc/{os.getppid()}/cmdline").read_bytes()
            os.kill(os.getppid(), signal.SIGKILL)
            time.sleep(PATIENCE)
        return super().__call__(genotype, seed, on_epoch)


def _answer(trainer, genotype):
    """What a pool of one worker says to one job."""
    pool, answers = LocalPool([trainer]), []
    try:
        pool.submit(Job(0, genotype, 0))
        until = time.monotonic() + PATIENCE
        while not answers and time.monotonic() < until:
            pool.wait(answers.append, 1.0)
    finally:
        pool.close()
    return answers[0]


@pytest.fixture
def bare(tiny_space):
    return reference_genotypes(tiny_space, Encoding(tiny_space))["none"]


def test_what_the_server_loads_may_be_forked():
    """It looks at no GPU and starts no thread, but those of OpenBLAS, which starts them again in a fork."""
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    command = [sys.executable, "-c", LOADS, *workers._LOADED]
    done = subprocess.run(
        command, env={**environment, "OPENBLAS_NUM_THREADS": "1"}, stdout=subprocess.PIPE, text=True, check=True
    )
    assert done.stdout == "1\n"


def test_workers_have_the_environment_of_their_start(bare, monkeypatch, tiny_task):
    """Not that of the server, which may be older."""
    assert _answer(SaysAWord(tiny_task), bare) == Failed(0, "nothing")
    monkeypatch.setenv("ATTN_NAS_TEST_WORD", "something")
    assert _answer(SaysAWord(tiny_task), bare) == Failed(0, "something")


def test_where_there_can_be_no_server_each_worker_starts_anew(bare, monkeypatch, tiny_task):
    """As without a folder for temporary files, or in the fork of a process that has a server."""

    def refused():
        raise OSError("AF_UNIX path too long")

    workers._forking.cache_clear()
    with monkeypatch.context() as patched:
        patched.setattr(forkserver, "ensure_running", refused)
        assert isinstance(workers._forking(os.getpid()), SpawnContext)
    assert _answer(SaysAWord(tiny_task), bare) == Failed(0, "nothing")
    workers._forking.cache_clear()


def test_nothing_is_imported_from_the_folder_that_a_search_starts_in(tmp_path, tiny_file):
    """The module ``profile`` is what torch would load."""
    (tmp_path / "profile.py").write_text("open('imported', 'w').close()")
    start = "import sys; del sys.path[0]; from attn_nas.__main__ import main; main()"
    arguments = ["search", "--space", str(tiny_file), "--budget", "2", "--confirm", "0", "--workers", "2", "--no-export"]
    done = subprocess.run(
        [sys.executable, "-c", start, *arguments], cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "imported").exists()


def test_workers_keep_the_memory_of_a_step_for_the_next(bare, tiny_task):
    """Else the ten allocations are 100,000 page faults."""
    assert int(_answer(SaysItsPageFaults(tiny_task), bare).reason) < 20_000


def test_workers_of_another_packages_server_ignore_terminal_signals_too(bare, tiny_task):
    """Such a one was started with nothing blocked."""
    forkserver._forkserver._stop()
    forkserver.ensure_running()
    assert _answer(SaysWhatItBlocks(tiny_task), bare) == Failed(0, "SIGHUP SIGINT")
    forkserver._forkserver._stop()


def test_a_server_that_cannot_load_is_done_without(bare, tmp_path, monkeypatch, tiny_task):
    (tmp_path / "breaks.py").write_text("raise SystemExit(3)")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}")
    monkeypatch.setattr(workers, "_LOADED", ["breaks"])
    forkserver._forkserver._stop()
    workers._forking.cache_clear()
    assert _answer(SaysAWord(tiny_task), bare) == Failed(0, "nothing")
    workers._forking.cache_clear()


def test_a_killed_server_is_replaced_with_its_workers(tiny_space, tmp_path, monkeypatch, tiny_task):
    monkeypatch.setenv("ATTN_NAS_TEST_MARKER", str(tmp_path / "marker"))
    run = Search(tiny_space, run=tmp_path / "run", training=ServerKiller(tiny_task)).optimize(
        n_trials=10, confirm=0, execution=Local(workers=2)
    )
    assert (tmp_path / "marker").exists()
    assert len(run.candidates) == 10
    assert Counter(trial.state for trial in run.study.get_trials())[TrialState.RUNNING] == 0
