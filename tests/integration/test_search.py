"""The search: exact budget, references first, no duplicates, limits, failures, interruption and resumption."""

import dataclasses
import json
import os
import signal
import sys
import time
from collections import Counter
from pathlib import Path

import optuna
import pytest
import torch
import warm
from optuna.trial import TrialState

from attn_nas.engine.search import Search
from attn_nas.errors import RunError, SpaceError, UsageError
from attn_nas.events.types import SearchFinished, TrialFailed, TrialStarted
from attn_nas.execution.jobs import Failed, Finished, Job
from attn_nas.execution.local import LocalPool
from attn_nas.execution.settings import Local
from attn_nas.machine import usable_cores
from attn_nas.runs.run import Run
from attn_nas.space.encoding import Encoding
from attn_nas.space.references import reference_genotypes
from attn_nas.space.schema import LimitSettings
from attn_nas.stats.pareto import front_indices
from attn_nas.testing import TableTrainer


def _references(space):
    return reference_genotypes(space, Encoding(space))


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_the_budget_is_exact_and_nothing_is_trained_twice(table_search, workers):
    """With any number of workers, exactly so many distinct candidates are scored."""
    run = table_search(n_trials=25, workers=workers)
    assert len(run.candidates) == 25
    assert len({candidate.record.key for candidate in run.candidates}) == 25
    states = Counter(trial.state for trial in run.study.get_trials())
    assert states == {TrialState.COMPLETE: 25}


def test_references_come_first_and_are_named(tiny_space, table_search):
    """The first trials are the hand-made placements, in their order; events have the names of all networks."""
    events = []
    run = table_search(n_trials=10, callbacks=[events.append])
    names = {event.key: event.name for event in events if isinstance(event, TrialStarted)}
    assert names.keys() == run.names.keys()
    assert names[run.references[0].record.key] == "no attention"
    assert len({*names.values()}) == 10
    expected = _references(tiny_space)
    opening = run.candidates[: len(expected)]
    assert [candidate.record.reference for candidate in opening] == list(expected)
    assert [candidate.record.genotype for candidate in opening] == list(expected.values())
    assert [reference.record.reference for reference in run.references] == list(expected)


def test_one_worker_repeats_itself(table_search, tmp_path):
    """The same seed gives the same trials, another seed others."""
    keys = [
        [candidate.record.key for candidate in table_search(folder=tmp_path / str(number), n_trials=20, seed=seed).candidates]
        for number, seed in enumerate((0, 0, 1))
    ]
    assert keys[0] == keys[1] != keys[2]


def test_any_optuna_tool_can_open_the_study(table_search):
    """A plain Optuna study with two objectives and flat categorical parameters, in write-ahead mode."""
    run = table_search(n_trials=8)
    study = optuna.load_study(study_name=None, storage=f"sqlite:///{run.folder.study.path}")
    assert [direction.name for direction in study.directions] == ["MAXIMIZE", "MINIMIZE"]
    best = {trial.user_attrs["genotype"] and trial.number for trial in study.best_trials}
    measured = front_indices([(each.measured.value, *each.costs.values()) for each in run.candidates])
    assert best >= {run.candidates[index].record.number for index in measured} != set()
    assert all(len(trial.params) == 12 for trial in study.get_trials())
    assert run.folder.study.path.read_bytes()[18] == 2


def test_the_front_document_says_everything(table_search):
    """Reference point, hypervolume, front and references with their costs and placements."""
    document = table_search(n_trials=12).to_dict()
    assert set(document["reference_point"]) == {"accuracy", "flops"}
    assert document["hypervolume"] > 0
    for row in (*document["front"], *document["references"]):
        assert {"key", "accuracy", "flops", "macs", "params", "placements"} <= set(row)
        assert row["flops"] <= document["reference_point"]["flops"]
    json.dumps(document)


