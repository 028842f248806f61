"""``attn-nas catalog spaces``, ``trunks`` and ``schema``: the choices of a search space."""

import json as json_module
from typing import Annotated

import typer

from attn_nas.cli.options import JsonOption


def spaces(
    name: Annotated[str | None, typer.Argument(help="Print the file of this space, to be copied and edited.")] = None,
) -> None:
    """List the search spaces that are part of attn-nas, or print the file of one."""
    from attn_nas.errors import SpaceError, unknown
    from attn_nas.space.loading import builtin_spaces

    shipped = builtin_spaces()
    if name is not None:
        if name not in shipped:
            raise SpaceError(unknown("search space", name, shipped))
        print(shipped[name].read_text(encoding="utf-8"), end="")
        return
    width = max(map(len, shipped)) + 2
    for space, path in shipped.items():
        comments = [line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("# ")]
        print(f"{space:{width}}{comments[1].removeprefix('# ')}")


def trunks(
    plugin: Annotated[list[str] | None, typer.Option(help="List the trunks of this plug-in file too.")] = None,
    json: JsonOption = False,
) -> None:
    """List the trunks (CNN families) that mechanisms can be placed in, with their depths and default width."""
    from attn_nas.plugins import registry as plugins
    from attn_nas.space.trunks import get_family, trunk_names

    for file in plugin or ():
        plugins.load_file(file, named=True)
    families = [get_family(name) for name in trunk_names()]
    if json:
        fields = ("name", "description", "depths", "default_depth", "default_width")
        print(json_module.dumps([{field: getattr(family, field) for field in fields} for family in families], indent=2))
        return
    width = max(len(family.name) for family in families) + 2
    for family in families:
        print(f"{family.name:{width}}depth {family.depths}; width {family.default_width}\n{'':{width}}{family.description}")


def schema() -> None:
    """Print the JSON Schema of search-space files, for editors."""
    from attn_nas.space.schema import json_schema

    print(json_module.dumps(json_schema(), indent=2))
