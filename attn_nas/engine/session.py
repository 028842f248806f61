"""One session of a search: builds its parts and runs them until the search ends or is stopped."""

from __future__ import annotations

from collections.abc import Sequence

from attn_nas.data.arrays import share_dataset
from attn_nas.engine.agenda import Agenda
from attn_nas.engine.confirmation import Confirmation
from attn_nas.engine.early_stopping import EarlyStopping
from attn_nas.engine.journal import Journal
from attn_nas.engine.ledger import Ledger
from attn_nas.engine.lookahead import Lookahead
from attn_nas.engine.loop import Loop
from attn_nas.engine.setting import Setting
from attn_nas.engine.signals import StopSignals
from attn_nas.engine.time_budget import TimeBudget
from attn_nas.engine.weight_retention import WeightRetention
from attn_nas.events.types import Event, Listener, SearchFinished, SearchStarted, StorageAwaited
from attn_nas.execution.backend import Backend
from attn_nas.execution.dispatch import Dispatch
from attn_nas.execution.local import Executor
from attn_nas.execution.resources import Resources
from attn_nas.files import discard_unfinished
from attn_nas.runs.folder import RunFolder
from attn_nas.sampling.proposer import Proposer, SamplerFactory
from attn_nas.space.metric import ACCURACY
from attn_nas.storage.optuna_db import MANIFEST
from attn_nas.storage.retry import RetryPolicy
from attn_nas.training.objective import ObjectiveSource, ObjectiveTrainer
from attn_nas.training.protocol import TrainFunction
from attn_nas.training.trainer import ProxyTrainer

_RETRY_SECONDS = 600.0
"""Seconds for which a search waits for a database server that does not answer any more."""


def run_session(
    setting: Setting,
    folder: RunFolder,
    time_budget: TimeBudget,
    backend: Backend,
    resources: Resources,
    sampler: SamplerFactory,
    trainer: TrainFunction | ObjectiveSource | None,
    listeners: Sequence[Listener],
) -> None:
    """Run a search, which has begun in ``folder``, until it ends; ``listeners`` are called with each event.

    Without a ``trainer`` or an objective in its place, the proxy training of the space is used.

    Raises:
        RunError: the study cannot be read or written, no worker can start, or a GPU has failed.
        DeviceError: a GPU has too little memory for a candidate.

    """

    def emit(event: Event) -> None:
        for listener in listeners:
            listener(event)

    signals = StopSignals()
    retry = RetryPolicy(_RETRY_SECONDS, lambda reason: emit(StorageAwaited(reason=reason)), signals.sleep)
    location, manifest = folder.study, setting.manifest
    with location.held(retry):
        live = location.open_to_write(retry)
        live.set_user_attr(MANIFEST, manifest.to_stored())
        live.name_metrics(setting.space.objectives.costs)  # studies of older versions have no names
        sampled = Proposer(setting.encoding, sampler(setting.space, setting.table, manifest.seed), manifest.seed)
        trained = _trainer(trainer, setting, resources, folder)
        executor = backend.executor(trained, resources, setting.affordable_references)
        try:
            journal = Journal(live, sampled, setting.table.cost, setting.reference_names, emit)
            journal.close_left_open()
            discard_unfinished(folder.weights)
            ledger = Ledger(
                journal.read(),
                seed=manifest.seed,
                budget=manifest.budget,
                axes=setting.space.objectives.costs,
                bare_flops=setting.table.bare.flops,
                reference_point=manifest.reference_point,
            )
            loop = _loop(setting, folder, time_budget, executor, journal, ledger, signals)
            emit(
                SearchStarted(
                    run=str(folder.path),
                    space=manifest.space_name,
                    budget=ledger.budget,
                    time_budget=time_budget.seconds,
                    finished=ledger.finished,
                    front=ledger.front,
                    confirm=manifest.confirm,
                    seed=ledger.seed,
                    workers=executor.workers,
                    threads=resources.threads,
                    gpus=resources.gpus,
                    cores=resources.cores,
                    numerics=setting.numerics.device if setting.space.objective else str(setting.numerics),
                    trunk=str(setting.encoding.trunk),
                    num_sites=setting.encoding.num_genes,
                    epochs=setting.space.proxy.epochs,
                    data=setting.about_data,
                    notes=setting.notes,
                    metric=None if setting.space.metric == ACCURACY else setting.space.metric.to_dict(),
                )
            )
            why = loop.run()
        finally:
            executor.close()
            discard_unfinished(folder.weights)
        emit(
            SearchFinished(
                run=str(folder.path),
                why=why,
                finished=ledger.finished,
                confirmed=len(ledger.confirmed),
                budget=ledger.budget,
                seconds=time_budget.elapsed,
                training_seconds=loop.training_seconds,
            )
        )


def _loop(
    setting: Setting,
    folder: RunFolder,
    time_budget: TimeBudget,
    executor: Executor,
    journal: Journal,
    ledger: Ledger,
    signals: StopSignals,
) -> Loop:
    references = setting.reference_names.keys()
    bounded = setting.space.metric.bounded
    early_stopping = (
        EarlyStopping.of(setting.training, ledger.axes, bounded=bounded) if setting.manifest.early_stopping else None
    )
    agenda = Agenda(
        ledger,
        time_budget,
        references=setting.affordable_references,
        reference_keys=references,
        confirmation=Confirmation(ledger.seed, setting.manifest.confirm, references, ledger.axes, bounded),
        early_stopping=early_stopping,
        workers=lambda: executor.workers,
    )
    return Loop(
        ledger,
        agenda,
        journal,
        Dispatch(executor, ledger.losses),
        early_stopping=early_stopping,
        affordable=setting.affordable,
        references=frozenset(references),
        weights=WeightRetention(folder.weights, ledger.axes, bounded=bounded),
        pauses=folder.pauses,
        signals=signals,
        lookahead=Lookahead(),
    )


def _trainer(
    given: TrainFunction | ObjectiveSource | None, setting: Setting, resources: Resources, folder: RunFolder
) -> TrainFunction:
    if isinstance(given, ObjectiveSource):
        return ObjectiveTrainer(
            given,
            setting.space.metric,
            setting.task,
            setting.space.proxy.epochs,
            setting.numerics,
            resources.threads,
            folder.weights,
        )
    return given or _proxy_trainer(setting, resources, folder)


def _proxy_trainer(setting: Setting, resources: Resources, folder: RunFolder) -> ProxyTrainer:
    """The trainer of the space's proxy training, on data that all workers share."""
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