def test_a_small_space_is_searched_through(tiny_space, table_search):
    """When no unseen candidate is left the search ends and says so."""
    small = tiny_space.model_copy(
        update={
            "mechanisms": [tiny_space.mechanisms[1].model_copy(update={"kernel_sizes": [3]})],
            "granularity": "per_stage",
        }
    )
    ended = []
    run = table_search(small, n_trials=50, callbacks=[lambda e: ended.append(e) if isinstance(e, SearchFinished) else None])
    assert len(run.candidates) == 8
    assert ended[0].why == "exhausted"


def test_limits_are_enforced_before_training(tiny_space, table_search):
    """Nothing above a limit is ever given to the trainer, references included."""
    limits = LimitSettings(max_flops="+3000", max_params=None)
    started = []
    run = table_search(
        tiny_space.model_copy(update={"limits": limits}),
        n_trials=15,
        callbacks=[lambda event: started.append(event) if isinstance(event, TrialStarted) else None],
    )
    bare = run.manifest.bare_cost.flops
    assert len(started) == 15
    assert all(event.flops - bare <= 3000 for event in started)
    assert run.reference_point[1] == bare + 3000


def test_a_limit_below_the_trunk_is_refused(tiny_space, tmp_path, table_search):
    """Before anything is written."""
    limits = LimitSettings(max_flops=None, max_params=10)
    with pytest.raises(SpaceError, match="the bare trunk has"):
        table_search(tiny_space.model_copy(update={"limits": limits}), n_trials=5)
    assert not (tmp_path / "run").exists()


def test_tight_limits_still_find_the_few_that_fit(tiny_space, table_search):
    """Where hardly any random placement fits, mechanisms are taken away until one does."""
    limits = LimitSettings(max_flops="+1600", max_params=None)
    mechanisms = [settings for settings in tiny_space.mechanisms if settings.name != "sk"]
    deep = tiny_space.trunk.model_copy(update={"depth": 20})
    space = tiny_space.model_copy(update={"limits": limits, "trunk": deep, "mechanisms": mechanisms})
    run = table_search(space, n_trials=12)
    assert len(run.candidates) == 12
    assert all(candidate.record.genotype.num_attended <= 2 for candidate in run.candidates)


def test_equal_points_all_keep_their_weights(tiny_space, tmp_path, tiny_task):
    """Whichever of two equal candidates finished first, the one that the front shows can be exported."""
    table = dict.fromkeys((genotype.key for genotype in _references(tiny_space).values()), 0.7)
    run = Search(
        tiny_space, run=tmp_path / "run", training=WeighingTrainer(tiny_task, table, folder=str(tmp_path / "run"))
    ).optimize(n_trials=5, execution=Local(workers=1))
    for candidate in run.front:
        assert run.folder.weights_of(candidate.record.key).exists()


@dataclasses.dataclass
class WeighingTrainer(TableTrainer):
    """Leaves an empty weights file, as real training leaves a full one."""

    folder: str = ""

    def __call__(self, genotype, seed, on_epoch):
        weights = Path(self.folder) / "weights"
        weights.mkdir(exist_ok=True)
        (weights / f"{genotype.key}.safetensors").touch()
        return super().__call__(genotype, seed, on_epoch)


@pytest.mark.parametrize("name", ["what?x", "100%20", "a{b}c", "two words", "Zürich"])
def test_any_folder_name_will_do(table_search, tmp_path, name):
    """Characters that mean something in an address mean nothing in a path."""
    run = table_search(n_trials=2, run=tmp_path / name)
    assert len(Run(tmp_path / name).candidates) == len(run.candidates) == 2
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_run_killed_while_it_was_made_is_no_run(table_search, tmp_path):
    """What a dead process left of an unborn study is in nobody's way."""
    (tmp_path / "run").mkdir()
    for leftover in ("study.new", "study.new-wal"):
        (tmp_path / "run" / leftover).write_bytes(b"half a database")
    assert len(table_search(n_trials=2).candidates) == 2


