"""Source for winners on a network of the user's own: ``insert.py``, and the code that makes the bare network."""

from __future__ import annotations

import json
from pathlib import Path

from attn_nas.errors import ExportError
from attn_nas.export.lean.layout import LINE
from attn_nas.export.source import Collector, literal
from attn_nas.models.insertion.at_sites import SiteInsertion, insert_at_sites
from attn_nas.models.insertion.undoing import remove
from attn_nas.models.insertion.user_model import class_parameter, site_insertion
from attn_nas.plugins.trust import remembered_folder
from attn_nas.plugins.user_code import UserCode
from attn_nas.space.genotype import Genotype, Placement
from attn_nas.space.host import Host, HostSite

_INSERT = '''def insert(model: nn.Module, *, identity_init: bool = False) -> nn.Module:
    """Put the attention into ``model``, in place, and return it; ``remove(model)`` takes it out again.

    With ``identity_init``, gates that can start as the identity do so, and do not change pretrained features at first.

    Raises:
        ValueError: the model has other modules, or has attention at these positions already; it is not changed.

    """
    return insert_at_sites(model, INSERTIONS, identity_init=identity_init)'''
_LOAD = '''\
"""Makes the bare network of {text}; the user's file may import attn_nas, the exported files may not."""

import importlib
import importlib.util
import sys


def load():
    {load}


def build_model():
    sys.modules.pop("attn_nas", None)
    try:
        return load().{function}(**{arguments})
    finally:
        sys.modules["attn_nas"] = None
'''


def insert_source_of_host(genotype: Genotype) -> str:
    """Return a Python module that imports only torch and the standard library, and defines ``insert(model)``.

    It names the modules of the user's network and has the source of the classes that it inserts.
    """
    insertions = [site_insertion(placement, site) for site, placement in _placed(genotype)]
    collected = Collector()
    left = collected.add_mechanisms([(each.mechanism, each.channels, each.arguments) for each in insertions])
    insertions = [each._replace(arguments=passed) for each, passed in zip(insertions, left, strict=True)]
    for item in (*(insertion.host for insertion in insertions if insertion.host), insert_at_sites, remove):
        collected.add(item)
    collected.shorten_texts()
    lines = ["INSERTIONS = [", *map(_insertion, insertions), "]"] if insertions else ["INSERTIONS: list[SiteInsertion] = []"]
    return collected.module(_docstring(genotype), "\n".join(lines), _INSERT)


def _placed(genotype: Genotype) -> list[tuple[HostSite, Placement]]:
    return [(site, placement) for site, placement in genotype.sites if placement and isinstance(site, HostSite)]


def _docstring(genotype: Genotype) -> str:
    places = _placed(genotype)
    return "\n".join(
        [
            f"Attention for the network that {genotype.trunk} makes, found by attn-nas (candidate {genotype.key}).",
            "",
            *(f"    {site}: {placement}" for site, placement in places),
            *[""] * bool(places),
            "Put this file next to yours, and write:",
            "",
            "    from insert import insert",
            "",
            "    model = insert(model, identity_init=True)",
            "",
            "The model is changed in place: its weights keep their values and names. New modules start with untrained weights.",
            "",
        ]
    )


def _insertion(insertion: SiteInsertion) -> str:
    written = ", ".join(f"{literal(name)}: {literal(value)}" for name, value in insertion.arguments.items())
    values = [*map(literal, insertion[:6]), f"{{{written}}}", *(["replaces=True"] if insertion.replaces else [])]
    line = f"    SiteInsertion({', '.join(values)}),"
    return (
        line if len(line) <= LINE else "\n".join(["    SiteInsertion(", *(f"        {value}," for value in values), "    ),"])
    )


def host_arguments(host: Host, num_classes: int | None) -> str:
    """The keyword arguments of the function that makes ``host``, as the source of a mapping; ``num_classes`` if it is known."""
    maker = host.maker()
    given = json.loads(host.arguments)
    name = None if not num_classes else class_parameter(maker.load() if isinstance(maker, UserCode) else maker)
    return repr({**given, **({name: num_classes} if name and name not in given else {})})


def host_source(host: Host, num_classes: int | None, folder: Path) -> str:
    """Return a Python module whose ``build_model()`` makes the bare network by the user's code.

    The user's file is written to ``folder``, as it was when the run began.

    Raises:
        ExportError: the function has no file or module.

    """
    maker = host.maker()
    if not isinstance(maker, UserCode):
        raise ExportError(
            f"the function {host} has no file and no module, so that no other process can check the export: put it into a "
            "file, and begin a new run"
        )
    if maker.file is None:
        load = f"return importlib.import_module({maker.module!r})"
    else:
        code = maker.read()
        file = folder / f"{Path(maker.file).stem}-{host.version}" / Path(maker.file).name
        file.parent.mkdir(exist_ok=True)
        file.write_text(code.source().decode(), encoding="utf-8")
        beside = remembered_folder(code.source().decode())
        name = f"user_code_{host.version}"
        load = "\n    ".join(
            [
                *([f"sys.path.append({str(beside)!r})"] if beside else []),
                f"spec = importlib.util.spec_from_file_location({name!r}, {str(file)!r})",
                f"sys.modules[{name!r}] = module = importlib.util.module_from_spec(spec)",
                "spec.loader.exec_module(module)",
                "return module",
            ]
        )
    return _LOAD.format(text=host, load=load, function=maker.name, arguments=host_arguments(host, num_classes))


def loading_of_host(genotype: Genotype, num_classes: int) -> str:
    """Return the code that makes the trained network from inside the exported folder."""
    host = genotype.trunk
    assert isinstance(host, Host)
    where, _, function = host.code.rpartition(":")
    module = where.removesuffix(".py") or "your_module"
    name = function.rpartition(".")[2]
    return "\n".join(
        [
            "from safetensors.torch import load_file",
            "",
            "from insert import insert",
            f"from {module} import {name}  # your own file",
            "",
            f"model = insert({name}(**{host_arguments(host, num_classes)}))",
            'model.load_state_dict(load_file("model.safetensors"))',
            "model.eval()",
        ]
    )
