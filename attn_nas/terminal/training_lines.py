"""Progress of the trainings of a plan in a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress

from attn_nas.execution.replicates import OnReplicate
from attn_nas.space.metric import ACCURACY, Metric
from attn_nas.space.naming import Names
from attn_nas.terminal.placement_text import glyph
from attn_nas.training.protocol import Replicate, Trained


@contextmanager
def training_lines(console: Console, number: int, metric: Metric = ACCURACY) -> Iterator[OnReplicate]:
    """Yield a callback for ``number`` trainings: it moves a bar on a terminal, and prints a line each elsewhere.

    A failed training always gets a line with its reason.
    """
    names = Names()
    if not console.is_terminal:
        ended = 0

        def print_line(replicate: Replicate, outcome: Trained | str) -> None:
            nonlocal ended
            ended += 1
            text = outcome
            if isinstance(outcome, Trained):
                text = f"{metric.text(outcome.result.accuracy)} {outcome.result.seconds:.1f} s"
            genotype = replicate.genotype
            cells = glyph(str(genotype), ascii_only=console.options.ascii_only).plain
            network = f"{cells}  {names.of(genotype)}, seed {replicate.seed}  {genotype.key}"
            console.print(f"[{ended}/{number}] {text}  {network}", markup=False, highlight=False, soft_wrap=True)

        yield print_line
        return
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("training", total=number)

        def advance(replicate: Replicate, outcome: Trained | str) -> None:
            progress.advance(task)
            if isinstance(outcome, str):
                shown = f"{names.of(replicate.genotype)}, seed {replicate.seed} ({replicate.genotype.key})"
                progress.console.print(f"failed: {shown}: {outcome}", markup=False, highlight=False)

        yield advance
