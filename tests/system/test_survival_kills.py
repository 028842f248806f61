"""Kill -9 at writes of the study and at random moments: a short soak; and who may work on a run."""

import json
import subprocess
import sys
from pathlib import Path

import warm

from attn_nas.engine.search import Search
from attn_nas.execution.settings import Local
from attn_nas.runs.run import Run
from attn_nas.testing import TableTrainer

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"

HOLDER = """
import os, signal, sys
from attn_nas.runs.folder import RunFolder

with RunFolder(sys.argv[1]).locked():
    print("held", flush=True)
    os.kill(os.getpid(), signal.SIGSTOP)
"""


def test_a_run_survives_being_killed(tmp_path, child_env):
    """At writes of its study, at random moments, and with its workers: the budget is exact, nothing lost, nothing left."""
    command = [
        sys.executable,
        "-c",
        "import soak; soak.main()",
        "--quick",
        "--json",
        "--kinds",
        "writes",
        "coordinator",
        "both",
    ]
    environment = {**child_env, "TMPDIR": str(tmp_path), "PYTHONPATH": str(BENCHMARKS)}
    done = warm.run(command, env=environment, capture_output=True, text=True, timeout=600)
    found = json.loads(done.stdout)
    assert found["violations"] == []
    assert done.returncode == 0
    kills = found["kills"]
    assert kills.pop("a write or commit of the study") == 3
    assert kills.pop("the coordinator and a worker") == 1
    assert kills.pop("the coordinator") >= 4
    assert kills == {}
    assert found["resumed"] >= 5


def test_a_second_search_is_refused_until_the_first_is_dead(tiny_space, tmp_path, tiny_task, child_env):
    """While a process holds the run, even one that does nothing; the lock of a killed one is taken over at once."""
    run = tmp_path / "run"
    Search(tiny_space, run=run, training=TableTrainer(tiny_task)).optimize(n_trials=3, confirm=0, execution=Local(workers=1))
    command = [sys.executable, "-m", "attn_nas", "search", "--resume", "--run", "run", "--budget", "4", "--workers", "1"]
    with warm.Popen([sys.executable, "-c", HOLDER, str(run)], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        second = warm.run(command, cwd=tmp_path, env=child_env, capture_output=True, text=True)
        holder.kill()
    assert second.returncode == 1
    assert second.stderr.splitlines()[-1] == "attn-nas: another process works in run: wait for it, or name another folder"
    assert len(Run(run).records) == 3
    assert (run / "lock").exists()
    found = Search.load(run, training=TableTrainer(tiny_task)).optimize(n_trials=4, execution=Local(workers=1))
    assert len(found.candidates) == 4
