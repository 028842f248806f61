"""``attn-nas front``, ``show`` and ``compare``: what a run has found."""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import Annotated

import typer

RunArgument = Annotated[Path, typer.Argument(help="Run folder.")]
MOST_SEEDS, MOST_EPOCHS = 1000, 100_000
"""Beyond what anybody trains: a slip of the keyboard is told before it is planned."""
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]


def front(run: RunArgument, json: JsonOption = False) -> None:
    """Print the Pareto front of a run and its references."""
    from attn_nas.runs.run import Run

    opened = Run(run)
    if json:
        print(json_module.dumps(opened.to_dict(), indent=2))
        return
    from attn_nas.terminal.console import console
    from attn_nas.terminal.tables import front_table

    out = console()
    out.print(front_table(opened.front, f"Pareto front of {len(opened.front)}", out.width))
    out.print()
    out.print(front_table(opened.references, "References", out.width))
    out.print(
        f"\nhypervolume {opened.hypervolume:,.4g} {' x '.join(('accuracy', *opened.axes))}, "
        f"reference point ({', '.join(f'{worst:,}' for worst in opened.reference_point)})",
        highlight=False,
    )
    for record in opened.failures:
        out.print(f"failed: {record.key} {record.genotype}: {record.reason}", markup=False, highlight=False, soft_wrap=True)


def show(
    run: RunArgument,
    key: Annotated[str, typer.Argument(help="Key of a candidate, or its beginning.")],
    svg: Annotated[Path | None, typer.Option(help="Draw the network to this file too.")] = None,
    json: JsonOption = False,
) -> None:
    """Print one candidate: the network drawn block by block, its costs and its learning curve."""
    from attn_nas.drawing import draw_svg
    from attn_nas.report.files import write_file
    from attn_nas.runs.run import Run

    candidate = Run(run).candidate(key)
    record, result = candidate.record, candidate.results[0]
    if svg:
        write_file(draw_svg(record.genotype), svg)
    if json:
        results = [result.to_dict() for result in candidate.results]
        print(json_module.dumps({**candidate.to_dict(), "results": results}, indent=2))
        return
    from attn_nas.format import percent
    from attn_nas.terminal.console import console
    from attn_nas.terminal.drawing import drawing

    out = console(highlight=False)
    name = f", reference {record.reference!r}" if record.reference else ""
    out.print(f"candidate {record.key} (trial {record.number}{name})\n")
    out.print(drawing(record.genotype), soft_wrap=True)
    out.print()
    belief = candidate.belief
    if belief:
        out.print(
            f"accuracy {candidate.expected.hundredths()} % (validation), with a probability of 90 % between "
            f"{percent(belief.low)} and {percent(belief.high)}; on the front with a probability of {belief.chance:.0%}",
            soft_wrap=not out.is_terminal,
        )
    for each in candidate.results:
        out.print(f"seed {each.seed:<4} {percent(each.accuracy)}, loss {each.loss:.4f}")
        out.print(f"curve     {'  '.join(percent(value) for value in each.curve)}")
    out.print(
        f"cost     {record.cost.flops:,} FLOPs ({candidate.added_flops:+,}), {record.cost.macs:,} MACs, "
        f"{record.cost.fvcore_default:,} by fvcore alone, {record.cost.params:,} parameters"
    )
    if record.profile:
        beside = record.profile
        out.print(
            f"time     training step {1e3 * beside.step_seconds:.1f} ms ({beside.step_ratio:.2f} x the bare trunk's), "
            f"inference of 1 image {1e3 * beside.latency_1:.2f} ms ({beside.latency_1_ratio:.2f} x), of 128 images "
            f"{1e3 * beside.latency_128:.1f} ms ({beside.latency_128_ratio:.2f} x)",
            soft_wrap=not out.is_terminal,
        )
        out.print(f"memory   {beside.step_memory_mb:.1f} MB in a training step ({beside.step_memory_ratio:.2f} x)")
    out.print(f"trained  {result.seconds:.1f} s, peak memory of its process {result.peak_memory_mb:.0f} MB")


def compare(
    run: RunArgument,
    keys: Annotated[list[str], typer.Argument(help="Keys of two to four candidates, or their beginnings.")],
    json: JsonOption = False,
) -> None:
    """Print candidates side by side: what differs, their figures, and how far the first is ahead."""
    from attn_nas.runs.comparison import SideBySide
    from attn_nas.runs.run import Run

    compared = SideBySide.of(Run(run), keys)
    if json:
        print(json_module.dumps(compared.to_dict(), indent=2))
        return
    from attn_nas.terminal.comparing import comparison_table, comparison_words
    from attn_nas.terminal.console import console

    out = console(highlight=False)
    out.print(comparison_table(compared))
    out.print()
    for line in comparison_words(compared):
        out.print(line, markup=False, soft_wrap=not out.is_terminal)
