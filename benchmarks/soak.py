"""Does a run survive `kill -9`, at every write of its study and at random moments? Runs are killed, resumed and examined.

Trainings answer at once, but for the kinds whose name says that they are real. Exit code 1 if anything was lost, trained twice,
left running or left over.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

from attn_nas.training.protocol import TrainFunction

os.environ.setdefault("OMP_NUM_THREADS", "1")

import optuna
from common import make_parser, present
from optuna.trial import TrialState
from safetensors import safe_open
from sqlalchemy import Engine, event

from attn_nas.engine.search import Search
from attn_nas.execution.resources import Resources
from attn_nas.execution.settings import Local
from attn_nas.export import export_front
from attn_nas.followups.retraining import Retraining
from attn_nas.report import write_front
from attn_nas.runs.run import Run
from attn_nas.space.task import Task
from attn_nas.stats.pareto import front_indices
from attn_nas.testing import TableTrainer

TINY = Path(__file__).parents[1] / "tests" / "data" / "tiny.yaml"
TASK = Task(3, 16, 16, 10)
FAKE, POOLED, REAL = 6, 16, 4
"""Budgets of the runs: those that answer at once, with workers, and really trained ones."""
FEW_POOLED = 8
"""That of runs with workers, with ``--quick``."""
MODEL_FILES = ("model.py", "model.safetensors", "insert.py", "config.json", "README.md", "placements.svg")
_PATIENCE = 180.0

Work = Callable[[], Any]
Violations = list[str]


@dataclass
class Soak:
    """What was killed, and what was wrong then."""

    folder: Path
    chance: random.Random
    pooled: int = POOLED
    kills: Counter[str] = field(default_factory=Counter)
    resumed: int = 0
    violations: Violations = field(default_factory=list)

    def finish(self, kind: str, run: Path, work: Work, check: Callable[[Path], Violations], *, last: bool = True) -> None:
        """Let a killed run come to its end, and examine that; a sound one is removed when this is the ``last`` of it."""
        before = len(self.violations)
        if ended := end_of(begin(work)):
            self.violations.append(f"{kind}, {run.name}: it cannot be resumed, exit code {ended}")
        self.resumed += 1
        self.examine(kind, run, check)
        if last and len(self.violations) == before:
            shutil.rmtree(run)
        print(f"{sum(self.kills.values())} kills, {len(self.violations)} violations, {run.name}", file=sys.stderr, flush=True)

    def examine(self, kind: str, run: Path, check: Callable[[Path], Violations]) -> None:
        """Note what ``check`` finds in ``run``."""
        self.violations += [f"{kind}, {run.name}: {each}" for each in answer_of(lambda: check(run))]


# --- Processes


def begin(work: Work) -> int:
    """Do ``work`` in a fork, which starts in no time because everything is imported here; returns its number."""
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        os.setpgid(0, 0)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        work()
        code = 0
    finally:
        os._exit(code)


def answer_of(work: Work) -> Any:
    """What ``work``, done in a fork, gives back, by way of JSON."""
    with tempfile.NamedTemporaryFile("r") as answer:
        ended = end_of(begin(lambda: Path(answer.name).write_text(json.dumps(work()))))
        return json.loads(answer.read()) if ended == 0 else [f"the examination ended with {ended}"]


def end_of(process: int) -> int:
    """The exit code of a fork."""
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def has_ended(process: int) -> bool:
    """Whether a fork is over, which is still to be waited for."""
    return os.waitid(os.P_PID, process, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def killed(process: int, when: Callable[[], bool]) -> bool:
    """Kill ``process`` as soon as ``when``; False if it came to its end before."""
    wait_until(when, process)
    os.kill(process, signal.SIGKILL)
    return end_of(process) == -signal.SIGKILL


def wait_until(when: Callable[[], bool], process: int) -> None:
    """Wait for a moment in the life of ``process``, or for its end."""
    until = time.monotonic() + _PATIENCE
    while not when() and not has_ended(process) and time.monotonic() < until:
        time.sleep(0.005)


def after(seconds: float) -> Callable[[], bool]:
    """The moment so many seconds from now."""
    until = time.monotonic() + seconds
    return lambda: time.monotonic() > until


def has_told(run: Path, number: int) -> Callable[[], bool]:
    """The moment at which so many trials are told as finished."""
    return lambda: len(told(run)) >= number


def has_event(run: Path, name: str) -> Callable[[], bool]:
    """The moment at which an event of this name is told."""
    log = run / "events.jsonl"
    return lambda: log.exists() and f'"{name}"' in log.read_text()


def has_files(folder: Path, pattern: str, number: int) -> Callable[[], bool]:
    """The moment at which so many such files are there."""
    return lambda: len([*folder.glob(pattern)]) >= number


def children_of(process: int) -> list[int]:
    """The processes that it has started and that are still there."""
    with suppress(OSError):
        return [*map(int, Path(f"/proc/{process}/task/{process}/children").read_text().split())]
    return []


def workers_of(process: int) -> list[int]:
    """The worker processes of a search: children of the server that forks them, which is its only child with children."""
    return [worker for child in children_of(process) for worker in children_of(child)]


# --- What the processes do


def _search(run: Path, trainer: TrainFunction | None = None) -> Search:
    """The search of a run that has begun, or a new one."""
    return Search.load(run, training=trainer) if (run / "study.db").exists() else Search(TINY, run=run, training=trainer)


def fake_search(run: Path, budget: int = FAKE, workers: int = 1, seconds: float = 0.004) -> None:
    """Begin a run, or go on with it; confirmed with one seed."""
    trainer = TableTrainer(TASK, epochs=2, seconds=seconds)
    found = _search(run, trainer).optimize(n_trials=budget, confirm=1, execution=Local(workers=workers))
    write_front(found, run)


def real_search(run: Path) -> None:
    """The same with real training, weights, and models at the end."""
    found = _search(run).optimize(n_trials=REAL, confirm=1, execution=Local(workers=1))
    write_front(found, run)
    export_front(found, run / "export", force=True, prune=True)


def retrain(run: Path) -> None:
    """Full training of the pick, the references and a plain trunk, for two epochs with one seed."""
    opened = Run(run)
    assert opened.pick
    planned = Retraining(opened, [opened.pick], epochs=2, seeds=1)
    resources = Resources.choose(opened.manifest.numerics, 1, workers=1)
    planned.train(resources, lambda *_: None)
    planned.write(planned.result())


@contextmanager
def dying_at(statement: int) -> Iterator[list[int]]:
    """Kill this process in the middle of the transaction of the so-manieth statement that writes, or at its commit.

    Yields the number of such moments so far; 0 kills at none.
    """
    passed = [0]

    def count() -> None:
        passed[0] += 1
        if passed[0] == statement:
            os.kill(os.getpid(), signal.SIGKILL)

    def executing(connection: Any, cursor: Any, text: str, *_: Any) -> None:
        if text.lstrip().upper().startswith(("INSERT", "UPDATE", "DELETE")):
            count()

    event.listen(Engine, "after_cursor_execute", executing)
    event.listen(Engine, "commit", lambda _: count())
    yield passed


def counted_search(run: Path, statement: int) -> int:
    """`fake_search` that dies there; returns how many moments there were."""
    with dying_at(statement) as passed:
        fake_search(run)
        return passed[0]


# --- What must hold


def told(run: Path) -> dict[str, float]:
    """Accuracy by trial number of what was said to be finished; a line that was cut says nothing."""
    log, found = run / "events.jsonl", {}
    for line in log.read_text().splitlines() if log.exists() else ():
        with suppress(ValueError):
            each = json.loads(line)
            if each["event"] == "TrialFinished":
                found[str(each["number"])] = each["accuracy"]
    return found


def trials_of(run: Path) -> list[optuna.trial.FrozenTrial]:
    """The trials, read by Optuna alone."""
    study = optuna.load_study(storage=f"sqlite:///{run / 'study.db'}", study_name="attn-nas")
    return study.get_trials(deepcopy=False)


def cut_wrong(run: Path) -> Violations:
    """What is wrong with a run that was killed: it opens, it is sound, and has all that was told."""
    if not (run / "study.db").exists():
        return ["trials were told of a run without a study"] if told(run) else []
    with closing(sqlite3.connect(run / "study.db")) as connection:
        sound = connection.execute("PRAGMA integrity_check").fetchone()[0]
    complete = {str(trial.number): trial.values[0] for trial in trials_of(run) if trial.state == TrialState.COMPLETE}
    lost = {number for number, accuracy in told(run).items() if complete.get(number) != accuracy}
    Run(run)
    return [*([f"the study is damaged: {sound}"] if sound != "ok" else []), *(f"trial {number} was lost" for number in lost)]


def ended_wrong(budget: int, *, real: bool) -> Callable[[Path], Violations]:
    """What is wrong with a run that has come to its end."""

    def wrong(run: Path) -> Violations:
        trials = trials_of(run)
        found = cut_wrong(run)
        found += [f"trial {trial.number} runs for ever" for trial in trials if not trial.state.is_finished()]
        complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
        records = {record.number: record for record in Run(run).records}
        keys = {trial.number: records[trial.number].key for trial in complete}
        trainings = Counter((keys[trial.number], trial.user_attrs["seed"]) for trial in complete)
        found += [
            f"{key} was trained {number} times with seed {seed}" for (key, seed), number in trainings.items() if number > 1
        ]
        counted = {record.key for record in records.values() if record.counts and record.seed == 0}
        found += [f"{len(counted)} candidates for a budget of {budget}"] if len(counted) != budget else []
        found += [f"{path.relative_to(run)} was left" for path in run.rglob("*") if is_leftover(path)]
        found += front_wrong(run, complete, keys)
        return found + (models_wrong(run) if real else [])

    return wrong


def is_leftover(path: Path) -> bool:
    """Whether a file or folder should be gone by the end."""
    return "unfinished" in path.name or path.name.startswith((".export", ".cache", "study.new"))


def front_wrong(run: Path, complete: list[optuna.trial.FrozenTrial], keys: dict[int, str]) -> Violations:
    """Whether the front that was told last is that of the trials."""
    by_key: dict[str, list[optuna.trial.FrozenTrial]] = {}
    for trial in complete:
        by_key.setdefault(keys[trial.number], []).append(trial)
    points = [(fmean(trial.values[0] for trial in trials), trials[0].values[1]) for trials in by_key.values()]
    computed = {list(by_key)[index] for index in front_indices(points)}
    events = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines() if is_json(line)]
    last = next(each["front"] for each in reversed(events) if "front" in each)
    shown = {member["key"] for member in last}
    written = {member["key"] for member in json.loads((run / "front.json").read_text())["front"]}
    found = [f"the front was told as {sorted(shown)}, and is {sorted(computed)}"] if shown != computed else []
    expected = {candidate.record.key for candidate in Run(run).front}
    return found + ([f"front.json has {sorted(written)}, not {sorted(expected)}"] if written != expected else [])


def is_json(line: str) -> bool:
    """Whether a line was written whole."""
    with suppress(ValueError):
        return json.loads(line) is not None
    return False


def models_wrong(run: Path) -> Violations:
    """Whether every member of the front and the pick, and nothing else, are exported, in full."""
    opened = Run(run)
    assert opened.pick
    members = {opened.pick.record.key, *(candidate.record.key for candidate in opened.front)}
    folders = {path.name: path for path in (run / "export").iterdir()}
    found = [f"exported are {sorted(folders)}, the front and the pick {sorted(members)}"] if folders.keys() != members else []
    for key, folder in folders.items():
        found += [f"{key} has no {name}" for name in MODEL_FILES if not (folder / name).is_file()]
        weights = opened.weights(opened.candidate(key))
        with safe_open(folder / "model.safetensors", "pt") as file:
            if file.keys() != list(weights) and set(file.keys()) != set(weights):
                found.append(f"the weights of {key} are not all there")
        if not json.loads((folder / "config.json").read_text()):
            found.append(f"the configuration of {key} is empty")
    return found


def retrained_wrong(run: Path) -> Violations:
    """Whether a full training is complete, and nothing else has come of it."""
    opened = Run(run)
    assert opened.pick
    planned = Retraining(opened, [opened.pick], epochs=2, seeds=1)
    found = [f"{planned.remaining} trainings are missing"] if planned.remaining else []
    found += [] if json.loads((run / "retraining.json").read_text()) else ["retraining.json is empty"]
    return found + [f"{path.relative_to(run)} was left" for path in run.rglob("*") if is_leftover(path)]


# --- Kinds of kills


def soak_writes(soak: Soak, number: int) -> None:
    """At ``number`` writes and commits of a search, evenly spread over all there are (all, if they are fewer)."""
    whole: int = answer_of(partial(counted_search, soak.folder / "whole", 0))
    for moment in sorted({1 + round(index * (whole - 1) / (number - 1)) for index in range(number)}):
        run = soak.folder / f"write-{moment}"
        soak.kills["a write or commit of the study"] += end_of(begin(partial(counted_search, run, moment))) == -signal.SIGKILL
        soak.examine("a write", run, cut_wrong)
        soak.finish("a write", run, partial(fake_search, run), ended_wrong(FAKE, real=False))


def soak_coordinator(soak: Soak, number: int) -> None:
    """The coordinator at random moments, in one run several times."""
    kind, runs = "the coordinator", 0
    while soak.kills[kind] < number:
        run, runs = soak.folder / f"coordinator-{runs}", runs + 1
        for _ in range(4):
            process = begin(partial(fake_search, run))
            soak.kills[kind] += killed(process, after(soak.chance.uniform(0.02, 0.8)))
            soak.examine(kind, run, cut_wrong)
        soak.finish(kind, run, partial(fake_search, run), ended_wrong(FAKE, real=False))


def soak_workers(soak: Soak, number: int) -> None:
    """One of two workers at random moments, twice in a run; the third death would fail a candidate that is hit each time."""
    kind, runs = "a worker", 0
    while soak.kills[kind] < number:
        run, runs = soak.folder / f"worker-{runs}", runs + 1
        work = partial(fake_search, run, soak.pooled, 2, 0.1)
        process = begin(work)
        for wanted in (
            soak.chance.randrange(1, soak.pooled // 2 - 2),
            soak.chance.randrange(soak.pooled // 2 - 1, soak.pooled - 2),
        ):
            wait_until(has_told(run, wanted), process)
            time.sleep(soak.chance.uniform(0, 0.3))
            if workers := workers_of(process):
                os.kill(soak.chance.choice(workers), signal.SIGKILL)
                soak.kills[kind] += 1
        if ended := end_of(process):
            soak.violations.append(f"{kind}, {run.name}: the search ended with {ended}")
        soak.finish(kind, run, work, ended_wrong(soak.pooled, real=False))


def soak_both(soak: Soak, number: int) -> None:
    """The coordinator and one of its workers at the same moment."""
    kind = "the coordinator and a worker"
    for index in range(number):
        run = soak.folder / f"both-{index}"
        work = partial(fake_search, run, soak.pooled, 2, 0.1)
        process = begin(work)
        wait_until(has_told(run, soak.chance.randrange(1, soak.pooled - 2)), process)
        time.sleep(soak.chance.uniform(0, 0.3))
        for worker in workers_of(process)[:1]:
            os.kill(worker, signal.SIGKILL)
        soak.kills[kind] += killed(process, lambda: True)
        soak.examine(kind, run, cut_wrong)
        soak.finish(kind, run, work, ended_wrong(soak.pooled, real=False))


def soak_real(soak: Soak, number: int) -> None:
    """Real trainings, ``number`` times each: while it searches, while it confirms, while it exports, and a full training."""
    for index in range(number):
        run = soak.folder / f"real-{index}"
        work, training = partial(real_search, run), partial(retrain, run)
        moments = {
            "a real search": has_event(run, "TrialFinished"),
            "a real confirmation": has_event(run, "ConfirmationStarted"),
            "an export": has_files(run / "export", ".export-*", 1),
        }
        for kind, begun in moments.items():
            process = begin(work)
            wait_until(begun, process)
            soak.kills[kind] += killed(process, after(soak.chance.uniform(0, 1.5)))
            soak.examine(kind, run, cut_wrong)
        soak.finish("real", run, work, ended_wrong(REAL, real=True), last=False)
        for trained in (1, 2):
            process = begin(training)
            wait_until(has_files(run / "retraining", "*/*.json", trained), process)
            soak.kills["a full training"] += killed(process, after(soak.chance.uniform(0, 0.8)))
        soak.finish("a full training", run, training, retrained_wrong)


KINDS: dict[str, tuple[Callable[[Soak, int], None], int, int]] = {
    "writes": (soak_writes, 60, 3),
    "coordinator": (soak_coordinator, 30, 4),
    "workers": (soak_workers, 8, 1),
    "both": (soak_both, 6, 1),
    "real": (soak_real, 3, 0),
}
"""What is killed how often, in full and with ``--quick``."""


def main() -> None:
    """Kill, resume, examine, print."""
    parser = make_parser(__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0, help="of the random moments")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS), help="what is killed")
    chosen = parser.parse_args()
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        soak = Soak(Path(folder), random.Random(chosen.seed), FEW_POOLED if chosen.quick else POOLED)
        for kind in chosen.kinds:
            kill, number, few = KINDS[kind]
            kill(soak, few if chosen.quick else number)
    total = sum(soak.kills.values())
    rows = [f"{number:5}  {kind}" for kind, number in soak.kills.items()]
    text = "\n".join(
        [*rows, f"{total:5}  kills, {soak.resumed} resumed ends, {len(soak.violations)} violations", *soak.violations]
    )
    present(
        chosen,
        len(soak.violations),
        text,
        seed=chosen.seed,
        kills=dict(soak.kills),
        total=total,
        resumed=soak.resumed,
        violations=soak.violations,
        seconds=time.monotonic() - start,
    )
    raise SystemExit(1 if soak.violations else 0)


if __name__ == "__main__":
    main()
