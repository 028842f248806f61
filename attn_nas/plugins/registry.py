"""Registries of mechanisms, trunks and data sets, and the plug-ins that extend them.

A plug-in is a Python module that registers some of these when it is imported. Installed packages declare theirs with an
entry point in the group ``attn_nas.plugins``; a search space names plug-in files. A file is read once per process; workers
receive the source that was read, even if the file changes later.
"""

from __future__ import annotations

import hashlib
import linecache
import re
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, Generic, TypeVar

from attn_nas.errors import SpaceError, unknown
from attn_nas.plugins.trust import check_trusted, remember
from attn_nas.torchvision_operators import declare_torchvision_operators

GROUP = "attn_nas.plugins"
_INSTALLED = "an installed package"
_NAME = re.compile(r"[a-z][a-z0-9_]*")
Record = TypeVar("Record")


@dataclass(frozen=True)
class PluginFile:
    """A plug-in file as it was read: its path and its source."""

    path: Path = field(compare=False)
    source: str

    @property
    def module_name(self) -> str:
        """The name of its module; it contains a digest of the source, so that versions differ."""
        return f"attn_nas_plugin_{self.path.stem}_{hashlib.sha256(self.source.encode()).hexdigest()[:8]}"


class Registry(Generic[Record]):
    """Records by name and alias, with their origin (built in, an installed package, a plug-in file).

    Names are unique. A plug-in file may replace records of an earlier version of itself or of an installed package. The
    ``builtin`` records cannot be replaced; ``aliases`` maps other names to theirs. ``kind`` names the records in messages.
    """

    def __init__(self, kind: str, builtin: Mapping[str, Record], aliases: Mapping[str, str] | None = None) -> None:
        self.kind = kind
        self._records: dict[str, Record] = dict(builtin)
        self._aliases: dict[str, str] = dict(aliases or {})
        self._origins: dict[str, str | None] = dict.fromkeys(builtin)
        _registries.append(self)

    def add(self, record: Record, name: str, aliases: Sequence[str] = ()) -> None:
        """Register ``record``.

        Raises:
            SpaceError: ``name`` is invalid, or it or one of the ``aliases`` is taken.

        """
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise SpaceError(f"{self.kind} name {name!r}: choose lower-case letters, digits and underscores")
        for wanted in (name, *aliases):
            holder = self._aliases.get(wanted, wanted)
            if holder in self._records:
                if self._origins[holder] not in (_origin[-1], _INSTALLED) or _origin[-1] is None:
                    raise SpaceError(f"{self.kind} name {wanted!r} is taken: choose another name")
                self._remove(holder)
        self._records[name] = record
        self._origins[name] = _origin[-1]
        self._aliases.update(dict.fromkeys(aliases, name))

    def _remove(self, name: str) -> None:
        del self._records[name], self._origins[name]
        self._aliases = {alias: of for alias, of in self._aliases.items() if of != name}

    def names(self) -> list[str]:
        """All names in order of registration, including those of installed plug-ins."""
        load_installed()
        return list(self._records)

    def get(self, name: str) -> Record:
        """The record of a name or an alias.

        Raises:
            SpaceError: the name is unknown; the message lists all names.

        """
        load_installed()
        resolved = self._aliases.get(name, name)
        if resolved not in self._records:
            raise SpaceError(unknown(self.kind, name, self._records))
        return self._records[resolved]

    @contextmanager
    def unchanged_by_failure(self) -> Iterator[None]:
        """Undo all registrations of the block if it fails."""
        before = dict(self._records), dict(self._aliases), dict(self._origins)
        try:
            yield
        except BaseException:
            self._records, self._aliases, self._origins = before
            raise


_registries: list[Registry[Any]] = []
_origin: list[str | None] = [None]
_active: dict[str, PluginFile] = {}


@contextmanager
def _registering_as(origin: str) -> Iterator[None]:
    """Give registrations of the block this ``origin``; undo them if the block fails."""
    _origin.append(origin)
    try:
        with ExitStack() as stack:
            for registry in _registries:
                stack.enter_context(registry.unchanged_by_failure())
            yield
    finally:
        _origin.pop()


@cache
def load_installed() -> None:
    """Import the plug-ins of installed packages, once per process; warn about those that fail and skip them."""
    for entry_point in entry_points(group=GROUP):
        try:
            with _registering_as(_INSTALLED):
                entry_point.load()
        except (Exception, SystemExit) as error:  # noqa: BLE001  a foreign module may raise anything
            why = f"{type(error).__name__}: {error}"
            warnings.warn(
                f"the plug-in {entry_point.name} ({entry_point.value}) is skipped, its import failed: {why}", stacklevel=2
            )


def load_file(path: str | Path, *, named: bool = False) -> None:
    """Run a plug-in file, unless the same content was the last to run under its name.

    ``named`` states that the user has named this file. Other files, for example those stored in a run, are run only if they
    are trusted.

    Raises:
        SpaceError: the file is missing, is not trusted, or fails; then none of its records is registered.

    """
    try:
        source = Path(path).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise SpaceError(f"the plug-in {path} cannot be read: {getattr(error, 'strerror', error)}") from None
    file = PluginFile(Path(path).resolve(), source)
    if named:
        remember(source)
    elif _active.get(file.path.stem) != file:
        check_trusted(file.path, source)
    load_files([file])


def load_files(files: Iterable[PluginFile]) -> None:
    """Run plug-ins that were read before, in this process or in another one.

    Raises:
        SpaceError: a plug-in fails.

    """
    load_installed()
    for file in files:
        if _active.get(file.path.stem) != file:
            _run(file)


def _run(file: PluginFile) -> None:
    declare_torchvision_operators()
    module = ModuleType(file.module_name)
    module.__file__ = f"<{file.module_name}>"
    linecache.cache[module.__file__] = (len(file.source), None, file.source.splitlines(keepends=True), module.__file__)
    sys.modules[file.module_name] = module
    try:
        with _registering_as(file.path.stem):
            exec(compile(file.source, module.__file__, "exec"), vars(module))  # noqa: S102  the user's own file
    except (Exception, SystemExit) as error:
        raise SpaceError(f"the plug-in {file.path} fails: {type(error).__name__}: {error}") from error
    _active[file.path.stem] = file


def active_files() -> list[PluginFile]:
    """The plug-in files that this process has run, for a worker process to run as well."""
    return list(_active.values())


def active_file(path: str | Path) -> PluginFile:
    """The plug-in file that was run last under the name of ``path``.

    Raises:
        KeyError: none was run under this name.

    """
    return _active[Path(path).stem]
