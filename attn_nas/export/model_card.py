"""Texts of an exported folder: docstring of ``model.py``, ``config.json``, model card."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from attn_nas.attention.catalog import get_mechanism
from attn_nas.export.winner import Winner
from attn_nas.format import markdown

PREDICTION = """\
from predict import predict

for name, probability in predict(model, "photo.jpg")[:3]:
    print(f"{name}: {probability:.1%}")"""
"""Code that classifies a photo from inside an exported folder, where ``model`` is the loaded network."""
_PREDICTION_SECTION = (
    "To classify a photo, a path or an image of Pillow, with a network that was loaded as above:",
    "",
    "```python",
    *PREDICTION.splitlines(),
    "```",
    "",
)


def config(winner: Winner, verified: Mapping[str, Any]) -> str:
    """Return ``config.json``: the network, its measurements, and the results of its verification."""
    preprocessing = winner.meaning.preprocessing
    described = {
        "key": winner.key,
        "genotype": winner.genotype.to_dict(),
        "num_classes": winner.task.num_classes,
        "in_channels": winner.task.channels,
        "task": vars(winner.task),
        **({"normalization": preprocessing.normalization} if preprocessing else {}),
        **winner.meaning.to_dict(),
        **winner.facts,
        "verified": verified,
    }
    return json.dumps(described, indent=2) + "\n"


def model_card(winner: Winner, files: Mapping[str, str], loading: Iterable[tuple[str, str]], verified: Iterable[str]) -> str:
    """Return ``README.md`` of a folder, with the metadata block for model hubs.

    ``files`` maps file names to descriptions, ``loading`` has pairs of a file name and the Python code that loads it, and
    ``verified`` has a line for each verified file.
    """
    rows = [
        f"| {site} | {site.block.stage} | {placement or '-'} |"
        for site, placement in winner.genotype.sites
        if placement or not site.at_stage_end
    ]
    snippets = [line for name, code in loading for line in (f"`{name}`:", "", "```python", *code.splitlines(), "```", "")]
    return "\n".join(
        [
            "---",
            *(f"{name}: {json.dumps(value)}" for name, value in _metadata(winner).items()),
            "---",
            "",
            f"# {_title(winner)}",
            "",
            f"![{winner.genotype}](placements.svg)",
            "",
            "| site | stage | attention |",
            "| --- | --- | --- |",
            *rows,
            *(
                line
                for paragraph in (*winner.summary, *winner.meaning.paragraphs(), *_training_notes(winner))
                for line in ("", markdown(paragraph))
            ),
            "",
            "## Files",
            "",
            "| file | content |",
            "| --- | --- |",
            *(f"| `{name}` | {description} |" for name, description in files.items()),
            "",
            "To load, from inside this folder:",
            "",
            *snippets,
            *(_PREDICTION_SECTION if winner.meaning.preprocessing else ()),
            "## Verified",
            "",
            "In a separate process in which attn-nas cannot be imported:",
            "",
            *(f"- {line}" for line in verified),
            "",
        ]
    )


def _training_notes(winner: Winner) -> list[str]:
    """Return what to know before the network is trained further."""
    placed = {placement.mechanism: None for _, placement in winner.genotype.sites if placement}
    names = [name for name in placed if not get_mechanism(name).trains_on_one_image]
    if not names:
        return []
    return [
        f"To train it further, every batch needs at least two images: {', '.join(names)} cannot be trained on one image, where "
        "a batch norm would see one number per channel. Drop the last batch of an epoch if it may have one image "
        "(drop_last=True in a DataLoader)."
    ]


def _title(winner: Winner) -> str:
    attention = "with attention" if winner.genotype.num_attended else "without attention"
    return f"{winner.genotype.trunk} {attention}, candidate {winner.key}"


def _metadata(winner: Winner) -> dict[str, Any]:
    metric = winner.meaning.metric
    task = ["image-classification"] if winner.meaning.preprocessing else []
    results = {
        "task": {"type": task[0] if task else "other"},
        "dataset": {"name": winner.data, "type": winner.data, **({"split": metric.split} if metric.split else {})},
        "metrics": [{"type": metric.metric.name, "name": str(metric), "value": round(metric.value, 4)}],
    }
    return {
        "tags": [*task, "attention", "neural-architecture-search"],
        "library_name": "pytorch",
        **({"pipeline_tag": task[0]} if task else {}),
        "model-index": [{"name": f"attn-nas {winner.key}", "results": [results]}],
    }
