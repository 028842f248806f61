"""The gallery of mechanisms, from the catalogue, the committed measurements, and the modules themselves."""

from __future__ import annotations

from inspect import cleandoc
from typing import Any

from attn_nas.attention.catalog import get_mechanism, mechanism_names
from attn_nas.attention.measured import measured_costs, measured_where
from attn_nas.attention.mechanism import GATE_POSITIONS, Mechanism
from attn_nas.drawing.colours import FAMILY_COLOURS
from generators.commands import invocation
from generators.flow import trace
from generators.flow_svg import draw_flow
from generators.markdown import code, definitions, drawing, front_matter, table

CHANNELS, SIZE = 64, 32
_FAMILIES = {
    "channel": "One weight per channel, computed from what the channel holds over the whole map.",
    "spatial": "One weight per place of the map, the same for all channels.",
    "channel and spatial": "Weights for channels and for places.",
    "second order": "Weights per channel, computed from how channels vary together.",
    "self-attention": "Each place, or each channel, collects from all others.",
    "convolution": "These take the place of a 3x3 convolution.",
}


def page() -> str:
    """All mechanisms that come with the package, family by family."""
    costs = measured_costs(CHANNELS, SIZE)
    listed = invocation("mechanisms")
    records = [get_mechanism(name) for name in mechanism_names()]
    parts = [
        front_matter("Every attention mechanism of the catalogue: formula, paper, cost, positions and a drawing.")
        + "# Mechanism gallery",
        f"Every mechanism, with a drawing of what it computes on {CHANNELS} channels and {SIZE} x {SIZE} places. The drawings "
        "are traced from the modules. Coloured boxes have weights that are learned, grey boxes have none. Below each box "
        "stands the shape of its result, without the batch. Hyperparameters are those of the paper, or the nearest that fit.",
        f"`{listed}` prints this list, `{listed} NAME` one entry. A mechanism of your own is added by a "
        "plug-in: [extending](../extending.md). Where a mechanism may sit in a block: [positions](../positions.md).",
        table(
            ("mechanism", "family", "parameters", "FLOPs", "training step", "inference"),
            (_row(record, costs.get(record.name, {})) for record in records),
        ),
        "FLOPs count one multiply-add as one. Training step and inference: the time of a basic block with the mechanism over "
        f"that of the bare block, measured on {measured_where()}.",
    ]
    for family, described in _FAMILIES.items():
        parts.append(f"## {family[0].upper()}{family[1:]} {{: #{family.replace(' ', '-')} }}\n\n{described}")
        parts += [_section(record, costs.get(record.name, {})) for record in records if record.family == family]
    return "\n\n".join(parts)


def _row(record: Mechanism, cost: dict[str, Any]) -> tuple[str, ...]:
    slowdown = cost.get("slowdown") or {}
    times = (f"x{slowdown[name]:.2f}" if name in slowdown else "" for name in ("step", "inference"))
    numbers = (f"{cost[name]:,}" if name in cost else "" for name in ("params", "flops"))
    return (f"[`{record.name}`](#{record.name})", record.family, *numbers, *times)


def _section(record: Mechanism, cost: dict[str, Any]) -> str:
    where = f"https://arxiv.org/abs/{record.arxiv}" if record.arxiv else record.url
    title = f"[{record.title}]({where})" if where else record.title
    published = ", ".join(f"{name} {value}" for name, value in vars(record.typical).items() if value is not None)
    facts = definitions(
        [
            ("formula", code(record.formula)),
            ("paper", f"{title} ({record.year})"),
            ("hyperparameters", "; ".join(_hyperparameters(record)) or "none"),
            ("as published", published),
            ("positions", "any" if record.positions == GATE_POSITIONS else ", ".join(map(code, record.positions))),
            ("cost", f"{cost['params']:,} parameters, {cost['flops']:,} FLOPs" if "params" in cost else ""),
            ("also called", ", ".join(map(code, record.aliases))),
            ("note", record.note),
        ]
    )
    described = cleandoc(record.load().__doc__ or "").split("\n\n")[0]
    drawn = draw_flow(
        trace(record.build_typical(CHANNELS), (CHANNELS, SIZE, SIZE)),
        f"What {record.name} computes",
        FAMILY_COLOURS[record.family],
    )
    text = " ".join(described.replace("``", "`").split())
    return f"### {record.name} {{: #{record.name} }}\n\n{text}\n\n{facts}\n\n{drawing(drawn)}"


def _hyperparameters(record: Mechanism) -> list[str]:
    named = (("reductions", record.reductions), ("kernel_sizes", record.kernel_sizes), ("groups", record.groups))
    return [f"`{name}` {', '.join(map(str, values))}" for name, values in named if values]
