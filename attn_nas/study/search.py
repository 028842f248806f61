"""`search`: a space, a budget and a run folder go in, a finished run comes out."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import yaml
from optuna.study import Study

from attn_nas.cost import CONVENTION, CostTable
from attn_nas.data import Dataset, load_dataset
from attn_nas.errors import SpaceError, UsageError
from attn_nas.front import Point
from attn_nas.proxy import Numerics, choose_numerics
from attn_nas.proxy.device import Device, resolve_device
from attn_nas.proxy.train import channel_statistics
from attn_nas.space.encoding import Encoding
from attn_nas.space.genotype import Genotype
from attn_nas.space.loading import load_space
from attn_nas.space.references import reference_genotypes
from attn_nas.space.schema import SearchSpace
from attn_nas.study.coordinator import Coordinator
from attn_nas.study.events import Event, JsonLines, Listener, SearchFinished, SearchStarted
from attn_nas.study.executors import Executor, InProcess, LocalPool
from attn_nas.study.folder import RunFolder, latest_run_folder, new_run_folder
from attn_nas.study.jobs import Trainer
from attn_nas.study.proposer import SamplerFactory, tpe
from attn_nas.study.results import Run
from attn_nas.study.storage import open_study
from attn_nas.study.trainer import ProxyTrainer, share_dataset
from attn_nas.version import __version__

DEFAULT_SPACE = "cued_digits"
DEFAULT_BUDGET = 50


def search(
    space: SearchSpace | str | Path | None = None,
    *,
    budget: int | None = None,
    run: str | Path | None = None,
    seed: int | None = None,
    workers: int | None = None,
    device: str = "auto",
    resume: bool = False,
    download: bool = False,
    sampler: SamplerFactory = tpe,
    trainer: Trainer | None = None,
    listeners: Sequence[Listener] = (),
) -> Run:
    """Search for attention placements until ``budget`` candidates are trained; returns the run.

    A new run takes the embedded space, a budget of 50 and seed 0 unless told otherwise. A resumed one keeps what it began
    with, but takes a new budget. ``workers`` is one per core on a CPU and one on a GPU; a single one trains in this process.
    With several, call this under ``if __name__ == "__main__":``. ``trainer`` replaces the proxy training.

    Raises:
        UsageError, SpaceError, DataError, DeviceError: the input cannot be used; nothing was written.
        RunError: the run folder cannot be read or written.

    """
    for name, number, least in (("budget", budget, 1), ("workers", workers, 1), ("seed", seed, 0)):
        if number is not None and number < least:
            raise UsageError(f"{name} = {number}: choose an integer of at least {least}")
    if resume:
        folder = RunFolder(run) if run else latest_run_folder()
        meta = _stored_meta(folder, space, seed)
    else:
        name, loaded = _named_space(space)
        folder = RunFolder(run) if run else new_run_folder(name)
        meta = {"space_name": name, "space": loaded.model_dump(mode="json"), "seed": seed or 0}
        folder.check_free()
    meta["budget"] = budget or meta.get("budget", DEFAULT_BUDGET)
    setting = _Setting(meta, workers, device, download)
    folder.create()
    with folder.locked():
        study = open_study(folder.study, create=not resume)
        for key, value in setting.meta.items():
            if study.user_attrs.get(key) != value:
                study.set_user_attr(key, value)
        if not resume:
            settings = setting.space.model_dump(mode="json", exclude_none=True)
            folder.space.write_text(yaml.safe_dump(settings, sort_keys=False))
        with folder.events.open("a", encoding="utf-8") as log:
            _run(setting, folder, study, sampler, trainer, (JsonLines(log), *listeners))
    return Run(folder.path)


def _named_space(space: SearchSpace | str | Path | None) -> tuple[str, SearchSpace]:
    if isinstance(space, SearchSpace):
        return "search", space
    source = space or DEFAULT_SPACE
    return Path(source).stem, load_space(source)


def _stored_meta(folder: RunFolder, space: SearchSpace | str | Path | None, seed: int | None) -> dict[str, Any]:
    meta = Run(folder.path).meta
    if space is not None and _named_space(space)[1] != SearchSpace.model_validate(meta["space"]):
        raise UsageError(f"{folder.path} was begun with another search space: leave --space out, or begin a new run")
    if seed is not None and seed != meta["seed"]:
        raise UsageError(f"{folder.path} was begun with seed {meta['seed']}: leave --seed out, or begin a new run")
    return meta


class _Setting:
    """Everything a search needs that follows from its settings and this machine; raises before anything is written."""

    def __init__(self, meta: dict[str, Any], workers: int | None, device: str, download: bool) -> None:
        self.space = SearchSpace.model_validate(meta["space"])
        chosen: Device = resolve_device(device)
        self.workers = workers or (len(os.sched_getaffinity(0)) if chosen == "cpu" else 1)
        self.threads = max(1, len(os.sched_getaffinity(0)) // self.workers)
        self.dataset: Dataset = load_dataset(self.space.data, download=download)
        self.encoding = Encoding(self.space)
        self.table = CostTable(self.encoding.trunk, self.dataset.task)
        self.references: dict[str, Genotype] = reference_genotypes(self.space, self.encoding)
        limit = self.space.limits.max_params
        if limit is not None and self.table.bare.params > limit:
            raise SpaceError(f"limits.max_params = {limit}: the bare trunk has {self.table.bare.params:,} already")
        self.numerics = self._numerics(meta, chosen)
        self.reference_point: Point = tuple(meta.get("reference_point") or self._reference_point())
        self.meta = {
            **meta,
            "numerics": self.numerics.to_dict(),
            "task": asdict(self.dataset.task),
            "normalization": self._normalization(),
            "bare_cost": self.table.bare.to_dict(),
            "reference_point": list(self.reference_point),
            "flops_convention": CONVENTION,
            "versions": {"attn_nas": __version__, "torch": torch.__version__, "python": platform.python_version()},
        }

    def _numerics(self, meta: dict[str, Any], device: Device) -> Numerics:
        if "numerics" in meta:
            stored = Numerics.from_dict(meta["numerics"])
            resolve_device(stored.device)
            return stored
        proxy = self.space.proxy
        return choose_numerics(
            device, proxy.precision, list(self.references.values()), self.dataset.task, proxy.batch_size, self.threads
        )

    def _normalization(self) -> dict[str, list[float]]:
        """Per channel mean and standard deviation of pixels in 0..1."""
        mean, std = channel_statistics(self.dataset.train)
        return {"mean": (mean.flatten() / 255).tolist(), "std": (std.flatten() / 255).tolist()}

    def _reference_point(self) -> Point:
        """Chance accuracy, and the cost of the dearest network of the space."""
        axis = self.space.objectives.cost
        worst = getattr(self.table.bare, axis)
        for index in range(len(self.encoding.trunk.blocks)):
            costs = [getattr(self.table.site(placement, index), axis) for placement in self.encoding.dearest(index)]
            worst += max(0, *costs)
        limits = self.space.limits
        if axis == "flops" and limits.max_added_flops is not None:
            worst = min(worst, self.table.bare.flops + limits.max_added_flops)
        if axis == "params" and limits.max_params is not None:
            worst = min(worst, limits.max_params)
        return self.dataset.task.chance, worst


def _run(
    setting: _Setting,
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
        trainer = ProxyTrainer(setting.space.proxy, setting.numerics, setting.threads, folder.cache, folder.weights)
    executor: Executor = InProcess(trainer) if setting.workers == 1 else LocalPool(trainer, setting.workers)
    coordinator = Coordinator(
        study=study,
        folder=folder,
        encoding=setting.encoding,
        table=setting.table,
        limits=setting.space.limits,
        references=setting.references,
        reference_point=setting.reference_point,
        cost_axis=setting.space.objectives.cost,
        budget=setting.meta["budget"],
        seed=setting.meta["seed"],
        sampler=sampler,
        executor=executor,
        emit=emit,
    )
    emit(
        SearchStarted(
            run=str(folder.path),
            space=setting.meta["space_name"],
            budget=setting.meta["budget"],
            finished=coordinator.finished,
            seed=setting.meta["seed"],
            workers=setting.workers,
            threads=setting.threads,
            numerics=str(setting.numerics),
            trunk=str(setting.encoding.trunk),
            num_sites=setting.encoding.num_genes,
        )
    )
    why = coordinator.run()
    emit(
        SearchFinished(
            run=str(folder.path),
            why=why,
            finished=coordinator.finished,
            budget=setting.meta["budget"],
            seconds=time.monotonic() - start,
            training_seconds=coordinator.training_seconds,
        )
    )
