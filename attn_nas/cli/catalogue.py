"""``attn-nas spaces``, ``trunks`` and ``schema``: what there is to search."""

from __future__ import annotations

import json as json_module
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


def trunks(
    plugin: Annotated[list[str] | None, typer.Option(help="A plug-in file whose trunks are listed too.")] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """List the trunks that mechanisms can be placed in."""
    from attn_nas.plugins import registry as plugins
    from attn_nas.space.trunks import get_family, trunk_names

    for file in plugin or ():
        plugins.load_file(file, named=True)
    families = [get_family(name) for name in trunk_names()]
    if json:
        fields = ("name", "description", "depths", "default_depth", "default_width")
        print(json_module.dumps([{field: getattr(family, field) for field in fields} for family in families], indent=2))
        return
    for family in families:
        print(f"{family.name:26}depth {family.depths}; width {family.default_width}\n{'':26}{family.description}")


def schema() -> None:
    """Print the JSON Schema of search-space files, for editors."""
    from attn_nas.space.schema import json_schema

    print(json_module.dumps(json_schema(), indent=2))
