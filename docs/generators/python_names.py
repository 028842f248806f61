"""The reference of Python: the public names, whose docstrings and signatures mkdocstrings reads."""

from __future__ import annotations

from inspect import cleandoc

import attn_nas
from generators.markdown import front_matter, table

_UNDOCUMENTED = ("__version__",)


def page() -> str:
    """All public names, first in a table, then one by one."""
    names = [name for name in attn_nas.__all__ if name not in _UNDOCUMENTED]
    ordered = sorted(names, key=str.lower)
    overview = table(("name", "what it is"), ((f"[`{name}`][attn_nas.{name}]", _summary(name)) for name in ordered))
    return "\n\n".join(
        [
            front_matter("The public names of the Python package, with signatures, errors and sources.") + "# Python",
            "Import these names from `attn_nas` itself: `from attn_nas import Search`. A name is loaded when it is first "
            "used, so that `import attn_nas` takes no time. Other names can be imported from their modules, and may change.",
            overview,
            *(f"::: attn_nas.{name}" for name in ordered),
        ]
    )


def _summary(name: str) -> str:
    described = cleandoc(getattr(attn_nas, name).__doc__ or "")
    return " ".join(described.split("\n\n")[0].split()).replace("``", "`")
