"""Write the trials of a run for other tools: as one CSV table, and as TensorBoard scalars."""

from __future__ import annotations

import csv
import io
from importlib.util import find_spec
from pathlib import Path

from attn_nas.errors import ExportError, UsageError
from attn_nas.report.growth import growth_of
from attn_nas.runs.run import Run

_COLUMNS = (
    "loss", "epochs", "flops", "added_flops", "macs", "params",
    "seconds", "begun", "ended", "reason", "placements",
)  # fmt: skip


def trials_csv(run: Run) -> str:
    """Return a CSV table with a row for each trial; ``seconds`` is a duration, ``begun`` and ``ended`` are Unix times."""
    text = io.StringIO()
    metric = run.metric
    columns = ("trial", "key", "reference", "seed", "state", metric.name, *(each for each in _COLUMNS if each != metric.name))
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    bare = run.manifest.bare_cost.flops
    for record in run.records:
        reached = record.result or record.partial
        begun, ended = record.span or ("", "")
        writer.writerow(
            {
                "trial": record.number,
                "key": record.key,
                "reference": record.reference or "",
                "seed": record.seed,
                "state": record.state,
                "loss": reached.loss if reached and reached.loss is not None else "",
                metric.name: metric.value(reached.accuracy) if reached else "",
                "epochs": reached.epochs if reached else "",
                "flops": record.cost.flops,
                "added_flops": record.cost.flops - bare,
                "macs": record.cost.macs,
                "params": record.cost.params,
                "seconds": reached.seconds if reached else "",
                "begun": begun,
                "ended": ended,
                "reason": record.reason or "",
                "placements": str(record.genotype),
            }
        )
    return text.getvalue()


def write_scalars(run: Run, folder: Path) -> Path:
    """Write event files of TensorBoard: learning curves of each trial, and the hypervolume of the search.

    Raises:
        UsageError: tensorboard is not installed.
        ExportError: the folder cannot be written.

    """
    if find_spec("tensorboard") is None:
        raise UsageError('TensorBoard scalars need tensorboard: pip install "attn-nas[tensorboard]"')
    from torch.utils.tensorboard import SummaryWriter

    try:
        for record in run.records:
            reached = record.result or record.partial
            if reached:
                with SummaryWriter(str(folder / f"{record.number:05d}-{record.key}-seed{record.seed}")) as writer:
                    for epoch, score in enumerate(reached.curve, start=1):
                        writer.add_scalar(f"validation/{run.metric.name}", run.metric.value(score), epoch)
                    for epoch, loss in enumerate(reached.loss_curve, start=1):
                        writer.add_scalar("validation/loss", loss, epoch)
        with SummaryWriter(str(folder / "search")) as writer:
            for grown in growth_of(run):
                writer.add_scalar("hypervolume", grown.hypervolume, grown.trials)
    except OSError as error:
        raise ExportError(f"cannot write to {folder}: {error.strerror or error}") from None
    return folder
