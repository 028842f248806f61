"""Texts of an exported folder: the docstring of ``model.py``, ``config.json`` and the model card."""

from __future__ import annotations

import json
from typing import Any

from attn_nas.proxy import StepProfile
from attn_nas.sampling import Belief
from attn_nas.study.results import Candidate, Run

_LOADING = """from model import build_model
from safetensors.torch import load_file

model = build_model()
model.load_state_dict(load_file("model.safetensors"))
model.eval()"""


def summary(run: Run, candidate: Candidate) -> list[str]:
    """What was measured, a line each."""
    results, cost = candidate.results, candidate.record.cost
    meta = run.meta
    seeds = f"{len(results)} seed{'s' * (len(results) > 1)}"
    return [
        f"Validation accuracy {candidate.measured.hundredths()} % on {meta['space']['data']['name']} after a short proxy run "
        f"of {results[0].epochs} epochs,",
        f"the mean of {seeds} with its standard error; the weights are those of seed {run.weights_seed(candidate)}.",
        *_believed(candidate.belief),
        f"{cost.flops:,} FLOPs ({candidate.added_flops:+,} over the bare trunk; {meta['flops_convention']}),",
        f"{cost.macs:,} MACs in convolutions and matrix products, {cost.params:,} parameters.",
        *_times(candidate.record.profile),
        f"Input: pixels 0..1, {run.task.channels} x {run.task.height} x {run.task.width}, "
        f"minus {_numbers(meta['normalization']['mean'])}, divided by {_numbers(meta['normalization']['std'])}.",
        f"Trained with attn-nas {meta['versions']['attn_nas']} and torch {meta['versions']['torch']}.",
    ]


def _believed(belief: Belief | None) -> list[str]:
    if belief is None:
        return []
    return [
        f"With what the run's other candidates say: between {100 * belief.low:.2f} and {100 * belief.high:.2f} % with a "
        f"probability of 90 %,",
        f"on the run's front with one of {100 * belief.chance:.0f} %.",
    ]


def _times(profile: StepProfile | None) -> list[str]:
    if profile is None:
        return []
    return [
        f"Beside the bare trunk, in turns: training step {profile.step_ratio:.2f} x, inference of one image "
        f"{profile.latency_1_ratio:.2f} x,",
        f"of 128 images {profile.latency_128_ratio:.2f} x, memory of a training step {profile.step_memory_ratio:.2f} x.",
    ]


def docstring(run: Run, candidate: Candidate) -> str:
    """The docstring of ``model.py``: the network block by block, what was measured, how to load it."""
    genotype = candidate.record.genotype
    sites = [
        f"    {site} (stage {site.block.stage}): {placement or '-'}"
        for site, placement in genotype.sites
        if placement or not site.at_stage_end
    ]
    loading = [f"    {line}".rstrip() for line in _LOADING.splitlines()]
    head = f"{genotype.trunk} with attention, candidate {candidate.record.key}."
    return "\n".join([head, "", *sites, "", *summary(run, candidate), "", "To load the weights:", "", *loading, ""])


def config(run: Run, candidate: Candidate) -> dict[str, Any]:
    """The content of ``config.json``."""
    return {
        "key": candidate.record.key,
        "genotype": candidate.record.genotype.to_dict(),
        "task": vars(run.task),
        "data": run.meta["space"]["data"],
        "normalization": run.meta["normalization"],
        "proxy": run.meta["space"]["proxy"],
        "results": [result.to_dict() for result in candidate.results],
        "belief": candidate.belief.to_dict() if candidate.belief else None,
        "weights_seed": run.weights_seed(candidate),
        "cost": candidate.record.cost.to_dict(),
        "added_flops": candidate.added_flops,
        "profile": candidate.record.profile.to_dict() if candidate.record.profile else None,
        "flops_convention": run.meta["flops_convention"],
        "versions": run.meta["versions"],
    }


def model_card(run: Run, candidate: Candidate) -> str:
    """``README.md`` of an exported folder, with the metadata block that model hubs read."""
    record = candidate.record
    data = run.meta["space"]["data"]["name"]
    metadata = {
        "tags": ["image-classification", "attention", "neural-architecture-search"],
        "library_name": "pytorch",
        "model-index": [
            {
                "name": f"attn-nas {record.key}",
                "results": [
                    {
                        "task": {"type": "image-classification"},
                        "dataset": {"name": data, "type": data, "split": "validation"},
                        "metrics": [{"type": "accuracy", "value": round(candidate.measured.value, 4)}],
                    }
                ],
            }
        ],
    }
    rows = [
        f"| {site} | {site.block.stage} | {placement or '-'} |"
        for site, placement in record.genotype.sites
        if placement or not site.at_stage_end
    ]
    return "\n".join(
        [
            "---",
            *(f"{name}: {json.dumps(value)}" for name, value in metadata.items()),
            "---",
            "",
            f"# {record.genotype.trunk} with attention: {record.key}",
            "",
            "| site | stage | attention |",
            "| --- | --- | --- |",
            *rows,
            "",
            *summary(run, candidate),
            "",
            "```python",
            _LOADING,
            "```",
            "",
        ]
    )


def _numbers(values: list[float]) -> str:
    return "(" + ", ".join(f"{value:.4f}" for value in values) + ")"
