"""``attn-nas sites``: where attention can go in a network of the user's own, and what it would cost there."""

import json as json_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from attn_nas.cli.options import JsonOption

if TYPE_CHECKING:
    from attn_nas.cost.site_costs import SiteCosts

_USUAL = ("se", "eca", "cbam", "scse")


def sites(
    code: Annotated[str, typer.Argument(metavar="FILE:FUNCTION", help="Function that makes the network, or MODULE:FUNCTION.")],
    example: Annotated[str, typer.Option(help="Shape of one input: channels,height,width.")],
    pattern: Annotated[
        list[str] | None,
        typer.Option("--sites", help="Pattern of names, such as 'decoder.blocks.*', in the place of the repeated blocks."),
    ] = None,
    argument: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="Keyword argument of the function; repeat it for several.")
    ] = None,
    mechanism: Annotated[
        list[str] | None, typer.Option(help="Mechanism whose cost is listed, or all; se, eca, cbam and scse by default.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """List the modules of your own network that may receive attention, and what mechanisms would cost there."""
    from attn_nas.attention.catalog import get_mechanism, mechanism_names
    from attn_nas.cost.site_costs import SiteCosts
    from attn_nas.plugins.user_code import UserCode
    from attn_nas.space.model_settings import model_of

    names = mechanism_names() if mechanism == ["all"] else [get_mechanism(name).name for name in mechanism or _USUAL]
    given = {"arguments": _arguments(argument or ()), "example": _shape(example), "sites": pattern}
    settings = model_of({**UserCode.parse(code).to_dict(), **{name: value for name, value in given.items() if value}}, Path())
    costs = SiteCosts(settings.host())
    if json:
        print(json_module.dumps(_document(costs, names), indent=2))
    else:
        _print_table(costs, names)


def _shape(text: str) -> list[int]:
    from attn_nas.errors import UsageError

    numbers = text.replace("x", ",").split(",")
    if len(numbers) != 3 or not all(number.strip().isdecimal() for number in numbers):
        raise UsageError(f"example = {text!r}: write channels, height and width, such as 3,224,224")
    return [int(number) for number in numbers]


def _arguments(texts: "tuple[str, ...] | list[str]") -> dict[str, Any]:
    """Keyword arguments from texts NAME=VALUE, whose values are read as in a search-space file."""
    from attn_nas.errors import UsageError
    from attn_nas.space import core_yaml

    found: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (equals and name.isidentifier()):
            raise UsageError(f"argument {text!r}: write NAME=VALUE, such as width=32")
        found[name] = core_yaml.read(value)[1]
    return found


def _document(costs: "SiteCosts", names: list[str]) -> dict[str, Any]:
    return {
        "model": str(costs.host),
        "example": [*costs.host.example],
        "cost": costs.bare.to_dict(),
        "sites": [
            {
                "name": site.name,
                "kind": site.kind,
                "shape": [*site.shape],
                "positions": [*site.positions],
                "family": site.block.family or None,
                "calls": site.block.calls,
                "stage": site.block.stage,
                "costs": {
                    name: {"why_not": cost} if isinstance(cost, str) else cost.to_dict()
                    for name, cost in costs.at(site, names).items()
                },
            }
            for site in costs.host.sites
        ],
    }


def _print_table(costs: "SiteCosts", names: list[str]) -> None:
    from attn_nas.attention.mechanism import GATE_POSITIONS
    from attn_nas.format import count
    from attn_nas.terminal.console import console
    from attn_nas.terminal.grid import grid

    host, out = costs.host, console(highlight=False)
    out.print(
        f"{host}: {count(costs.bare.flops)} FLOPs, {costs.bare.params:,} parameters, {len(host.sites)} sites", markup=False
    )
    out.print()
    rows, whole = [], (*GATE_POSITIONS, "replace")
    for site in host.sites:
        at = site.positions
        positions = " ".join(["all", *(p for p in at if p not in whole)] if set(whole) <= set(at) else at)
        shape = " x ".join(map(str, site.shape)) + (f" ({site.block.calls} times)" if site.block.calls > 1 else "")
        added = (
            "-" if isinstance(cost, str) else f"{cost.flops / costs.bare.flops:+.2%}" for cost in costs.at(site, names).values()
        )
        rows.append([site.name, site.kind, shape, positions, *added])
    headings = ("name", "kind", "shape", "positions", *names)
    for line in grid(headings, rows, None if not out.is_terminal else out.width, cut="name", left=headings[:4]):
        out.print(line, soft_wrap=True)
    out.print()
    for note in (
        "shape: channels x height x width of the output. all: pre, inner, pre_norm, standard, identity, post, replace.",
        "Mechanisms: added FLOPs, as a share of the whole network's, with the sizes of their papers; -: not possible there.",
    ):
        out.print(note, style="dim", soft_wrap=True)