def test_a_candidate_that_kills_its_search_has_failed_the_third_time(tiny_space, table_search):
    """Otherwise it would come first in every resumed search."""
    run = table_search(n_trials=3)
    for attempt in range(3):
        trial = run.study.ask()
        trial.set_user_attr("genotype", _references(tiny_space)["sk everywhere"].to_dict())
        trial.set_user_attr("cost", run.manifest.bare_cost.to_dict())
        trial.set_user_attr("seed", 0)
        run = table_search(n_trials=3, resume=True)
        states = [record.state for record in run.records if record.number == trial.number]
        assert states == ["failed" if attempt == 2 else "lost"]


def test_a_failed_candidate_counts_and_does_not_end_the_search(tiny_space, table_search, tiny_task):
    """Its reason is kept; the others are scored."""
    references = _references(tiny_space)
    failing = references["se everywhere"].key
    trainer = TableTrainer(tiny_task, failures={failing: "diverged in epoch 1"})
    run = table_search(n_trials=10, training=trainer)
    assert len(run.candidates) == 9
    (failed,) = [record for record in run.records if record.state == "failed"]
    assert (failed.key, failed.reason) == (failing, "diverged in epoch 1")


class BrokenTrainer(TableTrainer):
    """Raises what nobody expected."""

    def __call__(self, genotype, seed, on_epoch):
        raise ZeroDivisionError("surprise")


def test_an_unexpected_error_is_a_failure_too(table_search, tiny_task):
    """Every candidate fails with the error's name, and the search ends by its budget."""
    run = table_search(n_trials=3, training=BrokenTrainer(tiny_task))
    assert [record.reason for record in run.records] == ["ZeroDivisionError: surprise"] * 3


class LyingTrainer(TableTrainer):
    """Reports another network's cost."""

    def __call__(self, genotype, seed, on_epoch):
        trained = super().__call__(genotype, seed, on_epoch)
        return dataclasses.replace(trained, cost=trained.cost + trained.cost)


def test_cost_table_and_full_count_must_agree(table_search, tiny_task):
    """A disagreement fails the trial with both figures."""
    run = table_search(n_trials=2, training=LyingTrainer(tiny_task))
    assert all("disagree" in record.reason for record in run.records)


def test_resume_goes_on_and_does_not_replay(table_search):
    """20 and then 20 more are 40 distinct candidates; a resumed run without a new budget has nothing to do."""
    table_search(n_trials=20)
    run = table_search(n_trials=40, resume=True)
    assert len({candidate.record.key for candidate in run.candidates}) == 40
    assert len(table_search(resume=True).candidates) == 40


def test_resume_refuses_what_does_not_fit(tiny_space, tmp_path, table_search):
    """Another space, another seed, a folder that is no run, an occupied folder, senseless numbers."""
    table_search(n_trials=3)
    other = tiny_space.model_copy(update={"granularity": "per_stage"})
    with pytest.raises(UsageError, match="another search space"):
        table_search(other, resume=True)
    with pytest.raises(UsageError, match="begun with seed 0"):
        Search.load(tmp_path / "run").check(seed=5)
    with pytest.raises(UsageError, match="begun on cpu: leave the device cuda out"):
        table_search(device="cuda", resume=True)
    with pytest.raises(RunError, match="is not a run"):
        table_search(run=tmp_path / "nowhere", resume=True)
    with pytest.raises(UsageError, match="holds a run already: resume it"):
        table_search(n_trials=3)
    for arguments in ({"n_trials": 0}, {"workers": 0}, {"seed": -1}, {"seed": 2**31}):
        with pytest.raises(UsageError, match="choose an integer of at least"):
            table_search(folder=tmp_path / "new", **arguments)


def test_two_searches_cannot_share_a_run(table_search):
    """The second is refused while the first holds the lock."""
    run = table_search(n_trials=3)
    with run.folder.locked(), pytest.raises(RunError, match="another process works"):
        table_search(n_trials=5, resume=True)


def test_a_damaged_study_is_an_error(table_search):
    """Not a traceback from the database."""
    run = table_search(n_trials=3)
    run.folder.study.path.write_bytes(b"not a database")
    with pytest.raises(RunError, match="cannot be opened as a study"):
        Run(run.folder.path)


