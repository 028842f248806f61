"""`search`: a space, a budget and a run folder go in, a finished run comes out."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import yaml
from optuna.study import Study

from attn_nas.errors import RunError, UsageError, first_line
from attn_nas.space.loading import load_space
from attn_nas.space.schema import SearchSpace
from attn_nas.study.coordinator import Coordinator
from attn_nas.study.events import Event, JsonLines, Listener, SearchFinished, SearchStarted
from attn_nas.study.facts import Setting, new_facts, stored_facts
from attn_nas.study.folder import RunFolder, latest_run_folder, new_run_folder
from attn_nas.study.jobs import Trainer
from attn_nas.study.packing import make_executor
from attn_nas.study.proposer import SamplerFactory, tpe
from attn_nas.study.resources import Resources
from attn_nas.study.results import Run
from attn_nas.study.storage import FACTS, STORAGE_ERRORS, create_study, open_study
from attn_nas.study.trainer import ProxyTrainer, share_dataset

DEFAULT_SPACE = "cued_digits"
DEFAULT_BUDGET = 50
_MAX_SEED = 2**31 - 1


def search(
    space: SearchSpace | str | Path | None = None,
    *,
    budget: int | None = None,
    run: str | Path | None = None,
    seed: int | None = None,
    workers: int | None = None,
    threads: int | None = None,
    device: str = "auto",
    precision: str | None = None,
    resume: bool = False,
    download: bool = False,
    sampler: SamplerFactory = tpe,
    trainer: Trainer | None = None,
    listeners: Sequence[Listener] = (),
) -> Run:
    """Search for attention placements until ``budget`` candidates are trained; returns the run.

    A new run takes the embedded space, a budget of 50 and seed 0 unless told otherwise. A resumed one keeps what it began
    with, but takes a new budget. ``workers`` of one thread each are one per core on a CPU; on GPUs their number is measured
    before the search begins. A single one trains in this process; with several, call this under
    ``if __name__ == "__main__":``. ``precision`` overrides the space's. ``trainer`` replaces the proxy training.

    Raises:
        UsageError, SpaceError, DataError, DeviceError: the input cannot be used; nothing was written (unless a GPU proves
            too small for a candidate: then the run is begun, and ``resume`` goes on with it).
        RunError: the run folder cannot be read or written, or a GPU has failed.

    """
    for name, number, least in (("budget", budget, 1), ("seed", seed, 0)):
        if number is not None and not least <= number <= _MAX_SEED:
            raise UsageError(f"{name} = {number}: choose an integer of at least {least} and at most {_MAX_SEED}")
    if resume:
        folder = RunFolder(run) if run else latest_run_folder()
        wanted = None if space is None else _named_space(space)[1]
        facts = stored_facts(Run(folder.path).meta, folder.path, wanted, seed, budget)
    else:
        name, loaded = _named_space(space)
        folder = RunFolder(run) if run else new_run_folder(name)
        folder.check_free()
        facts = new_facts(name, loaded, seed or 0, budget or DEFAULT_BUDGET)
    setting = Setting(facts, folder.path, device=device, precision=precision, download=download)
    resources = Resources.choose(setting.numerics, setting.facts["budget"], workers, threads)
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
            create_study(folder.study, setting.facts)
        study = open_study(folder.study)
        study.set_user_attr(FACTS, setting.facts)
        try:
            with folder.events.open("a", encoding="utf-8") as log:
                _run(setting, resources, folder, study, sampler, trainer, (JsonLines(log), *listeners))
        except STORAGE_ERRORS as error:
            raise RunError(
                f"{folder.path} cannot be written any more: {first_line(error)}. What was finished is kept: make room, then "
                "go on with --resume"
            ) from error
    return Run(folder.path)


def _named_space(space: SearchSpace | str | Path | None) -> tuple[str, SearchSpace]:
    if isinstance(space, SearchSpace):
        return "search", space
    source = space or DEFAULT_SPACE
    return Path(source).stem, load_space(source)


def _run(
    setting: Setting,
    resources: Resources,
    folder: RunFolder,
    study: Study,
    sampler: SamplerFactory,
    trainer: Trainer | None,
    listeners: Sequence[Listener],
) -> None:
    start = time.monotonic()

    def emit(event: Event) -> None:
        for listener in listeners:
            listener(event)

    if trainer is None:
        share_dataset(setting.dataset, folder.cache)
        trainer = ProxyTrainer(
            setting.space.proxy, setting.numerics, resources.threads, folder.cache, folder.trunks, folder.weights, profiled=True
        )
    executor = make_executor(trainer, resources, setting.affordable_references)
    try:
        coordinator = Coordinator(setting, folder, study, sampler, executor, emit)
        emit(
            SearchStarted(
                run=str(folder.path),
                space=setting.facts["space_name"],
                budget=setting.facts["budget"],
                finished=coordinator.finished,
                front=coordinator.front,
                seed=setting.facts["seed"],
                workers=executor.workers,
                threads=resources.threads,
                gpus=resources.gpus,
                cores=resources.cores,
                numerics=str(setting.numerics),
                trunk=str(setting.encoding.trunk),
                num_sites=setting.encoding.num_genes,
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
            budget=setting.facts["budget"],
            seconds=time.monotonic() - start,
            training_seconds=coordinator.training_seconds,
        )
    )
