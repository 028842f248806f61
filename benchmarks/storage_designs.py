"""Two ways to store a running search, by their cost per trial: copy a trial when it begins and ends, or append it at its end.

``copy`` is what a search does: the study is in memory, and a trial is copied to the database when it begins and when it ends.
``append`` writes nothing before a trial ends. Whole searches are measured, sampler included, with 64 workers that are
simulated in this process: a training takes 10 seconds of a clock that counts the processor time of this process and skips
waiting, so other work on the machine does not count. First a ResNet-8 with the default sampler, from nothing; then a ResNet-20
(36 parameters) with a sampler by chance, in runs that have many trials already. ``resume`` is the time from opening such a run
to its first event. With ``--storage`` a PostgreSQL server is measured in the place of SQLite, without its own processor time.
"""

from __future__ import annotations

import heapq
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from common import make_parser, present
from dashboard import deep_space
from optuna.distributions import CategoricalDistribution, distribution_to_json
from optuna.storages._rdb.models import TrialModel, TrialParamModel, TrialUserAttributeModel, TrialValueModel
from overhead import embedded_space
from sqlalchemy import Engine, event, insert, select

from attn_nas.data import load_dataset
from attn_nas.engine import session
from attn_nas.engine.search import Search
from attn_nas.events.types import Event, SearchStarted, TrialFinished
from attn_nas.execution import backend
from attn_nas.execution.jobs import Job, Message, run_job
from attn_nas.execution.settings import Local
from attn_nas.runs.run import Run
from attn_nas.sampling import CURVE, SEED, KnownCostSampler
from attn_nas.sampling.baselines import at_random
from attn_nas.sampling.proposer import SamplerFactory
from attn_nas.space.encoding import Encoding
from attn_nas.space.schema import SearchSpace
from attn_nas.storage import postgres, sqlite
from attn_nas.storage.live_study import LiveStudy
from attn_nas.storage.optuna_db import engine_of
from attn_nas.testing import TableTrainer
from attn_nas.training.protocol import TrainFunction, declared

WORKERS, TRAINING = 64, 10.0
"""Simulated workers, and simulated seconds of a training."""
FRESH, QUICK_FRESH = 640, 256
"""Trials of a search from nothing."""
SIZES, QUICK_SIZES = (1000, 10_000), (200,)
MORE = 256
"""Trials of a search that goes on."""
REPEATS, QUICK_REPEATS = 2, 1
_CHUNK = 500


class AppendedStudy(LiveStudy):
    """A study whose trials reach the database when they have ended, in one transaction."""

    def begin(self, number: int) -> None:
        """Keep the number as an attribute, since the database numbers trials as they end; write nothing."""
        trial_id = self._memory.get_trial_id_from_study_id_trial_number(self._memory_id, number)
        self._memory.set_trial_user_attr(trial_id, "number", number)

    def _copy_end(self, number: int) -> None:
        """Append the trial."""
        self._call(partial(self._storage.create_new_trial, self._id, self._trial(number)))


DESIGNS = {"copy": LiveStudy, "append": AppendedStudy}


class SimulatedWorkers:
    """An executor whose trainings take `TRAINING` seconds of its own clock: processor time of all but trainings, and waits."""

    workers = WORKERS

    def __init__(self, trainer: TrainFunction) -> None:
        self._trainer = declared(trainer)
        self._jobs: list[tuple[float, int, Job]] = []
        self._trained = self._waited = 0.0

    def spent(self) -> float:
        """Processor seconds of this process, without trainings."""
        return time.process_time() - self._trained

    def now(self) -> float:
        """Seconds on the clock."""
        return self.spent() + self._waited

    @property
    def room(self) -> int:
        """See `attn_nas.execution.local.Executor`."""
        return self.workers - len(self._jobs)

    def submit(self, job: Job) -> None:
        """See `attn_nas.execution.local.Executor`."""
        heapq.heappush(self._jobs, (self.now() + TRAINING, job.number, job))

    def wait(self, handle: Callable[[Message], None], timeout: float) -> None:
        """See `attn_nas.execution.local.Executor`."""
        self._waited += max(0.0, min(timeout, self._jobs[0][0] - self.now()))
        messages: list[Message] = []
        while self._jobs and self._jobs[0][0] <= self.now():
            begun = time.process_time()
            run_job(self._trainer, heapq.heappop(self._jobs)[2], messages.append)
            self._trained += time.process_time() - begun
        for message in messages:
            handle(message)

    def close(self) -> None:
        """See `attn_nas.execution.local.Executor`."""