class DeadlyTrainer(TableTrainer):
    """One candidate kills its worker whenever it is trained, another once."""

    def __call__(self, genotype, seed, on_epoch):
        if genotype.num_attended == 0:
            marker = Path(os.environ["ATTN_NAS_TEST_MARKER"])
            if not marker.exists():
                marker.touch()
                os.kill(os.getpid(), signal.SIGKILL)
        if str(genotype).startswith("eca k3 | eca k3"):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__call__(genotype, seed, on_epoch)


def test_a_killed_worker_is_replaced_and_its_candidate_trained_again(
    tiny_space, tmp_path, monkeypatch, table_search, tiny_task
):
    """A death puts the candidate back; the third fails it; the budget stays exact."""
    monkeypatch.setenv("ATTN_NAS_TEST_MARKER", str(tmp_path / "marker"))
    events = []
    run = table_search(n_trials=10, workers=2, training=DeadlyTrainer(tiny_task), callbacks=[events.append])
    references = _references(tiny_space)
    assert len(run.candidates) == 9
    assert references["none"].key in {candidate.record.key for candidate in run.candidates}
    failures = [event for event in events if isinstance(event, TrialFailed)]
    assert Counter(event.counts for event in failures) == {False: 3, True: 1}
    assert all("its worker died (killed by signal 9)" in event.reason for event in failures)
    assert not any(trial.state == TrialState.RUNNING for trial in run.study.get_trials())


class DeadTrainer(TableTrainer):
    """Cannot even be unpickled in a worker."""

    def __reduce__(self):
        return os._exit, (3,)


def test_workers_that_cannot_start_end_the_search_with_a_message(table_search, tiny_task):
    """No endless restarting."""
    with pytest.raises(RunError, match="die as soon as they start"):
        table_search(n_trials=4, workers=2, training=DeadTrainer(tiny_task))


def test_a_pool_answers_every_job_once(tiny_space, tiny_task):
    """Each submitted job gives one final message."""
    pool = LocalPool([TableTrainer(tiny_task)] * 2)
    genotypes = list(_references(tiny_space).values())
    waiting = [Job(number, genotype, 0) for number, genotype in enumerate(genotypes)]
    ended = []

    def handle(message):
        if isinstance(message, (Finished, Failed)):
            ended.append(message.number)

    try:
        while len(ended) < len(genotypes):
            while waiting and pool.room:
                pool.submit(waiting.pop())
            pool.wait(handle, 1.0)
    finally:
        pool.close()
    assert sorted(ended) == list(range(len(genotypes)))


SCRIPT = """
import sys, time
from pathlib import Path
from attn_nas.space.task import Task
from attn_nas.engine.search import Search
from attn_nas.execution.settings import Local
from attn_nas.testing import TableTrainer

class Slow(TableTrainer):
    def __call__(self, genotype, seed, on_epoch):
        time.sleep(float(sys.argv[5]))
        return super().__call__(genotype, seed, on_epoch)

if __name__ == "__main__":
    folder, workers, resume = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "resume"
    trainer, run = Slow(Task(3, 16, 16, 10)), folder / "run"
    search = Search.load(run, training=trainer) if resume else Search(sys.argv[4], run=run, training=trainer)
    search.optimize(n_trials=12, confirm=0, execution=Local(workers=workers))
"""


@pytest.fixture
def script(tmp_path, tiny_file):
    """A search of 12 slow candidates as a process of its own."""
    (tmp_path / "script.py").write_text(SCRIPT)

    def start(workers, mode="new", seconds=0.4):
        command = [sys.executable, str(tmp_path / "script.py"), str(tmp_path), str(workers), mode, str(tiny_file), str(seconds)]
        return warm.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, start_new_session=True)

    return start


def _count(folder, event):
    log = folder / "run" / "events.jsonl"
    if not log.exists():
        return 0
    return sum(json.loads(line)["event"] == event for line in log.read_text().splitlines())


