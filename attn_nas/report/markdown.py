"""Summary of a run in Markdown, for a pull request or an issue."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from attn_nas.format import count, likely, markdown, signed_percent
from attn_nas.report.charts.scales import short
from attn_nas.report.pages.reading import RunReading
from attn_nas.runs.candidate import Candidate
from attn_nas.runs.pick_words import PickWords
from attn_nas.runs.run import Run
from attn_nas.space.metric import ACCURACY, Metric

_HEADINGS = ("likely best for its cost", "extra FLOPs", "FLOPs", "params", "step", "key")


def markdown_report(reading: RunReading) -> str:
    """Return a summary of a run: state, pick and verdict, front, references, trunks without attention."""
    run, manifest = reading.run, reading.run.manifest
    data, trunk = run.data_name, run.records[0].genotype.trunk if run.records else "no trial"
    images = f"Training images are {run.augmentation}. " if run.augmentation else ""
    parts = [
        f"# attn-nas: {markdown(reading.name)}",
        f"{reading.state}: {len(run.candidates)} candidates on {data}, {trunk}; {len(run.failures)} failed. "
        f"{images}{_noise(run)}".rstrip(),
    ]
    if not run.candidates:
        return "\n\n".join([*parts, "No candidate has a score yet.", *_failures(run)]) + "\n"
    parts += _pick(run)
    parts += ["## Front", _table(run.front, run.metric), "## References", _table(run.references, run.metric)]
    if reading.trunks:
        parts += ["## Trunks without attention", _trunks(reading)]
    parts += _failures(run)
    parts.append(
        f"{_scored(run.metric)} {run.verdict.after}: estimate from all trainings of the run, with its standard deviation. "
        f"{_mark(run)}"
        f"One multiply-add is one FLOP. attn-nas {markdown(manifest.versions.attn_nas)}, "
        f"torch {markdown(manifest.versions.torch)}, "
        f"{manifest.numerics.precision} on {manifest.numerics.device}."
    )
    return "\n\n".join(parts) + "\n"


def _mark(run: Run) -> str:
    return f"~: {run.verdict.meaning_of_tied}. " if run.verdict.tied else ""


def _noise(run: Run) -> str:
    return f"Noise between seeds: ± {run.metric.spread_text(run.beliefs.noise)}." if run.beliefs else ""


def _scored(metric: Metric) -> str:
    return "Accuracy on the validation split" if metric == ACCURACY else markdown(metric.name)


def _pick(run: Run) -> list[str]:
    """The pick, its estimate and cost, the verdict, and the leads over the references."""
    words = PickWords.of(run)
    if words is None or run.pick is None:
        return []
    head = f"**{markdown(words.headline)}** {run.pick.glyph} `{run.pick.record.key}`"
    said = f"{words.evidence} {words.cost}"
    return ["## Pick", f"{head}: {markdown(said)}", markdown(run.verdict.text), markdown(words.warning), *_leads(run)]


def _table(candidates: Sequence[Candidate], metric: Metric) -> str:
    unit = f", {metric.shown_unit}" * bool(metric.shown_unit)
    return _rows(
        ("network", f"estimated {metric.label}", f"average{unit} (seeds)", *_HEADINGS),
        [_cells(candidate) for candidate in candidates],
    )


def _cells(candidate: Candidate) -> list[str]:
    cost, metric = candidate.record.cost, candidate.run.metric
    return [
        f"{candidate.glyph} {markdown(candidate.name)}",
        metric.mean(candidate.expected),
        f"{metric.mean(candidate.measured)} ({len(candidate.results)})",
        f"{likely(candidate.belief.chance)}{' ~' * candidate.is_tied}" if candidate.belief else "-",
        signed_percent(candidate.added_share) if candidate.added_flops else "none",
        count(cost.flops),
        count(cost.params),
        ", ".join(f"{name.removesuffix('_time')} {ratio:.2f}x" for name, ratio in candidate.ratios.items()) or "-",
        f"`{candidate.record.key}`",
    ]


def _leads(run: Run) -> list[str]:
    """Table of the leads of the pick over each reference; nothing where the verdict allows no claims."""
    rows = [
        [markdown(run.names[claim.over]), run.metric.lead(claim.lead.mean), likely(claim.lead.probability)]
        for claim in run.verdict.claims
    ]
    if not rows:
        return []
    return [
        f"The pick against the references, {run.verdict.after}:",
        _rows(("reference", run.metric.change_unit or run.metric.name, f"sure to be {run.metric.better}"), rows),
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
