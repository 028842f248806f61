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

    from safetensors.torch import load_file

    model = build_model()
    model.load_state_dict(load_file("model.safetensors"))
"""
_WIDTH = 120


def model_file(genotype: Genotype, task: Task, about: tuple[str, ...], *, has_weights: bool = True) -> str:
    """Return ``model.py``; the docstring has the paragraphs ``about`` the network.

    With ``has_weights`` it also says how the weights are loaded from the file beside it.
    """
    paragraphs = ["\n".join(textwrap.wrap(each, _WIDTH)) if each[:1].strip() else each for each in about]
    if has_weights:
        paragraphs.append(_WEIGHTS)
    return model_source(genotype, task.num_classes, task.channels, "\n\n".join(paragraphs))


def file_of(candidate: Candidate) -> str:
    """Return ``model.py`` of a candidate, with what its search knows of it; weights are mentioned only if they were kept."""
    record, run = candidate.record, candidate.run
    has_weights = run.folder.weights_of(record.key).exists()
    return model_file(record.genotype, run.task, about(candidate, reached(candidate)), has_weights=has_weights)


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
