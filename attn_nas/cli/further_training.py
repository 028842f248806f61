"""``attn-nas audit``, ``baseline`` and ``retrain``: trainings after a search."""

from pathlib import Path
from typing import Annotated

import typer

from attn_nas.cli.options import (
    MAX_EPOCHS,
    MAX_SEEDS,
    BestUnderOption,
    DataRootOption,
    DownloadOption,
    FrontOption,
    JsonOption,
    KeysArgument,
    PickOption,
    PlanOption,
    RunArgument,
    ThreadsOption,
    WorkersOption,
)
from attn_nas.terminal.waiting import waiting


def audit(
    run: RunArgument,
    candidates: Annotated[int, typer.Option(help="Number of candidates, one from each stratum of accuracy.")] = 16,
    seeds: Annotated[int, typer.Option(max=MAX_SEEDS, help="Number of seeds per candidate; the search did not use them.")] = 3,
    epochs: Annotated[
        int | None, typer.Option(max=MAX_EPOCHS, help="Epochs of the long training; by default four times the proxy's.")
    ] = None,
    workers: WorkersOption = None,
    threads: ThreadsOption = None,
    plan: PlanOption = False,
    data_root: DataRootOption = None,
    download: DownloadOption = False,
    json: JsonOption = False,
) -> None:
    """Measure how well the short training ranks: train a sample of candidates for longer and compare.

    An interrupted audit continues with the same command. Writes audit.json into the run folder.
    """
    with waiting():
        from attn_nas.cli.planned import print_result, train_as_planned
        from attn_nas.followups.audit import Audit
        from attn_nas.runs.run import Run
        from attn_nas.terminal.audit_table import audit_notes, audit_plan, audit_table

        planned = Audit(Run(run, data_root=data_root), candidates, seeds, epochs)
    if train_as_planned(planned, audit_plan, workers=workers, threads=threads, plan=plan, download=download, json=json):
        print_result(planned.result(), audit_table, audit_notes, planned.write, json=json)


def baseline(
    run: RunArgument,
    width: Annotated[list[int] | None, typer.Option(help="Width to train; repeat it for several.")] = None,
    depth: Annotated[list[int] | None, typer.Option(help="Depth to train; repeat it for several.")] = None,
    seeds: Annotated[
        int | None,
        typer.Option(max=MAX_SEEDS, help="Number of seeds per trunk, from the search's on; by default as in the search."),
    ] = None,
    workers: WorkersOption = None,
    threads: ThreadsOption = None,
    plan: PlanOption = False,
    data_root: DataRootOption = None,
    download: DownloadOption = False,
    json: JsonOption = False,
) -> None:
    """Compare attention with a larger trunk: train the trunk without attention at other widths and depths.

    Trains by the settings of the search. An interrupted baseline continues with the same command. Writes plain.json into the
    run folder.
    """
    with waiting():
        from attn_nas.cli.planned import print_result, train_as_planned
        from attn_nas.followups.trunk_baseline import TrunkBaseline
        from attn_nas.runs.run import Run
        from attn_nas.terminal.baseline_table import baseline_notes, baseline_plan, baseline_table

        planned = TrunkBaseline(Run(run, data_root=data_root), widths=width or (), depths=depth or (), seeds=seeds)
    if train_as_planned(planned, baseline_plan, workers=workers, threads=threads, plan=plan, download=download, json=json):
        result = planned.result()
        print_result(result, baseline_table, baseline_notes, planned.write, json=json)
        if result.incomplete:
            raise typer.Exit(1)


def retrain(
    run: RunArgument,
    keys: KeysArgument = None,
    pick: PickOption = False,
    front: FrontOption = False,
    best_under: BestUnderOption = None,
    epochs: Annotated[
        int | None, typer.Option(max=MAX_EPOCHS, help="Epochs of each training; by default ten times the proxy's.")
    ] = None,
    seeds: Annotated[int, typer.Option(max=MAX_SEEDS, help="Number of seeds per network; the search did not use them.")] = 5,
    lr: Annotated[float | None, typer.Option(help="Peak learning rate; by default the proxy's.")] = None,
    pretrained: Annotated[
        Path | None, typer.Option(help="Start from these weights of the bare trunk, a safetensors file.")
    ] = None,
    workers: WorkersOption = None,
    threads: ThreadsOption = None,
    plan: PlanOption = False,
    data_root: DataRootOption = None,
    download: DownloadOption = False,
    json: JsonOption = False,
) -> None:
    """Train candidates in full, with all references and a wider trunk, and compare them on the test split.

    Without KEY or a selecting option, trains the pick of the run. An interrupted retraining continues with the same command.
    Writes retraining.json into the run folder.
    """
    with waiting():
        from attn_nas.cli.planned import print_result, train_as_planned
        from attn_nas.followups.retraining import Retraining
        from attn_nas.runs.run import Run
        from attn_nas.runs.selection import Selection
        from attn_nas.terminal.retraining_table import retraining_notes, retraining_plan, retraining_table

        opened = Run(run, data_root=data_root)
        winners = Selection(keys or (), pick, front, best_under, otherwise="pick").of(opened)
        planned = Retraining(opened, winners, epochs=epochs, seeds=seeds, lr=lr, pretrained=pretrained)
    if train_as_planned(planned, retraining_plan, workers=workers, threads=threads, plan=plan, download=download, json=json):
        result = planned.result()
        print_result(result, retraining_table, retraining_notes, planned.write, json=json)
        if result.incomplete:
            raise typer.Exit(1)
