"""`search`: a space, a budget and a run folder go in, a finished run comes out."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import yaml
from optuna.study import Study
from pydantic import ValidationError

from attn_nas.errors import RunError, UsageError, first_line
from attn_nas.sampling import WARM_START, KnownCostSampler
from attn_nas.space.loading import load_space
from attn_nas.space.schema import LimitSettings, SearchSpace
from attn_nas.study.clock import Clock
from attn_nas.study.coordinator import Coordinator
from attn_nas.study.earlier import earlier_trainings
from attn_nas.study.events import Event, JsonLines, Listener, SearchFinished, SearchStarted
from attn_nas.study.facts import Setting, new_facts, stored_facts
from attn_nas.study.folder import RunFolder, latest_run_folder, new_run_folder
from attn_nas.study.jobs import PausingTrainer, Trainer
from attn_nas.study.packing import make_executor
from attn_nas.study.proposer import SamplerFactory
from attn_nas.study.resources import Resources
from attn_nas.study.results import Run
from attn_nas.study.storage import FACTS, STORAGE_ERRORS, create_study, open_study
from attn_nas.study.trainer import ProxyTrainer, share_dataset

DEFAULT_SPACE = "cued_digits"
DEFAULT_BUDGET = 50
DEFAULT_CONFIRM = 2
_MAX_SEED = 2**31 - 1


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
    workers: int | None = None,
    threads: int | None = None,
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
    this under ``if __name__ == "__main__":``. ``precision``, ``max_flops`` and ``max_params`` override the space's.
    With ``early_stopping`` candidates that will hardly be on the front are paused (see `Stopping`); off by default.
    ``warm_start`` is the folder of an earlier run on the same trunk that the sampler learns from. ``trainer`` replaces the
    proxy training.

    Raises:
        UsageError, SpaceError, DataError, DeviceError: the input cannot be used; nothing was written (unless a GPU proves
            too small for a candidate: then the run is begun, and ``resume`` goes on with it).
        RunError: the run folder cannot be read or written, or a GPU has failed.

    """
    start = time.monotonic()
    for name, number, least in (("budget", budget, 1), ("confirm", confirm, 0), ("seed", seed, 0)):
        if number is not None and not least <= number <= _MAX_SEED:
            raise UsageError(f"{name} = {number}: choose an integer of at least {least} and at most {_MAX_SEED}")
    if not callable(sampler):
        raise UsageError(f"sampler = {sampler}: give what makes one from (space, costs, seed)")
    if time_budget is not None and time_budget <= 0:
        raise UsageError(f"time_budget = {time_budget}: choose a number of seconds above 0")
    if resume:
        folder = RunFolder(run) if run else latest_run_folder()
        wanted = None if space is None else _named_space(space)[1]
        if max_flops is not None or max_params is not None or warm_start is not None:
            raise UsageError("limits and a warm start belong to the beginning of a run: leave them out, or begin a new run")
        facts = stored_facts(Run(folder.path).meta, folder.path, wanted, seed, budget, time_budget, confirm, early_stopping)
    else:
        name, loaded = _named_space(space)
        loaded = _limited(loaded, max_flops, max_params)
        earlier = earlier_trainings(Run(warm_start), loaded) if warm_start else []
        folder = RunFolder(run) if run else new_run_folder(name)
        folder.check_free()
        trials = DEFAULT_BUDGET if budget is None and time_budget is None else budget
        confirmed = DEFAULT_CONFIRM if confirm is None else confirm
        facts = new_facts(name, loaded, seed or 0, trials, confirmed, early_stopping=bool(early_stopping))
    if facts["early_stopping"] and trainer is not None and not isinstance(trainer, PausingTrainer):
        raise UsageError(f"{type(trainer).__name__} cannot pause a training: give it train_until, or leave early_stopping out")
    setting = Setting(facts, folder.path, device=device, precision=precision, download=download)
    clock = Clock(start, time_budget)
    resources = Resources.choose(setting.numerics, setting.facts["budget"] or _MAX_SEED, workers, threads)
    folder.create()
    with folder.locked():
        if not resume:
            folder.check_free()
            setting.facts["space"]["plugins"] = folder.keep_plugins(setting.space.plugins)
            settings = {
                **setting.space.model_dump(mode="json", exclude_none=True),
                "plugins": setting.facts["space"]["plugins"],
            }
            folder.space.write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
            create_study(
                folder.study,
                len(setting.space.objectives.costs),
                {FACTS: setting.facts, WARM_START: [each.to_list() for each in earlier]},
            )
        study = open_study(folder.study)
        study.set_user_attr(FACTS, setting.facts)
        try:
            with folder.events.open("a", encoding="utf-8") as log:
                _run(setting, clock, resources, folder, study, sampler, trainer, (JsonLines(log), *listeners))
        except BrokenPipeError:  # a listener's, not the folder's
            raise
        except STORAGE_ERRORS as error:
            raise RunError(
                f"{folder.path} cannot be written any more: {first_line(error)}. What was finished is kept: make room, then "
                "go on with --resume"
            ) from error
    return Run(folder.path)


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
    setting: Setting,
    clock: Clock,
    resources: Resources,
    folder: RunFolder,
    study: Study,
    sampler: SamplerFactory,
    trainer: Trainer | None,
    listeners: Sequence[Listener],
) -> None:
    def emit(event: Event) -> None:
        for listener in listeners:
            listener(event)

    if trainer is None:
        share_dataset(setting.dataset, folder.cache)
        trainer = ProxyTrainer(
            setting.space.proxy,
            setting.numerics,
            resources.threads,
            folder.cache,
            folder.trunks,
            folder.weights,
            folder.pauses,
            profiled=True,
        )
    executor = make_executor(trainer, resources, setting.affordable_references)
    try:
        coordinator = Coordinator(setting, clock, folder, study, sampler, executor, emit)
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
