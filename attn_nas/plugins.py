"""Mechanisms and trunks of other people: installed ones by entry point, a user's own by file.

A plug-in is a module that registers what it has when it is imported. An installed one is named by an entry point of the group
``attn_nas.plugins``; a file is named in a search space.
"""

from __future__ import annotations

import hashlib
import sys
import warnings
from collections.abc import Iterable
from importlib.metadata import entry_points
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

from attn_nas.errors import SpaceError

GROUP = "attn_nas.plugins"
_files: dict[str, Path] = {}
_installed: list[str] = []


def load_installed() -> None:
    """Import the plug-ins of installed packages, once; one that cannot be imported is told and left out."""
    if _installed:
        return
    _installed.append(GROUP)
    for entry_point in entry_points(group=GROUP):
        try:
            entry_point.load()
        except Exception as error:  # noqa: BLE001  a foreign module may raise anything
            warnings.warn(
                f"the plug-in {entry_point.name} ({entry_point.value}) is left out: {type(error).__name__}: {error}",
                stacklevel=2,
            )
        else:
            _installed.append(entry_point.name)


def load_file(path: str | Path) -> str:
    """Run a plug-in file, unless a file of the same content was run before; returns the name of its module.

    Raises:
        SpaceError: there is no such file, or it fails.

    """
    path = Path(path)
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
    except OSError as error:
        raise SpaceError(f"the plug-in {path} cannot be read: {error.strerror}") from None
    name = f"attn_nas_plugin_{path.stem}_{digest}"
    if name in _files:
        return name
    spec = spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise SpaceError(f"the plug-in {path} is no Python file")
    module = module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise SpaceError(f"the plug-in {path} fails: {type(error).__name__}: {error}") from error
    _files[name] = path.resolve()
    return name


def loaded_files() -> list[Path]:
    """The plug-in files of this process, for another one to load."""
    return list(_files.values())


def load_files(paths: Iterable[str | Path]) -> None:
    """`load_file` for each."""
    for path in paths:
        load_file(path)


def contents(paths: Iterable[str | Path]) -> list[bytes]:
    """What plug-in files say, to tell whether two spaces mean the same ones."""
    return [Path(path).read_bytes() for path in paths]
