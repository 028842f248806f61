"""The text of ``model.py``: the network of a candidate as source, and what its docstring says about it."""

from __future__ import annotations

import textwrap

from attn_nas.export.source import model_source
from attn_nas.format import capitalised, signed_percent
from attn_nas.runs.candidate import Candidate
from attn_nas.space.genotype import Genotype
from attn_nas.space.metric import ACCURACY
from attn_nas.space.task import Task

LOADING = (
    "from model import build_model\nfrom safetensors.torch import load_file\n\nmodel = build_model()\n"
    'model.load_state_dict(load_file("model.safetensors"))\nmodel.eval()'
)
"""Code that loads the network and its weights from inside the exported folder."""
_WEIGHTS = """\
Its weights are in a file beside it:

    model = build_model()
    model.load_state_dict(safetensors.torch.load_file("model.safetensors"))
"""
_WIDTH = 120


def model_file(genotype: Genotype, task: Task, about: tuple[str, ...]) -> str:
    """Return ``model.py``; the docstring has the paragraphs ``about`` the network, and how its weights are loaded."""
    paragraphs = ["\n".join(textwrap.wrap(each, _WIDTH)) if each[:1].strip() else each for each in about]
    paragraphs.append(_WEIGHTS)
    return model_source(genotype, task.num_classes, task.channels, "\n\n".join(paragraphs))


def file_of(candidate: Candidate) -> str:
    """Return ``model.py`` of a candidate with weights of its search."""
    return model_file(candidate.record.genotype, candidate.run.task, about(candidate, reached(candidate)))


def about(candidate: Candidate, reached: str) -> tuple[str, ...]:
    """Return the paragraphs of the docstring: name, blocks, and ``reached``, a clause about the metric, with the costs."""
    record, task = candidate.record, candidate.run.task
    costs = f"{record.cost.flops:,} FLOPs"
    if candidate.added_flops:
        costs += f", {signed_percent(candidate.added_share)} over no attention"
    return (
        f"{capitalised(candidate.name)} in {record.genotype.trunk}.",
        f"    {candidate.glyph}",
        f"{reached}; {costs}; images of {task.channels} x {task.height} x {task.width} (C x H x W); candidate {record.key} "
        "of attn-nas.",
    )


def reached(candidate: Candidate) -> str:
    """Return the estimate of a candidate with its interval, and which training it is of."""
    run, metric, belief = candidate.run, candidate.run.metric, candidate.belief
    name = "validation accuracy" if metric == ACCURACY else metric.name
    interval = " (90 % interval {} to {})".format(*metric.interval(belief.low, belief.high)) if belief else ""
    where = run.data_name if run.space.data else f"the {run.data_name}"
    return f"{capitalised(name)} {metric.text(candidate.accuracy)}{interval} on {where} {run.verdict.after}"
