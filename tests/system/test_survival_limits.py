"""A time limit for a training: workers that hang, in whatever way, are replaced; processes that only slept are not."""

import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import warm
from optuna.trial import TrialState

from attn_nas.engine.search import Search
from attn_nas.errors import UsageError
from attn_nas.events.types import TrialFailed
from attn_nas.execution import local as executors
from attn_nas.execution.gpu_packing import make_executor
from attn_nas.execution.jobs import Finished, Job
from attn_nas.execution.local import LocalPool
from attn_nas.execution.resources import Resources
from attn_nas.execution.settings import Local
from attn_nas.space.encoding import Encoding
from attn_nas.space.references import reference_genotypes
from attn_nas.testing import TableTrainer


@dataclass
class HangingTrainer(TableTrainer):
    """Some candidates hang, by key: asleep, deaf to SIGTERM or stopped the first time, or always."""

    hangs: Mapping[str, str] = field(default_factory=dict)
    markers: Path = Path()

    def __call__(self, genotype, seed, on_epoch):
        how = self.hangs.get(genotype.key)
        if how and (how == "always" or not (self.markers / how).exists()):
            (self.markers / how).touch()
            if how == "deaf":
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
            if how == "stopped":
                os.kill(os.getpid(), signal.SIGSTOP)
            time.sleep(600)
        return super().__call__(genotype, seed, on_epoch)


def test_workers_that_hang_are_replaced_and_their_candidates_trained_again(tiny_space, tmp_path, tiny_task):
    """Asleep, deaf to SIGTERM or stopped; the third time the candidate has failed; the budget stays exact."""
    references, events = reference_genotypes(tiny_space, Encoding(tiny_space)), []
    ways = {"none": "asleep", "se everywhere": "deaf", "eca everywhere": "always", "sk everywhere": "stopped"}
    hangs = {references[name].key: way for name, way in ways.items()}
    run = Search(tiny_space, run=tmp_path / "run", training=HangingTrainer(tiny_task, hangs=hangs, markers=tmp_path)).optimize(
        n_trials=6, confirm=0, callbacks=[events.append], execution=Local(workers=2, trial_timeout=2.0)
    )
    assert {path.name for path in tmp_path.iterdir()} == {"run", "asleep", "deaf", "always", "stopped"}
    failures = [event for event in events if isinstance(event, TrialFailed)]
    assert all(event.reason.startswith("its worker was ended after the time limit of 2 s") for event in failures)
    assert Counter(event.counts for event in failures) == {False: 5, True: 1}
    assert len(run.candidates) == 5
    assert not any(trial.state == TrialState.RUNNING for trial in run.study.get_trials())


def test_a_limit_needs_a_process_that_can_be_ended(tiny_space, tiny_task):
    """One worker goes into a pool of one."""
    executor = make_executor(TableTrainer(tiny_task), Resources(1, 1, 0, 1, 1, trial_timeout=60.0), [])
    try:
        assert isinstance(executor, LocalPool)
        assert executor.workers == 1
    finally:
        executor.close()


def test_a_day_asleep_is_not_a_day_of_training(tiny_space, monkeypatch, tiny_task):
    """A suspended machine, or Ctrl-Z: the workers slept as well and go on."""
    genotype = reference_genotypes(tiny_space, Encoding(tiny_space))["none"]
    pool, ended, clock = LocalPool([TableTrainer(tiny_task, epochs=2, seconds=0.4)], limit=60.0), [], time.monotonic

    def handle(message):
        monkeypatch.setattr(executors.time, "monotonic", lambda: clock() + 86400)
        if isinstance(message, Finished):
            ended.append(message.number)

    try:
        pool.submit(Job(7, genotype, 0))
        until = clock() + 300
        while not ended and clock() < until:
            pool.wait(handle, 1.0)
    finally:
        pool.close()
    assert ended == [7]


@pytest.mark.parametrize("limit", [0, -1, float("nan")])
def test_a_limit_of_nothing_is_refused(tiny_space, tmp_path, limit, tiny_task):
    """Before anything is written."""
    with pytest.raises(UsageError, match=r"trial_timeout .*: write a duration like 1h30m"):
        Search(tiny_space, run=tmp_path / "run", training=TableTrainer(tiny_task)).optimize(
            n_trials=2, execution=Local(workers=1, trial_timeout=limit)
        )
    assert not (tmp_path / "run").exists()


SCRIPT = """
import os, signal, sys
from pathlib import Path
from attn_nas.space.task import Task
from attn_nas.engine.search import Search
from attn_nas.execution.settings import Local
from attn_nas.testing import TableTrainer

class Stopped(TableTrainer):
    def __call__(self, genotype, seed, on_epoch):
        Path(sys.argv[1], f"{os.getpid()}.worker").touch()
        os.kill(os.getpid(), signal.SIGSTOP)

if __name__ == "__main__":
    search = Search(sys.argv[2], run=Path(sys.argv[1]) / "run", training=Stopped(Task(3, 16, 16, 10)))
    search.optimize(n_trials=4, execution=Local(workers=2))
"""


def test_not_even_stopped_workers_outlive_their_search(tmp_path, tiny_file, wait_until):
    """The kernel ends them with a coordinator that was killed."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    with warm.Popen([sys.executable, str(script), str(tmp_path), str(tiny_file)]) as process:
        wait_until(lambda: len(list(tmp_path.glob("*.worker"))) == 2)
        process.kill()
    workers = [Path("/proc", path.stem) for path in tmp_path.glob("*.worker")]
    wait_until(lambda: not any(w.exists() and "(zombie)" not in (w / "status").read_text() for w in workers))