def _wait_for(folder, number, event="TrialFinished"):
    deadline = time.monotonic() + 300
    while _count(folder, event) < number:
        assert time.monotonic() < deadline, "the search does not get on"
        time.sleep(0.05)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_killed_coordinator_is_resumed_to_the_exact_budget(script, tmp_path, workers):
    """After kill -9 nothing finished is lost, nothing stays running, and no candidate is trained twice."""
    process = script(workers)
    _wait_for(tmp_path, 3)
    process.kill()
    process.wait()
    assert script(workers, "resume", seconds=0).wait(300) == 0
    run = Run(tmp_path / "run")
    assert len(run.candidates) == 12
    assert len({candidate.record.key for candidate in run.candidates}) == 12
    assert not any(trial.state == TrialState.RUNNING for trial in run.study.get_trials())
    assert not (tmp_path / "run" / ".cache").exists()


def _cut(run):
    """Trials that began and did not end; others may have been asked for ahead."""
    return [
        each for each in run.records if each.state != "finished" and each.reason != "the search ended before it was trained"
    ]


@pytest.mark.parametrize("workers", [1, 2])
def test_one_interrupt_finishes_what_runs_and_two_stop_now(script, tmp_path, workers):
    """As a terminal sends it, to all processes: after one SIGINT no trial is cut, after two the cut ones are put back."""
    process = script(workers)
    _wait_for(tmp_path, 2)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(300) == 0
    first = Run(tmp_path / "run")
    assert 2 <= len(first.candidates) < 12
    assert _cut(first) == []
    assert _count(tmp_path, "TrialStarted") == len(first.candidates)

    before = _count(tmp_path, "TrialStarted")
    process = script(workers, "resume", seconds=20)
    _wait_for(tmp_path, before + workers, "TrialStarted")
    os.killpg(process.pid, signal.SIGINT)
    time.sleep(0.5)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(300) == 0
    second = Run(tmp_path / "run")
    assert not any(trial.state == TrialState.RUNNING for trial in second.study.get_trials())
    assert [(record.state, record.reason) for record in _cut(second)] == [("interrupted", "stopped by the user")] * workers

    assert script(workers, "resume", seconds=0).wait(300) == 0
    run = Run(tmp_path / "run")
    assert len(run.candidates) == 12
    assert len({candidate.record.key for candidate in run.candidates}) == 12


def test_real_training_repeats_itself(tiny_space, tmp_path):
    """Same seed, one worker: the same curves, to the last digit."""
    runs = [
        Search(tiny_space, run=tmp_path / str(number)).optimize(n_trials=2, confirm=0, execution=Local(workers=1))
        for number in range(2)
    ]
    curves = [[candidate.record.result.curve for candidate in run.candidates] for run in runs]
    assert curves[0] == curves[1]


def test_a_search_in_this_process_leaves_its_threads_alone(tiny_space, tmp_path):
    """The trainer's own number of threads is gone when it has trained."""
    before = torch.get_num_threads()
    Search(tiny_space, run=tmp_path / "run").optimize(
        n_trials=1, confirm=0, execution=Local(workers=1, threads=min(2, usable_cores()))
    )
    assert torch.get_num_threads() == before


def test_real_training_keeps_the_weights_of_the_front_and_the_references(tiny_space, tmp_path):
    """Two real workers; dominated candidates leave no weights behind; the shared data are cleared away."""
    run = Search(tiny_space, run=tmp_path / "run").optimize(n_trials=6, confirm=0, execution=Local(workers=2))
    assert len(run.candidates) == 6
    kept = {path.stem for path in run.folder.weights.glob("*.safetensors")}
    measured = front_indices([(each.measured.value, *each.costs.values()) for each in run.candidates])
    confirmed = [each for each in run.candidates if len(each.results) > 1]
    wanted = [*run.front, *run.references, *confirmed, *(run.candidates[i] for i in measured)]
    assert kept == {each.record.key for each in wanted}
    assert not run.folder.cache.exists()