class Meter:
    """Listens to a search of simulated workers and to all databases."""

    def __init__(self, workers: SimulatedWorkers) -> None:
        self._workers = workers
        self._begun = workers.spent()
        self._counts: Counter[str] = Counter()
        self._ended: list[tuple[float, Counter[str]]] = []
        self._resumed = 0.0

    def counting(self, stack: ExitStack) -> None:
        """Count statements and transactions until ``stack`` is left."""
        for name, counted in (("before_cursor_execute", "statements"), ("commit", "transactions")):

            def count(*_: Any, counted: str = counted) -> None:
                self._counts[counted] += 1

            event.listen(Engine, name, count)
            stack.callback(event.remove, Engine, name, count)

    def __call__(self, what: Event) -> None:
        """Take an event in."""
        if isinstance(what, SearchStarted):
            self._resumed = self._workers.spent() - self._begun
        elif isinstance(what, TrialFinished):
            self._ended.append((self._workers.spent(), self._counts.copy()))

    def figures(self) -> dict[str, float]:
        """Means per trial while all workers train: without the first training of each, and without the last ones."""
        (first, before), (last, after) = self._ended[WORKERS - 1], self._ended[-1 - WORKERS]
        trials = len(self._ended) - 2 * WORKERS
        per_trial = {name: (after[name] - before[name]) / trials for name in ("statements", "transactions")}
        return {"processor": (last - first) / trials, **per_trial, "resume": self._resumed}


def measure(folder: Path, space: SearchSpace, design: str, n_trials: int, sampler: SamplerFactory, server: str | None) -> Any:
    """Figures of a search in ``folder``, which is begun unless it is there, up to so many trials."""
    trainer = TableTrainer(load_dataset(space.data).task)
    workers = SimulatedWorkers(trainer)
    with ExitStack() as stack:
        for module in (sqlite, postgres):
            stack.enter_context(patch.object(module, "LiveStudy", DESIGNS[design]))
        for name in ("Lookahead", "Dispatch"):
            stack.enter_context(patch.object(session, name, partial(getattr(session, name), now=workers.now)))
        stack.enter_context(patch.object(backend, "make_executor", lambda *_: workers))
        meter = Meter(workers)
        meter.counting(stack)
        if folder.exists():
            search = Search.load(folder, training=trainer, sampler=sampler)
        else:
            search = Search(space, training=trainer, sampler=sampler, run=folder, storage=server)
        search.optimize(n_trials, confirm=0, execution=Local(workers=1), callbacks=[meter])
    return meter.figures()


