"""`Search`: a space and a run folder go in; each call of `optimize` goes on until its budget or its time is used up."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from secrets import token_hex
from typing import Any, Self

from attn_nas.data.arrays import shared_dataset
from attn_nas.data.own import OwnData
from attn_nas.engine.objective import GivenObjective, begun_objective, resumed_objective
from attn_nas.engine.session import run_session
from attn_nas.engine.setting import Setting
from attn_nas.engine.time_budget import TimeBudget
from attn_nas.engine.warm_start import prior_trainings
from attn_nas.errors import RunError, UsageError
from attn_nas.events.types import JsonLines, Listener, open_log
from attn_nas.execution.backend import connected
from attn_nas.execution.settings import Local, Ray
from attn_nas.format import parse_seconds
from attn_nas.plugins.user_code import UserCode
from attn_nas.runs.choices import RunChoices, StoredSpace
from attn_nas.runs.code_identity import note_of_changed_modules
from attn_nas.runs.folder import ARRAYS, RunFolder, latest_run_folder, reserve_run_folder
from attn_nas.runs.manifest import RunManifest
from attn_nas.runs.run import Run
from attn_nas.sampling import KnownCostSampler
from attn_nas.sampling.observations import WARM_START, PriorTraining
from attn_nas.sampling.proposer import SamplerFactory
from attn_nas.space.host import Host
from attn_nas.space.loading import load_space
from attn_nas.space.metric import Metric
from attn_nas.space.model_settings import give_function
from attn_nas.space.schema import SearchSpace
from attn_nas.space.trunks import AnyTrunk
from attn_nas.storage.location import check_storage, create_study, move_study
from attn_nas.storage.optuna_db import MANIFEST, PLUGIN_SOURCES, STORAGE_ERRORS, reason_of
from attn_nas.training.objective import ObjectiveSource
from attn_nas.training.protocol import TrainFunction, declared

logger = logging.getLogger(__name__)
DEFAULT_SPACE = "cued_digits"
DEFAULT_TRIALS = 50
DEFAULT_CONFIRM = 1
_MAX_INTEGER = 2**31 - 1


@dataclass(frozen=True)
class _NewRun:
    """The choices for a run that has not begun."""

    name: str
    space: SearchSpace
    seed: int
    prior: Sequence[PriorTraining]
    storage: str | None
    own: OwnData | None = None


class Search:
    """A search for attention placements, kept in a run folder.

    ::

        search = Search(SearchSpace(trunk="resnet18", mechanisms=["se", "eca"]), data="cifar10", run="runs/first")
        search.optimize(n_trials=50, timeout="1h")
        print(search.run.front)

        Search.load("runs/first").optimize(n_trials=100)  # goes on, to 100 candidates in all

    Args:
        space: a `SearchSpace`, the path of a YAML file, or the name of a shipped space; ``cued_digits``, whose
            data are embedded, by default.
        data: data in the place of the space's. The name of a data set, a mapping with ``name``, ``root`` and the other keys of
            the YAML's section ``data``, or `ImageFolder`. Or data themselves: ``(train_dataset, validation_dataset)``, one
            Dataset from which validation images are held out, arrays ``(images, labels)``, or an
            `attn_nas.data.own.OwnData`, which says more. They are read once and kept in the run folder as arrays.
        objective: a training loop of your own, ``objective(model, trial)``, that trains the network and returns the value of a
            metric; or its name, ``"train.py:objective"``. See `attn_nas.training.objective.Trial`.
        metric: the metric of the objective: a name (``"dice"``), a `Metric`, or a mapping with ``name``, ``direction``,
            ``bounded`` and ``unit``. An unknown name means an unbounded metric that is maximised.
        training: recipe of the short training in the place of the space's: a mapping with keys of the YAML's section ``proxy``
            (``{"epochs": 6, "precision": "fp32"}``), of which an objective uses the epochs alone. Or a trainer of your own,
            which is called in the place of ours with a genotype, a seed and a function to report epochs to (see
            `attn_nas.training.protocol`).
        run: the run folder, which must hold no run yet; a new one under ``runs`` by default.
        seed: seed of the sampler and of all trainings.
        sampler: makes the Optuna sampler from (space, costs, seed).
        storage: address of a database server that keeps the study, ``postgresql://user@host/database``; by default the study is
            a file in the run folder.
        warm_start: folder of an earlier run on the same trunk that the sampler learns from.
        name: name of the search, for lists and the default run folder; that of the space's file by default.
        data_root: folder of the files of the data set in the place of ``root`` in ``data``.
        download: whether a data set that is missing may be downloaded.

    Raises:
        UsageError: an argument cannot be used, or the folder holds a run already.
        SpaceError: the space, the data or the recipe has a mistake.
        RunError: the run of ``warm_start`` cannot be read.

    """

    def __init__(
        self,
        space: SearchSpace | str | PathLike[str] | None = None,
        *,
        data: Any = None,
        objective: GivenObjective | None = None,
        metric: str | Metric | Mapping[str, Any] | None = None,
        training: Mapping[str, Any] | TrainFunction | None = None,
        run: str | PathLike[str] | None = None,
        seed: int = 0,
        sampler: SamplerFactory = KnownCostSampler,
        storage: str | None = None,
        warm_start: str | PathLike[str] | None = None,
        name: str | None = None,
        data_root: str | PathLike[str] | None = None,
        download: bool = False,
    ) -> None:
        if seed is None:
            raise UsageError("seed = None: choose an integer of at least 0")
        _check_number("seed", seed, 0)
        if name is not None and not isinstance(name, str):
            raise UsageError(f"name = {name!r}: give text")
        default, loaded = _named_space(space)
        own = None if data is None else OwnData.given(data)
        if data is not None:
            loaded = loaded.with_data(own.settings if own else data)
        if isinstance(training, Mapping):
            loaded = loaded.with_training(**training)
        if loaded.proxy.weights is not None:
            loaded = loaded.with_training(weights=Path(loaded.proxy.weights).expanduser().absolute())
        trainer = None if isinstance(training, Mapping) else training
        _check_callables(trainer, sampler)
        if trainer is None or objective is not None:
            loaded, source = begun_objective(loaded, objective, metric)
            if trainer is not None:
                raise UsageError("training and objective are both functions that train: give one of them")
        else:
            source = None
        if loaded.data is None and loaded.objective is None:
            raise UsageError("the space names no data: add data, as in Search(space, data='cifar10')")
        prior = prior_trainings(Run(warm_start), loaded) if warm_start else []
        folder = RunFolder(run) if run else None
        if folder:
            folder.check_free()
        if storage is not None:
            check_storage(storage)
        new = _NewRun(name or default, loaded, seed, prior, storage, own)
        self._set(folder, new, trainer, sampler, source, data_root=data_root, download=download)

    @classmethod
    def load(
        cls,
        run: str | PathLike[str] | None = None,
        *,
        objective: GivenObjective | None = None,
        model: Callable[..., Any] | None = None,
        training: TrainFunction | None = None,
        sampler: SamplerFactory = KnownCostSampler,
        storage: str | None = None,
        data_root: str | PathLike[str] | None = None,
        download: bool = False,
    ) -> Self:
        """The search of a run folder, to go on with it; the latest run under ``runs`` by default.

        ``storage`` is the address where the study is now, if its server has moved, and ``data_root`` the folder where the files
        of the data set are now, if they have moved: the run then goes on with that folder. A trainer of your own and a sampler
        are not kept in the run: give them again, and an ``objective`` or a function for the ``model`` that has no name, such as
        a closure.

        Raises:
            UsageError: there is no run, or an argument cannot be used.
            RunError: the run cannot be read, or another process works on it.

        """
        if isinstance(training, Mapping):
            raise UsageError(
                "training: the recipe is fixed when a run begins; leave it out, or give a trainer that can be called"
            )
        _check_callables(training, sampler)
        folder = RunFolder(run) if run else latest_run_folder()
        if storage is not None:
            with folder.locked():
                move_study(folder.path, storage)
        manifest = RunManifest.read(folder)
        if model is not None:
            _give_model(manifest, folder, model)
        search = cls.__new__(cls)
        source = None if training else resumed_objective(manifest, folder.path, objective)
        search._set(folder, None, training, sampler, source, data_root=data_root, download=download)
        return search

    def _set(
        self,
        folder: RunFolder | None,
        new: _NewRun | None,
        trainer: TrainFunction | None,
        sampler: SamplerFactory,
        objective: ObjectiveSource | None,
        *,
        data_root: str | PathLike[str] | None,
        download: bool,
    ) -> None:
        self._folder = folder
        self._new = new
        self._trainer = trainer
        self._sampler = sampler
        self._data_root = data_root
        self._download = download
        self._objective = objective
        self._run: Run | None = None

    @property
    def run(self) -> Run:
        """The run as it was after the last `optimize`, or as it is in the folder; raises RunError if it has not begun."""
        if self._run is None:
            self._run = Run(self._begun_folder.path, data_root=self._data_root)
        return self._run

    @property
    def _begun_folder(self) -> RunFolder:
        if self._folder is None:
            raise RunError("the search has not begun: call optimize first")
        return self._folder

    def check(
        self, *, space: SearchSpace | str | PathLike[str] | None = None, seed: int | None = None, precision: str | None = None
    ) -> None:
        """Raise UsageError if a loaded run was begun with another space, seed or precision; None is not checked."""
        manifest = RunManifest.read(self._begun_folder)
        manifest.check(self._begun_folder.path, space=None if space is None else _named_space(space)[1], seed=seed)
        if precision not in (None, "auto", manifest.numerics.precision):
            raise UsageError(
                f"the run was begun in {manifest.numerics.precision}: leave the precision {precision} out, or begin a new run"
            )

    def optimize(
        self,
        n_trials: int | None = None,
        timeout: float | str | None = None,
        *,
        confirm: int | None = None,
        early_stopping: bool | None = None,
        execution: Local | Ray | None = None,
        callbacks: Sequence[Listener] = (),
    ) -> Run:
        """Search until ``n_trials`` candidates are trained in all, then confirm the front; returns the run.

        Up to eight candidates with a chance to be on the front, and the best references, are then trained again with each of
        ``confirm`` new seeds. What an earlier call, or a killed process, has finished counts and is not trained again. With
        several workers call this under ``if __name__ == "__main__":``.

        Args:
            n_trials: number of candidates, those of earlier calls among them; 50 for a new run without a ``timeout``, else as
                before. With a ``timeout`` alone there is no limit by number.
            timeout: seconds, or text such as ``"1h30m"``, within which the search and its confirmation should end, as far as
                can be foreseen.
            confirm: number of new seeds; 1 for a new run, else as before.
            early_stopping: whether candidates that will hardly reach the front are paused; off for a new run, else as before.
            execution: where trainings run: `Local` (this machine, the default) or `Ray`.
            callbacks: functions that are called with each event of `attn_nas.events.types`.

        Raises:
            UsageError, SpaceError, DataError, DeviceError: the input cannot be used; nothing was written (unless a GPU proves
                too small for a candidate: then the run has begun, and the next call goes on with it).
            RunError: the run folder cannot be read or written, or a GPU has failed.

        """
        start = time.monotonic()
        _check_number("n_trials", n_trials, 1)
        _check_number("confirm", confirm, 0)
        seconds = None if timeout is None else parse_seconds("timeout", str(timeout))
        execution = Local() if execution is None else execution
        if not isinstance(execution, Local | Ray):
            raise UsageError(f"execution = {execution!r}: give Local(...) or Ray(...)")
        if early_stopping not in (None, True, False):
            raise UsageError(f"early_stopping = {early_stopping!r}: choose True or False")
        if callable(callbacks) or not all(map(callable, callbacks)):
            raise UsageError(f"callbacks = {callbacks!r}: give a list of functions that take an event")
        choices = self._choices(n_trials, seconds, confirm, early_stopping)
        if choices.early_stopping and self._trainer is not None and not declared(self._trainer).can_pause:
            raise UsageError(
                f"{declared(self._trainer).name} cannot pause a training: give it train_until (see "
                "attn_nas.training.protocol.Trainer), or leave early_stopping out"
            )
        own = self._new.own if self._new else None
        with connected(execution) as backend, _arrays_of(own, self._folder) as arrays:
            setting = Setting(
                choices,
                self._folder.path if self._folder else None,
                device=execution.device,
                data_root=self._data_root,
                download=self._download,
                own=own,
                arrays=arrays,
                choose=backend.numerics,
            )
            jobs = setting.manifest.budget or _MAX_INTEGER
            resources = backend.resources(
                setting.numerics,
                jobs,
                self._workers(execution, setting.encoding.trunk),
                execution.threads,
                execution.trial_seconds,
            )
            folder = self._folder or reserve_run_folder(choices.space_name)
            folder.create()
            with folder.locked():
                if self._new:
                    _begin(folder, setting, self._new, self._objective, arrays)
                    self._folder, self._new = folder, None
                else:
                    _keep_place_of_data(folder, setting)
                if note := note_of_changed_modules(folder, _own_code(setting, self._objective)):
                    logger.warning(note)
                try:
                    with open_log(folder.events) as log:
                        run_session(
                            setting,
                            folder,
                            TimeBudget(start, seconds),
                            backend,
                            resources,
                            self._sampler,
                            self._trainer or self._objective,
                            (JsonLines(log), *callbacks),
                        )
                except BrokenPipeError:  # of a callback, not of the folder
                    raise
                except STORAGE_ERRORS as error:
                    raise RunError(
                        f"{folder.path} cannot be written any more: {reason_of(error)}. What was finished is kept: make "
                        "room, or give leave to write, then resume the run"
                    ) from error
        self._run = Run(folder.path)
        return self._run

    def _workers(self, execution: Local | Ray, network: AnyTrunk) -> int | None:
        """The number of workers that is asked for; one for an objective or a network that other processes cannot load.

        Raises:
            UsageError: such an objective or network is to be trained in other processes.

        """
        if isinstance(network, Host) and not isinstance(execution, Ray) and not network.is_carried:
            if execution.workers not in (None, 1) or execution.trial_seconds is not None:
                network.check_carried()
            return 1
        if self._objective is None or isinstance(execution, Ray) or self._objective.is_carried:
            return execution.workers
        if execution.workers not in (None, 1) or execution.trial_seconds is not None:
            self._objective.check_carried()
        return 1

    def _choices(
        self, n_trials: int | None, seconds: float | None, confirm: int | None, early_stopping: bool | None
    ) -> RunChoices:
        """The manifest of a run that goes on, or the choices for a new one."""
        if self._new is None:
            return RunManifest.read(self._begun_folder).resumed(
                budget=n_trials, time_budget=seconds, confirm=confirm, early_stopping=early_stopping
            )
        return RunChoices(
            space_name=self._new.name,
            space=StoredSpace.of(self._new.space),
            seed=self._new.seed,
            budget=DEFAULT_TRIALS if n_trials is None and seconds is None else n_trials,
            confirm=DEFAULT_CONFIRM if confirm is None else confirm,
            early_stopping=bool(early_stopping),
        )


def search(
    space: SearchSpace | str | PathLike[str] | None = None,
    *,
    n_trials: int | None = None,
    timeout: float | str | None = None,
    run: str | PathLike[str] | None = None,
    seed: int = 0,
    workers: int | None = None,
) -> Run:
    """Begin a search of ``space`` on this machine and return its run; a short cut for `Search` and `Search.optimize`.

    Raises:
        AttnNasError: as there.

    """
    return Search(space, run=run, seed=seed).optimize(n_trials, timeout, execution=Local(workers=workers))


def _check_callables(trainer: object, sampler: object) -> None:
    """Raise UsageError for a trainer or a sampler that cannot be called; None is no trainer."""
    if not callable(sampler):
        raise UsageError(f"sampler = {sampler}: give a function that makes a sampler from (space, costs, seed)")
    if trainer is not None and not callable(trainer):
        raise UsageError(f"training = {trainer!r}: give a mapping of the recipe, or a trainer that can be called")


def _check_number(name: str, number: int | None, least: int) -> None:
    """Raise UsageError for a number, by name, that is not an integer of at least ``least``."""
    if number is None:
        return
    if type(number) is not int or not least <= number <= _MAX_INTEGER:
        raise UsageError(f"{name} = {number!r}: choose an integer of at least {least} and at most {_MAX_INTEGER}")


def _named_space(space: SearchSpace | str | PathLike[str] | None) -> tuple[str, SearchSpace]:
    """A space and the name for the folder of its run."""
    if isinstance(space, SearchSpace):
        return "search", space
    if space is not None and not isinstance(space, str | PathLike):
        raise UsageError(f"space = {space!r}: give a SearchSpace, the path of a YAML file or the name of a shipped space")
    source = Path(space or DEFAULT_SPACE)
    return source.stem, load_space(source if space else DEFAULT_SPACE)


def _give_model(manifest: RunManifest, folder: RunFolder, function: Callable[..., Any]) -> None:
    """Take ``function`` for the network of a run whose function has no name; raises UsageError for another run."""
    name = manifest.space.unnamed_model
    if name is None:
        raise UsageError(f"model: {folder.path} names the function of its network, or has a trunk: leave it out")
    if not callable(function):
        raise UsageError(f"model = {function!r}: give the function that makes the network")
    give_function(name, function)


def _keep_place_of_data(folder: RunFolder, setting: Setting) -> None:
    """Write the search space of a run that goes on again if the files of its data set are in another folder now.

    Raises:
        RunError: its file cannot be written.

    """
    data = setting.space.data
    if data is None or data.root in (None, folder.kept_data_root):
        return
    try:
        _keep_space(folder, setting)
    except OSError as error:
        raise RunError(f"{folder.space} cannot be written: {error.strerror}") from None


def _keep_space(folder: RunFolder, setting: Setting) -> None:
    """Write the space, with the files of its code as the run names them."""
    settings, stored = setting.space.model_dump(mode="json", exclude_none=True), setting.manifest.space
    if stored.objective:
        settings["objective"] = stored.objective.model_dump(mode="json", exclude_none=True)
    if stored.model_file is not None:
        settings["model"]["file"] = stored.model_file
    folder.keep_space({**settings, "plugins": [*stored.plugins]})


def _own_code(setting: Setting, objective: ObjectiveSource | None) -> list[UserCode]:
    """The code of the user that a search runs: that of its objective and of its network."""
    model = setting.space.model
    return [code for code in (objective and objective.code, model and model.code) if code]


@contextmanager
def _arrays_of(own: OwnData | None, folder: RunFolder | None) -> Iterator[Path | None]:
    """An empty folder for the arrays of data that are given, beside the run folder; what stays in it is removed at the end."""
    if own is None:
        yield None
        return
    arrays = (folder.path.parent if folder else Path("runs")) / f".attn-nas-{ARRAYS}-{token_hex(4)}"
    RunFolder(arrays).create()
    try:
        yield arrays
    finally:
        shutil.rmtree(arrays, ignore_errors=True)


def _begin(folder: RunFolder, setting: Setting, new: _NewRun, objective: ObjectiveSource | None, arrays: Path | None) -> None:
    """Write the files of a new run, its study last; if that fails, delete them again and raise RunError.

    ``arrays`` is the folder with the data that were given; it moves into the run folder.
    """
    folder.check_free()
    try:
        if arrays:
            arrays.rename(folder.arrays)
            setting.moved(shared_dataset(folder.arrays))
        sources = folder.keep_plugins(setting.space.plugins)
        code = folder.keep_code(objective.code) if objective and objective.code else {}
        model = folder.keep_code(setting.space.model.code) if setting.space.model and setting.space.model.code else {}
        setting.manifest = setting.manifest.with_files([*sources], next(iter(code), None), next(iter(model), None))
        sources |= code | model
        _keep_space(folder, setting)
        attributes: dict[str, Any] = {WARM_START: [each.to_list() for each in new.prior]}
        if new.storage is not None:
            attributes[PLUGIN_SOURCES] = sources
        attributes[MANIFEST] = setting.manifest.to_stored()  # last: a study with a manifest is a run
        score = setting.space.metric.score_name
        create_study(folder.path, new.storage, setting.space.objectives.costs, attributes, score)
    except OSError as error:
        raise RunError(f"the run folder {folder.path} cannot be written: {error.strerror}") from None
    finally:
        if arrays and not folder.study.exists():
            shutil.rmtree(folder.arrays, ignore_errors=True)
        folder.discard_beginning()
