"""Folders that searches choose for themselves: each search has its own, however many begin at the same instant."""

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from multiprocessing import get_context
from pathlib import Path
from threading import Barrier

import pytest

from attn_nas.engine.search import Search
from attn_nas.errors import DeviceError, RunError
from attn_nas.execution.settings import Local
from attn_nas.runs import folder as folders
from attn_nas.testing import TableTrainer


class _OneSecond(datetime):
    """A clock that stands still."""

    @classmethod
    def now(cls, tz=None):
        """The same second for every search."""
        return cls(2026, 1, 2, 3, 4, 5, tzinfo=tz)


def _reserve_at_once(barrier, found):
    folders.datetime = _OneSecond
    barrier.wait()
    found.put([str(folders.reserve_run_folder("mine").path) for _ in range(10)])


def test_processes_of_the_same_instant_get_folders_of_their_own(tmp_path, monkeypatch):
    """The name of the second goes to the first of them, the others get numbers."""
    monkeypatch.chdir(tmp_path)
    context = get_context("fork")
    barrier, found = context.Barrier(4), context.Queue()
    processes = [context.Process(target=_reserve_at_once, args=(barrier, found)) for _ in range(4)]
    for process in processes:
        process.start()
    paths = [path for _ in processes for path in found.get(timeout=60)]
    for process in processes:
        process.join()
    wanted = {"mine-20260102-030405", *(f"mine-20260102-030405-{number}" for number in range(2, 41))}
    assert len(paths) == 40
    assert {Path(path).name for path in paths} == {path.name for path in Path("runs").iterdir()} == wanted


def test_searches_that_begin_together_both_end(tmp_path, monkeypatch, tiny_space, tiny_task):
    """Two searches without a name for their run, in the same second."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(folders, "datetime", _OneSecond)
    barrier = Barrier(2)

    def begin(seed):
        search = Search(tiny_space, training=TableTrainer(tiny_task), seed=seed)
        barrier.wait()
        return search.optimize(n_trials=2, confirm=0, execution=Local(workers=1))

    with ThreadPoolExecutor(2) as pool:
        runs = [*pool.map(begin, (0, 1))]
    assert sorted(run.folder.path.name for run in runs) == ["search-20260102-030405", "search-20260102-030405-2"]
    assert [len(run.candidates) for run in runs] == [2, 2]


def test_a_search_that_cannot_begin_leaves_no_folder(tmp_path, monkeypatch, tiny_space):
    """The folder is made when nothing can be refused any more; where none can be made, the message says so."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(DeviceError):
        Search(tiny_space).optimize(n_trials=1, execution=Local(device="cuda"))
    assert [*tmp_path.iterdir()] == []
    Path("runs").write_text("")
    with pytest.raises(RunError, match="the run folder runs cannot be made"):
        folders.reserve_run_folder("mine")