def fill(folder: Path, space: SearchSpace, size: int) -> None:
    """Write ended trials by chance in bulk until the study has ``size`` trials."""
    study, encoding, rng = Run(folder).study, Encoding(space), np.random.default_rng(size)
    train, trial, study_id = TableTrainer(load_dataset(space.data).task), TrialModel.__table__.c, study._study_id
    distributions = {name: CategoricalDistribution(values) for name, values in encoding.choices.items()}
    written = {name: distribution_to_json(each) for name, each in distributions.items()}
    times = dict.fromkeys(("datetime_start", "datetime_complete"), datetime.now(UTC).replace(tzinfo=None))
    for start in range(len(study.get_trials(deepcopy=False)), size, _CHUNK):
        rows: dict[Any, list[dict[str, Any]]] = {TrialParamModel: [], TrialValueModel: [], TrialUserAttributeModel: []}
        trials = [
            {"study_id": study_id, "number": number, "state": "COMPLETE", **times}
            for number in range(start, min(start + _CHUNK, size))
        ]
        with engine_of(study).begin() as connection:
            connection.execute(insert(TrialModel.__table__), trials)
            found = connection.execute(select(trial.trial_id).where(trial.study_id == study_id, trial.number >= start))
            for (trial_id,) in found.all():
                params = encoding.random(rng)
                genotype = encoding.decode(params)
                trained = train(genotype, 0, lambda *_: None)
                accuracy = trained.result.accuracy
                attributes = {
                    SEED: 0,
                    "genotype": genotype.to_dict(),
                    "cost": trained.cost.to_dict(),
                    "result": trained.result.to_dict(),
                    CURVE: list(trained.result.curve),
                }
                rows[TrialParamModel] += [
                    {
                        "trial_id": trial_id,
                        "param_name": name,
                        "param_value": distributions[name].to_internal_repr(value),
                        "distribution_json": written[name],
                    }
                    for name, value in params.items()
                ]
                rows[TrialValueModel] += [
                    {"trial_id": trial_id, "objective": objective, "value": value, "value_type": "FINITE"}
                    for objective, value in enumerate((accuracy, float(trained.cost.flops)))
                ]
                rows[TrialUserAttributeModel] += [
                    {"trial_id": trial_id, "key": name, "value_json": json.dumps(value)} for name, value in attributes.items()
                ]
            for model, values in rows.items():
                connection.execute(insert(model.__table__), values)


def all_figures(server: str | None, fresh: int, sizes: Sequence[int], repeats: int) -> list[dict[str, Any]]:
    """A row of figures for each search; the designs take turns."""
    rows: list[dict[str, Any]] = []

    def put(network: str, size: int, design: str, figures: Mapping[str, float]) -> None:
        database = "PostgreSQL" if server else "SQLite"
        rows.append({"network": network, "database": database, "trials": size, "design": design, **figures})
        print(rows[-1], file=sys.stderr, flush=True)

    with tempfile.TemporaryDirectory() as temporary:
        for index, design in enumerate([*DESIGNS] * repeats):
            folder = Path(temporary) / f"fresh-{index}"
            put("ResNet-8", 0, design, measure(folder, embedded_space(), design, fresh, KnownCostSampler, server))
        folder, space = Path(temporary) / "grown", deep_space()
        measure(folder, space, "copy", WORKERS + 1, at_random, server)
        for size in sizes:
            fill(folder, space, size)
            for design in [*DESIGNS] * repeats:
                candidates = len({record.key for record in Run(folder).records if record.counts})
                put("ResNet-20", size, design, measure(folder, space, design, candidates + MORE, at_random, server))
    return rows


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """For a person: means of the searches of a kind, design by design."""
    figures = ("processor", "statements", "transactions", "resume")
    lines = [f"{'network':11}{'database':12}{'trials':>7}  {'design':8}" + "".join(f"{name:>14}" for name in figures)]
    kinds: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for row in rows:
        kinds.setdefault((row["network"], row["database"], row["trials"], row["design"]), []).append(row)
    for (network, database, trials, design), same in kinds.items():
        cells = "".join(f"{fmean(row[name] for row in same):14.3f}" for name in figures)
        lines.append(f"{network:11}{database:12}{trials:7,}  {design:8}{cells}")
    return "\n".join(lines)


def main() -> None:
    """Measure, print."""
    parser = make_parser(__doc__.splitlines()[0])
    parser.add_argument("--storage", help="address of a database on a PostgreSQL server, in the place of SQLite")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    fresh, sizes, repeats = (QUICK_FRESH, QUICK_SIZES, QUICK_REPEATS) if chosen.quick else (FRESH, SIZES, REPEATS)
    rows = all_figures(chosen.storage, fresh, sizes, repeats)
    fresh_copies = [row["processor"] for row in rows if row["design"] == "copy" and not row["trials"]]
    present(chosen, fmean(fresh_copies), table(rows), rows=rows)


if __name__ == "__main__":
    main()
