"""Summary of a run in Markdown, for a pull request or an issue."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from attn_nas.format import count, likely, markdown, reference_label
from attn_nas.report.charts.scales import short
from attn_nas.report.pages.reading import RunReading
from attn_nas.runs.candidate import Candidate
from attn_nas.runs.run import Run

_HEADINGS = (
    "",
    "key",
    "accuracy, %",
    "measured, % (seeds)",
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
    data, trunk = run.data.name, run.records[0].genotype.trunk if run.records else "no trial"
    parts = [
        f"# attn-nas: {markdown(reading.name)}",
        f"{reading.state}: {len(run.candidates)} candidates on {data}, {trunk}; {len(run.failures)} failed. "
        f"Training images are {run.augmentation}. "
        f"Hypervolume {count(run.hypervolume)}.{_noise(run)}",
    ]
    if not run.candidates:
        return "\n\n".join([*parts, "No candidate has a score yet.", *_failures(run)]) + "\n"
    parts += [
        "## Front",
        markdown(run.verdict.text),
        _table([(str(number), each) for number, each in enumerate(run.front, start=1)]),
    ]
    parts += ["## References", _table([(reference_label(str(each.record.reference)), each) for each in run.references])]
    parts += _leads(run)
    if reading.trunks:
        parts += ["## Trunks without attention", _trunks(reading)]
    parts += _failures(run)
    parts.append(
        f"Accuracy on the validation split: estimate from all trainings of the run, with its standard deviation. {_mark(run)}"
        f"One multiply-add is one FLOP. attn-nas {markdown(manifest.versions.attn_nas)}, "
        f"torch {markdown(manifest.versions.torch)}, "
        f"{manifest.numerics.precision} on {manifest.numerics.device}."
    )
    return "\n\n".join(parts) + "\n"


def _mark(run: Run) -> str:
    return f"~: {run.verdict.meaning_of_tied}. " if run.verdict.tied else ""


def _noise(run: Run) -> str:
    return f" Noise between seeds: ± {100 * run.beliefs.noise:.2f} points." if run.beliefs else ""


def _table(rows: Sequence[tuple[str, Candidate]]) -> str:
    return _rows(_HEADINGS, [_cells(name, candidate) for name, candidate in rows])


def _cells(name: str, candidate: Candidate) -> list[str]:
    cost = candidate.record.cost
    return [
        name,
        f"`{candidate.record.key}`",
        candidate.expected.hundredths(),
        f"{candidate.measured.hundredths()} ({len(candidate.results)})",
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
        [reference_label(claim.reference), claim.lead.mean.hundredths(signed=True), likely(claim.lead.probability)]
        for claim in run.verdict.claims
    ]
    if not rows:
        return []
    return [f"`{run.verdict.pick}` against the references:", _rows(("reference", "points", "sure to be better"), rows)]


def _failures(run: Run) -> list[str]:
    """Table of the reasons of failures, with the number of candidates of each."""
    reasons = Counter(str(record.reason) for record in run.failures).most_common()
    return (
        ["## Failures", _rows(("reason", "candidates"), [[markdown(reason), str(number)] for reason, number in reasons])]
        if reasons
        else []
    )


def _trunks(reading: RunReading) -> str:
    rows = [
        [point.name, point.accuracy.hundredths(), f"{len(point.seeds)}", short(point.added_flops), count(point.params)]
        for point in reading.trunks
    ]
    return _rows(("trunk", "measured, %", "seeds", "added FLOPs", "params"), rows)


def _rows(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *([" ".join(cell.split()) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)
