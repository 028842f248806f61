"""``attn-nas catalog mechanisms``: attention mechanisms and their costs."""

import json as json_module
from typing import TYPE_CHECKING, Annotated, Any

import typer

from attn_nas.cli.options import JsonOption

if TYPE_CHECKING:
    from attn_nas.attention.mechanism import Mechanism


def mechanisms(
    name: Annotated[str | None, typer.Argument(help="Print all details of this mechanism.")] = None,
    channels: Annotated[int, typer.Option(max=4096, help="Number of channels that costs are given for.")] = 64,
    size: Annotated[int, typer.Option(max=4096, help="Height and width, in places, that costs are given for.")] = 32,
    measure: Annotated[bool, typer.Option("--measure", help="Time a training step on this machine now.")] = False,
    plugin: Annotated[list[str] | None, typer.Option(help="List the mechanisms of this plug-in file too.")] = None,
    json: JsonOption = False,
) -> None:
    """List the attention mechanisms with their costs, or print all details of one."""
    from attn_nas.attention.catalog import get_mechanism, mechanism_names
    from attn_nas.errors import UsageError
    from attn_nas.plugins import registry as plugins

    if channels < 1 or size < 1:
        raise UsageError(f"--channels {channels} --size {size}: choose integers of at least 1")
    for file in plugin or ():
        plugins.load_file(file, named=True)
    records = [get_mechanism(found) for found in ([name] if name else mechanism_names())]
    costs = _costs(records, channels, size, measure)
    if json:
        documents = [{**_document(record), "cost": costs.get(record.name)} for record in records]
        print(json_module.dumps(documents[0] if name else documents, indent=2, default=dict))
    elif name:
        _print_record(records[0], costs.get(records[0].name), channels, size)
    else:
        _print_table(records, costs, channels, size, measure)


def _costs(records: "list[Mechanism]", channels: int, size: int, measure: bool) -> dict[str, dict[str, Any]]:
    """Return parameters, MACs, FLOPs and slowdown by name, or the reason why a mechanism has none (``why_not``).

    Uses the measurements in the package if they cover ``channels`` and ``size``; with ``measure``, or without them, counts and
    times on this machine.
    """
    from attn_nas.attention.measured import measured_costs

    shipped = measured_costs(channels, size)
    if not measure and all(record.name in shipped for record in records):
        return shipped
    from attn_nas.training.catalogue_costs import catalogue_costs

    counted = catalogue_costs(records, channels, size, measure)
    return {
        name: cost if "why_not" in cost else {"slowdown": shipped.get(name, {}).get("slowdown"), **cost}
        for name, cost in counted.items()
    }


def _document(record: "Mechanism") -> dict[str, Any]:
    """Return a record as JSON-ready data, without the fields that only the builder needs."""
    hidden = {"target", "takes_stride", "fixed"}
    return {field: value for field, value in vars(record).items() if field not in hidden} | {"typical": vars(record.typical)}


def _print_record(record: "Mechanism", cost: dict[str, Any] | None, channels: int, size: int) -> None:
    from inspect import cleandoc

    shown: dict[str, object] = {
        "name": record.name,
        "also": ", ".join(record.aliases),
        "family": record.family,
        "formula": record.formula,
        "paper": f"{record.title} ({record.year})",
        "read": f"https://arxiv.org/abs/{record.arxiv}" if record.arxiv else record.url,
        "reductions": ", ".join(map(str, record.reductions)),
        "kernel sizes": ", ".join(map(str, record.kernel_sizes)),
        "groups": ", ".join(map(str, record.groups)),
        "as published": ", ".join(f"{name} {value}" for name, value in vars(record.typical).items() if value is not None),
        "positions": ", ".join(record.positions),
        "smallest batch": record.min_batch,
        "gate scale": f"{record.gate_scale:.2f} of the input, at the start" if record.gate_scale is not None else "",
        "identity_init": "can start at the identity" if record.identity_init else "",
        "cost class": record.cost_class,
        "ONNX": "exports with batch, height and width left open" if record.dynamic_onnx else "",
        "note": record.note,
    }
    if cost and "why_not" in cost:
        shown["cost"] = f"none at {channels} channels: {cost['why_not']}"
    elif cost:
        at = f"at {channels} channels and {size} x {size} places"
        shown["cost"] = f"{cost['params']:,} parameters, {cost['macs']:,} MACs, {cost['flops']:,} FLOPs {at}"
        if cost["slowdown"]:
            slowdown = cost["slowdown"]
            shown["time"] = (
                f"x{slowdown['step']:.2f} a training step, x{slowdown['inference']:.2f} an inference of a basic block"
            )
    for heading, value in shown.items():
        if value:
            print(f"{heading:16}{value}")
    described = record.load().__doc__
    if described:
        print(f"\n{cleandoc(described)}")


def _print_table(
    records: "list[Mechanism]", costs: dict[str, dict[str, Any]], channels: int, size: int, measured_now: bool
) -> None:
    from rich.table import Table

    from attn_nas.attention.measured import measured_where
    from attn_nas.attention.mechanism import GATE_POSITIONS
    from attn_nas.terminal.console import console

    out = console(highlight=False)
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for heading in ("name", "choices", "where", "params", "FLOPs", "step", "paper"):
        table.add_column(heading, justify="right" if heading in ("params", "FLOPs", "step") else "left")
    for index, record in enumerate(records):
        if not index or records[index - 1].family != record.family:
            table.add_section()
            table.add_row(f"[bold]{record.family}[/]")
        cost = costs[record.name]
        slowdown = cost.get("slowdown")
        table.add_row(
            record.name,
            _choices(record),
            "any" if record.positions == GATE_POSITIONS else " ".join(record.positions),
            _short(cost["params"]) if "params" in cost else "-",
            _short(cost["flops"]) if "flops" in cost else "-",
            f"x{slowdown['step']:.2f}" if slowdown else "-",
            record.arxiv or f"{record.year}",
        )
    out.print(table)
    for name, cost in costs.items():
        if "why_not" in cost:
            out.print(f"{name} has no cost: {cost['why_not']}", markup=False)
    where = "this machine, now" if measured_now else measured_where()
    for line in (
        f"params and FLOPs at {channels} channels, {size} x {size} places, hyperparameters as published (or the nearest).",
        f"step: training time of a basic block with the mechanism, relative to the block without it, on {where}.",
        f"choices: r reduction, k kernel size, g groups. any: {', '.join(GATE_POSITIONS)}.",
        "All details of one: attn-nas catalog mechanisms NAME",
    ):
        out.print(line, style="dim")


def _choices(record: "Mechanism") -> str:
    """Write the hyperparameters in short, as ``r2-32 k3-9``."""
    parts = []
    for letter, values in (("r", record.reductions), ("k", record.kernel_sizes), ("g", record.groups)):
        numbers = [value for value in values if isinstance(value, int)]
        if numbers:
            parts.append(f"{letter}{min(numbers)}-{max(numbers)}")
    return " ".join(parts) or "-"


def _short(number: int) -> str:
    """Write a number with three digits and a unit, as ``1.23 k``."""
    value = float(number)
    for unit in ("", " k", " M", " G"):
        if value < 1000 or unit == " G":
            break
        value /= 1000
    return f"{value:.3g}{unit}"
