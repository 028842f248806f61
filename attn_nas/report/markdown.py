"""Summary of a run in Markdown, for a pull request or an issue."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from attn_nas.format import count, likely, markdown, reference_label
from attn_nas.report.charts.scales import short
from attn_nas.report.pages.reading import RunReading
from attn_nas.runs.candidate import Candidate
from attn_nas.runs.run import Run
from attn_nas.space.metric import ACCURACY, Metric

_HEADINGS = (
    "on front",
    "added FLOPs",
    "FLOPs",
    "params",
    "step",
    "placements",
)


def markdown_report(reading: RunReading) -> str:
    """Return a summary of a run: state, verdict, front, references, leads of the pick, trunks without attention."""
    run, manifest = reading.run, reading.run.manifest
    data, trunk = run.data_name, run.records[0].genotype.trunk if run.records else "no trial"
    images = f"Training images are {run.augmentation}. " if run.augmentation else ""
    parts = [
        f"# attn-nas: {markdown(reading.name)}",
        f"{reading.state}: {len(run.candidates)} candidates on {data}, {trunk}; {len(run.failures)} failed. "
        f"{images}Hypervolume {count(run.hypervolume)}.{_noise(run)}",
    ]
    if not run.candidates:
        return "\n\n".join([*parts, "No candidate has a score yet.", *_failures(run)]) + "\n"
    parts += [
        "## Front",
        markdown(run.verdict.text),
        _table([(str(number), each) for number, each in enumerate(run.front, start=1)], run.metric),
    ]
    parts += [
        "## References",
        _table([(reference_label(str(each.record.reference)), each) for each in run.references], run.metric),
    ]
    parts += _leads(run)
    if reading.trunks:
        parts += ["## Trunks without attention", _trunks(reading)]
    parts += _failures(run)
    parts.append(
        f"{_scored(run.metric)}: estimate from all trainings of the run, with its standard deviation. {_mark(run)}"
        f"One multiply-add is one FLOP. attn-nas {markdown(manifest.versions.attn_nas)}, "
        f"torch {markdown(manifest.versions.torch)}, "
        f"{manifest.numerics.precision} on {manifest.numerics.device}."
    )
    return "\n\n".join(parts) + "\n"


def _mark(run: Run) -> str:
    return f"~: {run.verdict.meaning_of_tied}. " if run.verdict.tied else ""


def _noise(run: Run) -> str:
    return f" Noise between seeds: ± {run.metric.spread_text(run.beliefs.noise)}." if run.beliefs else ""


def _scored(metric: Metric) -> str:
    return "Accuracy on the validation split" if metric == ACCURACY else markdown(metric.name)


def _table(rows: Sequence[tuple[str, Candidate]], metric: Metric) -> str:
    unit = f", {metric.shown_unit}" * bool(metric.shown_unit)
    return _rows(
        ("", "key", metric.label, f"measured{unit} (seeds)", *_HEADINGS), [_cells(name, candidate) for name, candidate in rows]
    )


def _cells(name: str, candidate: Candidate) -> list[str]:
    cost, metric = candidate.record.cost, candidate.run.metric
    return [
        name,
        f"`{candidate.record.key}`",
        metric.mean(candidate.expected),
        f"{metric.mean(candidate.measured)} ({len(candidate.results)})",
        f"{likely(candidate.belief.chance)}{' ~' * candidate.is_tied}" if candidate.belief else "-",
        short(candidate.added_flops),
        count(cost.flops),
        count(cost.params),
        ", ".join(f"{name.removesuffix('_time')} {ratio:.2f}x" for name, ratio in candidate.ratios.items()) or "-",
        f"`{candidate.record.genotype}`",
    ]


def _leads(run: Run) -> list[str]:
    """Table of the leads of the pick over each reference; nothing where the verdict allows no claims."""
    rows = [
        [reference_label(claim.reference), run.metric.lead(claim.lead.mean), likely(claim.lead.probability)]
        for claim in run.verdict.claims
    ]
    if not rows:
        return []
    return [
        f"`{run.verdict.pick}` against the references:",
        _rows(("reference", run.metric.change_unit or run.metric.name, "sure to be better"), rows),
    ]


def _failures(run: Run) -> list[str]:
    """Table of the reasons of failures, with the number of candidates of each."""
    reasons = Counter(str(record.reason) for record in run.failures).most_common()
    return (
        ["## Failures", _rows(("reason", "candidates"), [[markdown(reason), str(number)] for reason, number in reasons])]
        if reasons
        else []
    )


def _trunks(reading: RunReading) -> str:
    metric = reading.run.metric
    rows = [
        [point.name, metric.mean(point.accuracy), f"{len(point.seeds)}", short(point.added_flops), count(point.params)]
        for point in reading.trunks
    ]
    return _rows(
        ("trunk", "measured" + f", {metric.shown_unit}" * bool(metric.shown_unit), "seeds", "added FLOPs", "params"), rows
    )


def _rows(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *([" ".join(cell.split()) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)
