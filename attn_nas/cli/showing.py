"""``attn-nas show``, with the former ``front`` and ``compare``: the front of a run, one candidate, candidates side by side."""

import json as json_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from attn_nas.cli.options import JsonOption, KeysArgument, RunArgument
from attn_nas.errors import UsageError
from attn_nas.terminal.waiting import waiting

if TYPE_CHECKING:
    from rich.console import Console

    from attn_nas.training import StepProfile


def show(
    run: RunArgument,
    keys: KeysArgument = None,
    svg: Annotated[Path | None, typer.Option(help="With one KEY, also draw the network to this file.")] = None,
    json: JsonOption = False,
) -> None:
    """Show the Pareto front of a run; with a KEY one candidate, with two to four KEYs a comparison of candidates.

    The front is printed with the references, the pick and the verdict. One candidate is drawn block by block, with its costs
    and learning curves. A comparison marks the sites that differ, and gives the leads of the first candidate.
    """
    chosen = keys or []
    if svg is not None and len(chosen) != 1:
        raise UsageError(f"--svg {svg} draws one candidate: give one KEY")
    if not chosen:
        front(run, json)
    elif len(chosen) == 1:
        _show_candidate(run, chosen[0], svg, json)
    else:
        compare(run, chosen, json)


def front(run: RunArgument, json: JsonOption = False) -> None:
    """Show the Pareto front of a run and its references; same as attn-nas show RUN."""
    with waiting():
        from attn_nas.runs.run import Run

        opened = Run(run)
        document = opened.to_dict()
    if json:
        print(json_module.dumps(document, indent=2))
        return
    from attn_nas.space.metric import ACCURACY
    from attn_nas.terminal.closing import claim_lines, line_style, pick_lines
    from attn_nas.terminal.console import console
    from attn_nas.terminal.tables import front_table

    out = console(highlight=False)
    scores = f"{'validation accuracy' if opened.metric == ACCURACY else opened.metric.name} {opened.verdict.after}"
    out.print(front_table(opened.front, f"Pareto front of {len(opened.front)}: {scores}", out.width))
    out.print()
    out.print(front_table(opened.references, f"References: {scores}", out.width))
    notes = [f"~: {opened.verdict.meaning_of_tied}."] if opened.verdict.tied else []
    notes += [opened.note_of_times] if opened.note_of_times else []
    for line in (*notes, "", *pick_lines(opened), *claim_lines(opened), ""):
        out.print(line, style=line_style(line), markup=False, soft_wrap=not out.is_terminal)
    images = f": training images are {opened.augmentation}" if opened.augmentation else ""
    out.print(f"{opened.data_name}{images}", markup=False)
    for record in opened.failures:
        out.print(f"failed: {opened.names[record.key]} ({record.key}): {record.reason}", markup=False, soft_wrap=True)


def compare(
    run: RunArgument,
    keys: Annotated[list[str], typer.Argument(help="Keys of two to four candidates, or the beginnings of keys.")],
    json: JsonOption = False,
) -> None:
    """Compare two to four candidates side by side; same as attn-nas show RUN KEY KEY."""
    with waiting():
        from attn_nas.runs.comparison import SideBySide
        from attn_nas.runs.run import Run

        compared = SideBySide.of(Run(run), keys)
        document = compared.to_dict()
    if json:
        print(json_module.dumps(document, indent=2))
        return
    from attn_nas.terminal.comparing import comparison_notes, comparison_table
    from attn_nas.terminal.console import console

    out = console(highlight=False)
    out.print(comparison_table(compared))
    out.print()
    for line in comparison_notes(compared):
        out.print(line, markup=False, soft_wrap=not out.is_terminal)


def _show_candidate(run: Path, key: str, svg: Path | None, json: bool) -> None:
    with waiting():
        from attn_nas.drawing import draw_svg
        from attn_nas.report.result_files import write_file
        from attn_nas.runs.run import Run

        candidate = Run(run).candidate(key)
    record, result = candidate.record, candidate.results[0]
    if svg:
        write_file(draw_svg(record.genotype), svg)
    if json:
        results = candidate.results_in_metric
        print(json_module.dumps({**candidate.to_dict(), "results": results}, indent=2))
        return
    from attn_nas.format import likely, reference_label
    from attn_nas.space.metric import ACCURACY
    from attn_nas.terminal.console import console
    from attn_nas.terminal.drawing import drawing
    from attn_nas.terminal.tables import network_text

    out = console(highlight=False)
    reference = f", reference {reference_label(record.reference)!r}" if record.reference else ""
    picked = ", the pick" if record.key == candidate.run.verdict.pick else ""
    out.print(network_text(candidate, ascii_only=out.options.ascii_only))
    out.print(f"candidate {record.key} (trial {record.number}{reference}{picked})\n")
    out.print(drawing(record.genotype), soft_wrap=True)
    out.print()
    belief, metric = candidate.belief, candidate.run.metric
    if belief:
        low, high = metric.interval(belief.low, belief.high)
        shown = f"{metric.name} {metric.mean_text(candidate.expected)}{' (validation)' * (metric == ACCURACY)}"
        out.print(
            f"{shown} {candidate.run.verdict.after}, with a probability of 90 % between {low} and {high}; "
            f"{likely(belief.chance)} likely best for its cost",
            soft_wrap=not out.is_terminal,
        )
    for each in candidate.results:
        loss = "" if each.loss is None else f", loss {each.loss:.4f}"
        out.print(f"seed {each.seed:<4} {metric.text(each.accuracy)}{loss}")
        out.print(f"curve     {'  '.join(metric.text(value) for value in each.curve)}")
    out.print(
        f"cost     {record.cost.flops:,} FLOPs ({candidate.added_flops:+,}), {record.cost.macs:,} MACs, "
        f"{record.cost.fvcore_default:,} by fvcore alone, {record.cost.params:,} parameters"
    )
    if record.profile:
        _print_profile(out, record.profile)
    out.print(f"trained  {result.seconds:.1f} s, peak memory of its process {result.peak_memory_mb:.0f} MB")


def _print_profile(out: "Console", profile: "StepProfile") -> None:
    out.print(
        f"time     training step {1e3 * profile.step_seconds:.1f} ms ({profile.step_ratio:.2f} x the bare trunk's), "
        f"inference of 1 image {1e3 * profile.latency_1:.2f} ms ({profile.latency_1_ratio:.2f} x), of 128 images "
        f"{1e3 * profile.latency_128:.1f} ms ({profile.latency_128_ratio:.2f} x)",
        soft_wrap=not out.is_terminal,
    )
    out.print(f"memory   {profile.step_memory_mb:.1f} MB in a training step ({profile.step_memory_ratio:.2f} x)")
