"""``attn-nas spaces``, ``mechanisms`` and ``schema``: what there is to search."""

from __future__ import annotations

import json as json_module
from dataclasses import fields
from typing import Annotated

import typer


def spaces(
    name: Annotated[str | None, typer.Argument(help="Print this space's file, to be copied and changed.")] = None,
) -> None:
    """List the shipped search spaces, or print one."""
    from attn_nas.errors import SpaceError, unknown
    from attn_nas.space.loading import builtin_spaces

    shipped = builtin_spaces()
    if name is not None:
        if name not in shipped:
            raise SpaceError(unknown("search space", name, shipped))
        print(shipped[name].read_text(encoding="utf-8"), end="")
        return
    for space, path in shipped.items():
        comments = [line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("# ")]
        print(f"{space:24}{comments[1].removeprefix('# ')}")


def mechanisms(
    name: Annotated[str | None, typer.Argument(help="Print this mechanism in full.")] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """List the attention mechanisms, or print one in full."""
    from attn_nas.attention.catalog import get_mechanism, mechanism_names
    from attn_nas.attention.mechanism import GATE_POSITIONS

    records = [get_mechanism(found) for found in ([name] if name else mechanism_names())]
    hidden = {"target", "takes_stride"}
    documents = [{f.name: getattr(r, f.name) for f in fields(r) if f.name not in hidden} for r in records]
    if json:
        print(json_module.dumps(documents[0] if name else documents, indent=2, default=dict))
        return
    if name:
        for field, value in documents[0].items():
            text = ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
            if value:
                print(f"{field:14}{text}")
        return
    from rich.console import Console
    from rich.table import Table

    slots = f"Slots: {', '.join(GATE_POSITIONS)}"
    table = Table(box=None, pad_edge=False, caption=slots, caption_justify="left")
    for heading in ("name", "family", "reductions", "kernel sizes", "positions", "arXiv"):
        table.add_column(heading)
    for record in records:
        table.add_row(
            record.name,
            record.family,
            " ".join(map(str, record.reductions)) or "-",
            " ".join(map(str, record.kernel_sizes)) or "-",
            "any slot" if record.positions == GATE_POSITIONS else " ".join(record.positions),
            record.arxiv,
        )
    Console(highlight=False).print(table)


def schema() -> None:
    """Print the JSON Schema of search-space files, for editors."""
    from attn_nas.space.schema import json_schema

    print(json_module.dumps(json_schema(), indent=2))
