"""A genotype drawn as text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from attn_nas.drawing.plan import BlockRun, BlockStep, Stage, headline, shape, stages
from attn_nas.space.genotype import Genotype, Placement

MARK = "◆"
_WIDTH = 88
_INDENT = "    "
_LEGEND = f"{MARK} attention   ─ possible position   └ shortcut"


@dataclass(frozen=True)
class TextLine:
    """A line of the drawing, and the placement that it marks."""

    text: str
    placement: Placement | None = None


def draw_text(genotype: Genotype) -> str:
    """Draw ``genotype`` as text: its stages and blocks, with the placements in each block.

    Consecutive blocks without attention share a line. Lines have at most 88 characters, unless a mechanism has a long name;
    the layers of blocks that do not fit are abbreviated as ``…``.
    """
    return "\n".join(line.text for line in lines(genotype))


def lines(genotype: Genotype) -> list[TextLine]:
    """The lines of `draw_text`."""
    found = [TextLine(headline(genotype)), TextLine("")]
    drawn = stages(genotype)
    names = [run.name for stage in drawn for run in stage.runs] + [_end(stage) for stage in drawn if stage.end]
    shapes = [run.shape for stage in drawn for run in stage.runs if run.placement]
    columns = max(map(len, names)), max(map(len, shapes), default=0)
    for stage in drawn:
        found += _stage(stage, columns)
    if genotype.num_attended:
        found += [TextLine(""), TextLine(_LEGEND)]
    return found


def _stage(stage: Stage, columns: tuple[int, int]) -> Iterator[TextLine]:
    yield TextLine(f"{stage.name}: {shape(stage.blocks, ' channels')}")
    for run in stage.runs:
        head = f"  {run.name:{columns[0]}}   {run.shape:{columns[1]}}"
        if run.placement is None:
            yield TextLine(head.rstrip())
        else:
            yield TextLine(f"{head}   {_placed(run, run.placement)}", run.placement)
            yield from (TextLine(_INDENT + text, run.placement) for text in _path(run))
    if stage.end:
        yield TextLine(f"  {_end(stage):{columns[0]}}   {'':{columns[1]}}   {MARK} {stage.end.label}", stage.end)


def _placed(run: BlockRun, placement: Placement) -> str:
    """A placement, its position, and the layer that it substitutes."""
    replaced = f" ({run.blocks[0].layout.replaced})" if placement.position == "replace" else ""
    return f"{MARK} {placement.label} at {placement.position}{replaced}"


def _end(stage: Stage) -> str:
    return f"end of {stage.name}"


def _path(run: BlockRun) -> list[str]:
    """The branch of a block and, below it, the shortcut; layers are abbreviated if the lines are too wide."""
    drawn = _joined(run, elided=False)
    return drawn if len(drawn[0]) <= _WIDTH - len(_INDENT) else _joined(run, elided=True)


def _joined(run: BlockRun, *, elided: bool) -> list[str]:
    branch, shortcut, after = (_chain(steps, elided=elided) for steps in (run.branch, run.shortcut, run.after))
    if not run.has_shortcut:
        return [f"── {branch} {after}".rstrip()]
    branch, shortcut = (text if text.startswith("─") else f"─ {text}" for text in (branch, shortcut))
    rail = f"└{shortcut}".ljust(len(branch) + 2, "─")
    return [f"┬{branch} + {after}", f"{rail}┘"]


def _chain(steps: Sequence[BlockStep], *, elided: bool) -> str:
    """Names of layers, a line for open insertion points, a mark for placements."""
    words = []
    for is_plain, found in groupby(steps, key=lambda step: not (step.is_point or step.placement)):
        if is_plain:
            words += ["…"] if elided else [step.name for step in found]
        else:
            words += [_point(step) for step in found if step.is_open or step.placement]
    return " ".join(words)


def _point(step: BlockStep) -> str:
    if step.placement is None:
        return "─"
    return f"─{MARK}─" if step.is_point else MARK
