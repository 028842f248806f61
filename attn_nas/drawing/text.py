"""A genotype drawn as text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from attn_nas.drawing.plan import Run, Stage, Step, headline, shape, stages
from attn_nas.space.genotype import Genotype, Placement

MARK = "◆"
_WIDTH = 88
_INDENT = "    "
_LEGEND = f"{MARK} attention   ─ a place where it may sit   └ the shortcut"


@dataclass(frozen=True)
class Line:
    """A line of the drawing, and the placement whose mark it has."""

    text: str
    placement: Placement | None = None


def draw_text(genotype: Genotype) -> str:
    """The network stage by stage and block by block, with what sits where in a block.

    Neighbouring blocks without attention are one line. Lines are at most 88 characters wide, unless a mechanism has a name
    of some length; the layers of a block that would not fit are ``…``.
    """
    return "\n".join(line.text for line in lines(genotype))


def lines(genotype: Genotype) -> list[Line]:
    """The lines of `draw_text`."""
    found = [Line(headline(genotype)), Line("")]
    drawn = stages(genotype)
    names = [run.name for stage in drawn for run in stage.runs] + [_end(stage) for stage in drawn if stage.end]
    shapes = [run.shape for stage in drawn for run in stage.runs if run.placement]
    columns = max(map(len, names)), max(map(len, shapes), default=0)
    for stage in drawn:
        found += _stage(stage, columns)
    if genotype.num_attended:
        found += [Line(""), Line(_LEGEND)]
    return found


def _stage(stage: Stage, columns: tuple[int, int]) -> Iterator[Line]:
    yield Line(f"stage {stage.number}: {shape(stage.blocks, ' channels')}")
    for run in stage.runs:
        head = f"  {run.name:{columns[0]}}   {run.shape:{columns[1]}}"
        if run.placement is None:
            yield Line(head.rstrip())
        else:
            yield Line(f"{head}   {_placed(run, run.placement)}", run.placement)
            yield from (Line(_INDENT + text, run.placement) for text in _path(run))
    if stage.end:
        yield Line(f"  {_end(stage):{columns[0]}}   {'':{columns[1]}}   {MARK} {stage.end.label}", stage.end)


def _placed(run: Run, placement: Placement) -> str:
    """What sits where, and the layer whose place it takes."""
    replaced = f" ({run.blocks[0].layout.replaced})" if placement.position == "replace" else ""
    return f"{MARK} {placement.label} at {placement.position}{replaced}"


def _end(stage: Stage) -> str:
    return f"end of stage {stage.number}"


def _path(run: Run) -> list[str]:
    """The branch of a block and, below it, the shortcut up to the addition; in short if it would be too wide."""
    drawn = _joined(run, elided=False)
    return drawn if len(drawn[0]) <= _WIDTH - len(_INDENT) else _joined(run, elided=True)


def _joined(run: Run, *, elided: bool) -> list[str]:
    branch, shortcut, after = (_chain(steps, elided=elided) for steps in (run.branch, run.shortcut, run.after))
    if not run.has_shortcut:
        return [f"── {branch} {after}".rstrip()]
    branch, shortcut = (text if text.startswith("─") else f"─ {text}" for text in (branch, shortcut))
    rail = f"└{shortcut}".ljust(len(branch) + 2, "─")
    return [f"┬{branch} + {after}", f"{rail}┘"]


def _chain(steps: Sequence[Step], *, elided: bool) -> str:
    """Layers by their names, open places as a line through them, marks where something sits."""
    words = []
    for is_plain, found in groupby(steps, key=lambda step: not (step.is_point or step.placement)):
        if is_plain:
            words += ["…"] if elided else [step.name for step in found]
        else:
            words += [_point(step) for step in found if step.is_open or step.placement]
    return " ".join(words)


def _point(step: Step) -> str:
    if step.placement is None:
        return "─"
    return f"─{MARK}─" if step.is_point else MARK
