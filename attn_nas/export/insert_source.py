"""Standalone source that puts the placements of one genotype into a model of torchvision, timm or this package."""

from __future__ import annotations

from attn_nas.export.lean.layout import LINE
from attn_nas.export.own_model import insert_source_of_host
from attn_nas.export.source import Collector, literal
from attn_nas.models.build import site_call
from attn_nas.models.insertion import hosts_of, plan_of
from attn_nas.models.insertion.hosts import HostBlock
from attn_nas.models.insertion.placing import Insertion, InsertionPlan, insert_mechanisms
from attn_nas.space.genotype import Genotype
from attn_nas.space.trunks import Trunk

_INSERT = '''def insert(model: nn.Module, *, identity_init: bool = False) -> nn.Module:
    """Put the attention into ``model``, in place, and return it.

    With ``identity_init``, gates that can start as the identity do so, and do not change pretrained features at first.

    Raises:
        ValueError: the model has other blocks, or has attention at these positions already; it is not changed.

    """
    return insert_mechanisms(model, PLAN, HOSTS, identity_init=identity_init)'''


def insert_source(genotype: Genotype) -> str:
    """Return a Python module that imports only torch and the standard library, and defines ``insert(model)``.

    ``insert`` changes a model as `attn_nas.insert` does with ``genotype``; it knows only the blocks of the trunk's family.
    """
    if not isinstance(genotype.trunk, Trunk):
        return insert_source_of_host(genotype)
    hosts, plan = hosts_of(genotype.trunk), plan_of(genotype)
    collected = Collector()
    left = collected.add_mechanisms([site_call(placement, site) for site, placement in genotype.sites if placement])
    plan = plan._replace(
        insertions=tuple(each._replace(arguments=passed) for each, passed in zip(plan.insertions, left, strict=True))
    )
    for item in (HostBlock, *hosts, insert_mechanisms):
        collected.add(item)
    collected.shorten_texts()
    names = [host.__name__ for host in hosts]
    found = f"HOSTS: tuple[type[HostBlock], ...] = ({', '.join(names)}{',' * (len(names) == 1)})"
    return collected.module(_docstring(genotype, genotype.trunk), f"{found}\n{_plan(plan)}", _INSERT)


def _docstring(genotype: Genotype, trunk: Trunk) -> str:
    places = [placement for _, placement in genotype.sites if placement]
    replacing = any(placement.position == "replace" for placement in places)
    return "\n".join(
        [
            f"Attention for the blocks of {trunk}, found by attn-nas (candidate {genotype.key}).",
            "",
            *(f"    {site}: {placement}" for site, placement in genotype.sites if placement),
            *[""] * bool(places),
            "Put this file next to yours, and write:",
            "",
            *(f"    {line}".rstrip() for line in _example(trunk)),
            "",
            "It knows the blocks of",
            "",
            *(f"    {title}" for title in (*(host.title for host in hosts_of(trunk)), f"{trunk} itself")),
            "",
            "The model may be wider or narrower. It is changed in place: its weights keep their values and names. New modules",
            "start with untrained weights, so fine-tune it." + " Replaced convolutions lose their weights." * replacing,
            "",
        ]
    )


def _example(trunk: Trunk) -> list[str]:
    function = {
        "resnet": f"resnet{trunk.depth}",
        "resnext": "resnext50_32x4d",
        "mobilenet_v2": "mobilenet_v2",
        "mobilenet_v3_large": "mobilenet_v3_large",
        "convnext": {59: "convnext_tiny", 113: "convnext_small"}.get(trunk.depth),
    }.get(trunk.name)
    if function is None:
        return ["from insert import insert", "", "model = insert(model, identity_init=True)"]
    imports = ["from insert import insert", f"from torchvision.models import {function}"]
    return [*imports, "", f'model = insert({function}(weights="DEFAULT"), identity_init=True)']


def _plan(plan: InsertionPlan) -> str:
    return "\n".join(
        [
            "PLAN = InsertionPlan(",
            f"    {literal(plan.trunk)},",
            f"    stage_lengths={plan.stage_lengths!r},",
            "    blocks=(",
            *(f"        Geometry({', '.join(map(literal, block))})," for block in plan.blocks),
            "    ),",
            *(["    insertions=(", *map(_insertion, plan.insertions), "    ),"] if plan.insertions else ["    insertions=(),"]),
            ")",
        ]
    )


def _insertion(insertion: Insertion) -> str:
    written = ", ".join(f"{literal(name)}: {literal(value)}" for name, value in insertion.arguments.items())
    values = [*map(literal, insertion[:3]), f"{{{written}}}", *map(literal, filter(None, [insertion.replaces]))]
    line = f"        Insertion({', '.join(values)}),"
    return (
        line
        if len(line) <= LINE
        else "\n".join(["        Insertion(", *(f"            {value}," for value in values), "        ),"])
    )
