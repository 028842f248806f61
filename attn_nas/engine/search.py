"""`search`: a space, a budget and a run folder go in, a finished run comes out."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from attn_nas.engine.coordinator import Coordinator
from attn_nas.engine.setting import Setting
from attn_nas.engine.signals import Interrupts
from attn_nas.engine.time_budget import Clock
from attn_nas.engine.warm_start import earlier_trainings
from attn_nas.errors import RunError, UsageError
from attn_nas.events.types import Event, JsonLines, Listener, SearchFinished, SearchStarted, StorageAwaited, open_log
from attn_nas.execution.backend import Hardware, connected
from attn_nas.execution.ray_cluster.settings import RayCluster
from attn_nas.execution.resources import Resources
from attn_nas.files import discard_unfinished
from attn_nas.runs.folder import RunFolder, latest_run_folder, new_run_folder
from attn_nas.runs.manifest import new_facts, stored_facts
from attn_nas.runs.run import Run
from attn_nas.sampling import WARM_START, KnownCostSampler
from attn_nas.sampling.observations import PriorTraining
from attn_nas.sampling.proposer import SamplerFactory
from attn_nas.space.loading import load_space
from attn_nas.space.schema import LimitSettings, SearchSpace
from attn_nas.storage.location import check_storage, create_study, move_study
from attn_nas.storage.open_trials import remember_unfinished
from attn_nas.storage.optuna_db import FACTS, SOURCES, STORAGE_ERRORS, reason_of
from attn_nas.storage.retry import Patience
from attn_nas.training.protocol import PausingTrainer, Trainer
from attn_nas.training.trainer import ProxyTrainer, share_dataset

DEFAULT_SPACE = "cued_digits"
DEFAULT_BUDGET = 50
DEFAULT_CONFIRM = 2
_MAX_SEED = 2**31 - 1
_PATIENCE = 600.0
"""Seconds for which a search waits for a server that was there."""


def search(
    space: SearchSpace | str | Path | None = None,
    *,
    budget: int | None = None,
    time_budget: float | None = None,
    confirm: int | None = None,
    early_stopping: bool | None = None,
    run: str | Path | None = None,
    seed: int | None = None,
    max_flops: int | str | None = None,
    max_params: int | str | None = None,
    warm_start: str | Path | None = None,
    storage: str | None = None,
    workers: int | None = None,
    threads: int | None = None,
    trial_timeout: float | None = None,
    cluster: RayCluster | None = None,
    device: str = "auto",
    precision: str | None = None,
    resume: bool = False,
    download: bool = False,
    sampler: SamplerFactory = KnownCostSampler,
    trainer: Trainer | None = None,
    listeners: Sequence[Listener] = (),
) -> Run:
    """Search for attention placements until the budget is used up, then confirm the front; returns the run.

    It ends when ``budget`` candidates are trained, or so that what is to be done fits into ``time_budget`` seconds of this
    call, as far as that can be foreseen; with a time budget alone there is no other end.

    Candidates that may be on the front are trained again with ``confirm`` new seeds, and so are the references. A new run
    takes the embedded space, a budget of 50, two confirmations and seed 0 unless told otherwise. A resumed one keeps what it
    began with, but takes a new budget and another number of confirmations. ``workers`` of one thread each are one per core on
    a CPU; on GPUs their number is measured before the search begins. A single one trains in this process; with several, call
    this under ``if __name__ == "__main__":``. A worker that takes longer than ``trial_timeout`` seconds for a training is
    replaced, and the candidate trained again, at most three times. With a ``cluster`` Ray trains on its nodes.
    ``precision``, ``max_flops`` and ``max_params`` override the space's.
    With ``early_stopping`` candidates that will hardly be on the front are paused (see `Stopping`); off by default.
    ``warm_start`` is the folder of an earlier run on the same trunk that the sampler learns from. ``storage`` is the address of
    a database server that keeps the study, ``postgresql://user@host/database``, in the place of a file in the run; for a
    resumed run, where that server is now. ``trainer`` replaces the proxy training.

    Raises:
        UsageError, SpaceError, DataError, DeviceError: the input cannot be used; nothing was written (unless a GPU proves
            too small for a candidate: then the run is begun, and ``resume`` goes on with it).
        RunError: the run folder cannot be read or written, or a GPU has failed.

    """
    start = time.monotonic()
    _check(budget=(budget, 1), confirm=(confirm, 0), seed=(seed, 0))
    if not callable(sampler):
        raise UsageError(f"sampler = {sampler}: give what makes one from (space, costs, seed)")
    if time_budget is not None and time_budget <= 0:
        raise UsageError(f"time_budget = {time_budget}: choose a number of seconds above 0")
    if resume:
        folder = RunFolder(run) if run else latest_run_folder()
        wanted = None if space is None else _named_space(space)[1]
        if max_flops is not None or max_params is not None or warm_start is not None:
            raise UsageError("limits and a warm start belong to the beginning of a run: leave them out, or begin a new run")
        if storage is not None:
            with folder.locked():
                move_study(folder.path, storage)
        facts = stored_facts(Run(folder.path).meta, folder.path, wanted, seed, budget, time_budget, confirm, early_stopping)
    else:
        name, loaded = _named_space(space)
        loaded = _limited(loaded, max_flops, max_params)
        earlier = earlier_trainings(Run(warm_start), loaded) if warm_start else []
        folder = RunFolder(run) if run else new_run_folder(name)
        folder.check_free()
        if storage is not None:
            check_storage(storage)
        trials = DEFAULT_BUDGET if budget is None and time_budget is None else budget
        confirmed = DEFAULT_CONFIRM if confirm is None else confirm
        facts = new_facts(name, loaded, seed or 0, trials, confirmed, early_stopping=bool(early_stopping))
    if facts["early_stopping"] and trainer is not None and not isinstance(trainer, PausingTrainer):
        raise UsageError(f"{type(trainer).__name__} cannot pause a training: give it train_until, or leave early_stopping out")
    with connected(cluster, threads) as hardware:
        setting = Setting(facts, folder.path, device=device, precision=precision, download=download, choose=hardware.numerics)
        clock = Clock(start, time_budget)
        jobs = setting.facts["budget"] or _MAX_SEED
        resources = hardware.resources(setting.numerics, jobs, workers, threads, trial_timeout)
        folder.create()
        with folder.locked():
            if not resume:
                _begin(folder, setting, storage, earlier)
            try:
                with open_log(folder.events) as log:
                    _run(hardware, setting, clock, resources, folder, sampler, trainer, (JsonLines(log), *listeners))
            except BrokenPipeError:  # a listener's, not the folder's
                raise
            except STORAGE_ERRORS as error:
                raise RunError(
                    f"{folder.path} cannot be written any more: {reason_of(error)}. What was finished is kept: make room, or "
                    "give leave to write, then go on with --resume"
                ) from error
    return Run(folder.path)


def _check(**numbers: tuple[int | None, int]) -> None:
    """Raise UsageError for a number, by name, that is below the least allowed, or not an integer of that size."""
    for name, (number, least) in numbers.items():
        if number is not None and not least <= number <= _MAX_SEED:
            raise UsageError(f"{name} = {number}: choose an integer of at least {least} and at most {_MAX_SEED}")


def _begin(folder: RunFolder, setting: Setting, storage: str | None, earlier: Sequence[PriorTraining]) -> None:
    """Write what a new run begins with, its study last; what was written is removed if that is not possible."""
    folder.check_free()
    try:
        sources = folder.keep_plugins(setting.space.plugins)
        setting.facts["space"]["plugins"] = [*sources]
        folder.keep_space({**setting.space.model_dump(mode="json", exclude_none=True), "plugins": [*sources]})
        attributes: dict[str, Any] = {WARM_START: [each.to_list() for each in earlier]}
        if storage is not None:
            attributes[SOURCES] = sources
        attributes[FACTS] = setting.facts  # last: what has them is a run
        create_study(folder.path, storage, len(setting.space.objectives.costs), attributes)
    except OSError as error:
        raise RunError(f"the run folder {folder.path} cannot be written: {error.strerror}") from None
    finally:
        folder.discard_beginning()


def _limited(space: SearchSpace, max_flops: int | str | None, max_params: int | str | None) -> SearchSpace:
    """The space with these limits in the place of its own."""
    given = {name: value for name, value in (("max_flops", max_flops), ("max_params", max_params)) if value is not None}
    try:
        limits = LimitSettings.model_validate({**space.limits.model_dump(), **given})
    except ValidationError as error:
        raise UsageError(error.errors()[0]["msg"].removeprefix("Value error, ")) from None
    return space.model_copy(update={"limits": limits})


def _named_space(space: SearchSpace | str | Path | None) -> tuple[str, SearchSpace]:
    if isinstance(space, SearchSpace):
        return "search", space
    source = space or DEFAULT_SPACE
    return Path(source).stem, load_space(source)


def _run(
    hardware: Hardware,
    setting: Setting,
    clock: Clock,
    resources: Resources,
    folder: RunFolder,
    sampler: SamplerFactory,
    trainer: Trainer | None,
    listeners: Sequence[Listener],
) -> None:
    def emit(event: Event) -> None:
        for listener in listeners:
            listener(event)

    interrupts = Interrupts()
    patience = Patience(_PATIENCE, lambda reason: emit(StorageAwaited(reason=reason)), interrupts.pause)
    place = folder.study
    with place.held(patience):
        study = place.open_to_write(patience)
        remember_unfinished(study)
        study.set_user_attr(FACTS, setting.facts)
        executor = hardware.executor(
            trainer or _proxy_trainer(setting, resources, folder), resources, setting.affordable_references
        )
        try:
            coordinator = Coordinator(setting, clock, folder, study, sampler, executor, interrupts, emit)
            emit(
                SearchStarted(
                    run=str(folder.path),
                    space=setting.facts["space_name"],
                    budget=setting.facts["budget"],
                    time_budget=clock.seconds,
                    finished=coordinator.finished,
                    front=coordinator.front,
                    confirm=setting.facts["confirm"],
                    seed=setting.facts["seed"],
                    workers=executor.workers,
                    threads=resources.threads,
                    gpus=resources.gpus,
                    cores=resources.cores,
                    numerics=str(setting.numerics),
                    trunk=str(setting.encoding.trunk),
                    num_sites=setting.encoding.num_genes,
                    epochs=setting.space.proxy.epochs,
                )
            )
            why = coordinator.run()
        finally:
            executor.close()
            discard_unfinished(folder.weights)
        emit(
            SearchFinished(
                run=str(folder.path),
                why=why,
                finished=coordinator.finished,
                confirmed=coordinator.confirmed,
                budget=setting.facts["budget"],
                seconds=clock.elapsed,
                training_seconds=coordinator.training_seconds,
            )
        )


def _proxy_trainer(setting: Setting, resources: Resources, folder: RunFolder) -> ProxyTrainer:
    """What trains the candidates of a search, on data that all workers share."""
    share_dataset(setting.dataset, folder.cache)
    return ProxyTrainer(
        setting.space.proxy,
        setting.numerics,
        resources.threads,
        folder.cache,
        folder.trunks,
        folder.weights,
        folder.pauses,
        profiled=True,
    )
