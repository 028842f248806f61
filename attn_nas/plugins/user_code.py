"""Code of the user, named by a file or a module: the objective of a search, a function that makes a model, a data set.

A run keeps the name, and the source if it is a file, and never a pickled object. A file is run when its function is first
needed in a process, as a module of its own (``__name__`` is not ``"__main__"``). Modules beside the file can be imported.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
import linecache
import re
import sys
import sysconfig
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any

from attn_nas.errors import SpaceError, choose_from, first_line
from attn_nas.plugins.trust import check_trusted, remember, remembered_folder
from attn_nas.torchvision_operators import declare_torchvision_operators

_NAME = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")


@dataclass(frozen=True)
class UserCode:
    """A function or a class ``name`` in a Python ``file``, or in a ``module`` that can be imported; one of the two is set.

    ``text`` is its short form: ``train.py:objective`` or ``package.module:objective``. `read` keeps the text of the file in
    ``read_source``, so that other processes run the same code even if the file has changed since, and in ``folder`` where the
    user has named it. ``arguments`` are those that a run calls a module's function with: they are trusted together with it.
    """

    file: str | None
    module: str | None
    name: str
    read_source: str | None = field(default=None, repr=False, compare=False)
    folder: str | None = field(default=None, repr=False, compare=False)
    arguments: str = field(default="", repr=False, compare=False)

    def __post_init__(self) -> None:
        if (self.file is None) == (self.module is None):
            raise SpaceError(f"{self.name}: name either the Python file or the module that has it")
        for given, kind in ((self.name, "a function or a class"), (self.module, "a module")):
            if given is not None and not _NAME.fullmatch(given):
                raise SpaceError(f"{given!r} is not the name of {kind}: write it as Python code does")

    @classmethod
    def of(cls, given: object) -> UserCode | None:
        """Name a function, a class, or a callable object that is a variable at the top level of a file.

        None for what has no name: lambdas, closures, other objects, code of a notebook.

        What belongs to ``__main__`` or to a loose file is named by its file, other code by its module.
        """
        name, module = getattr(given, "__qualname__", None), sys.modules.get(getattr(given, "__module__", None) or "")
        if name is None:
            name, module = _variable(given) if callable(given) else ("", None)
        if module is None or not _NAME.fullmatch(name) or _attribute(module, name) is not given:
            return None
        spec = getattr(module, "__spec__", None)
        named = spec.name if module.__name__ == "__main__" and spec else module.__name__
        path = getattr(module, "__file__", None)
        if path and (module.__name__ == "__main__" or "." not in named) and not is_installed(path):
            return cls(str(Path(path).resolve()), None, name) if Path(path).is_file() else None
        return cls(None, named, name, read_source="") if named != "__main__" and _NAME.fullmatch(named) and path else None

    @classmethod
    def parse(cls, text: str) -> UserCode:
        """Read the short form ``FILE.py:NAME`` or ``package.module:NAME``; raises SpaceError for other text."""
        where, colon, name = text.rpartition(":")
        if not (colon and where and name):
            raise SpaceError(f"{text!r} names no code: write FILE.py:NAME or package.module:NAME")
        is_file = where.endswith(".py") or "/" in where
        return cls(where if is_file else None, None if is_file else where, name)

    @classmethod
    def from_value(cls, value: object) -> UserCode:
        """Read the short form, or a mapping with ``function`` and either ``file`` or ``module``.

        Raises:
            SpaceError: another value, or an unknown or missing key.

        """
        if isinstance(value, UserCode):
            return value
        if isinstance(value, str):
            return cls.parse(value)
        if not isinstance(value, Mapping):
            raise SpaceError(f"{value!r} names no code: give FILE.py:NAME, or a mapping with file and function")
        unknown = [key for key in value if key not in ("file", "module", "function")]
        if unknown:
            raise SpaceError(f"unknown key {unknown[0]}: {choose_from(unknown[0], ('file', 'module', 'function'))}")
        if not isinstance(value.get("function"), str):
            raise SpaceError("function is missing: name the function in the file")
        given = {key: None if value.get(key) is None else str(value[key]) for key in ("file", "module")}
        return cls(given["file"], given["module"], value["function"])

    def to_dict(self) -> dict[str, str]:
        """The mapping that `from_value` reads."""
        where = {"file": self.file} if self.file is not None else {"module": self.module or ""}
        return {**where, "function": self.name}

    @property
    def text(self) -> str:
        """The short form, with the name of the file without its folder."""
        return f"{Path(self.file).name if self.file is not None else self.module}:{self.name}"

    def within(self, folder: Path) -> UserCode:
        """The same code, whose file is relative to ``folder``."""
        return self if self.file is None else replace(self, file=str((folder / Path(self.file).expanduser()).absolute()))

    def source(self) -> bytes:
        """The text of the file in UTF-8, to be kept; empty for a module, which is named only.

        Raises:
            SpaceError: the file cannot be read.

        """
        return b"" if self.file is None else self._text().encode()

    def _text(self) -> str:
        assert self.file is not None
        if self.read_source is not None:
            return self.read_source
        try:
            return Path(self.file).read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or first_line(error)
            raise SpaceError(f"the file {self.file} of {self.name} cannot be read: {why}. Correct its path") from None

    def read(self, *, named: bool = False) -> UserCode:
        """Read the file, so that this code stays as it is now; a module stays as it is.

        ``named`` states that the user has named it. Other code, such as that which a run names, is used only if it is trusted
        (see `attn_nas.plugins.trust`): a file by its text, a module's function by its name and arguments.

        Raises:
            SpaceError: the file cannot be read, or is not trusted.

        """
        if self.read_source is not None:
            return self
        if self.file is None:
            name = f"{self.module}:{self.name}"
            if named:
                remember(f"module {name} {self.arguments}")
            else:
                check_trusted(Path(name), f"module {name} {self.arguments}")
            return replace(self, read_source="")
        source, folder = self._text(), Path(self.file).resolve().parent
        if named:
            remember(source, folder)
        else:
            check_trusted(Path(self.file), source)
        return replace(self, read_source=source, folder=str(folder) if named else None)

    def load(self) -> Any:
        """The function or class. Runs its file, or imports its module, unless this process has done so.

        Raises:
            SpaceError: it cannot be read, is not trusted, fails, or has no such name.

        """
        code = self.read()
        declare_torchvision_operators()
        module = code._imported() if code.file is None else code._run()
        found = _attribute(module, self.name)
        if found is None:
            names = [name for name, value in vars(module).items() if callable(value) and not name.startswith("_")]
            own = [name for name in names if getattr(vars(module)[name], "__module__", None) == module.__name__]
            raise SpaceError(f"{self.file or self.module} has no {self.name!r}: {choose_from(self.name, own or names)}")
        return found

    def companions(self) -> dict[str, str]:
        """SHA-256 of the modules that this process has imported from beside the file, or from the package of the module.

        Keys are paths relative to the folder of the file, or to that which has the package. Installed packages do not count,
        and neither does the file itself.
        """
        folder = self._home()
        if folder is None:
            return {}
        named = {name: getattr(module, "__file__", None) for name, module in [*sys.modules.items()]}
        files = {file for name, file in named.items() if isinstance(file, str) and name.partition(".")[0] != "attn_nas"}
        own = {path for path in map(Path, files) if path.is_relative_to(folder) and path.is_file()}
        if self.file is not None:
            own.discard(folder / Path(self.file).name)
        own = {path for path in own if not is_installed(str(path))}
        base = folder.parent if self.file is None else folder
        return {str(path.relative_to(base)): hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(own)}

    def _home(self) -> Path | None:
        """The folder of the file as the user has it, or of the first package of the module; None if that is not known."""
        if self.file is not None:
            return Path(self.folder) if self.folder else remembered_folder(self._text())
        first: str | None = getattr(sys.modules.get((self.module or "").partition(".")[0]), "__file__", None)
        return Path(first).resolve().parent if first else None

    def _imported(self) -> ModuleType:
        assert self.module is not None
        try:
            return importlib.import_module(self.module)
        except (Exception, SystemExit) as error:
            raise SpaceError(
                f"the module {self.module} of {self.name} cannot be imported ({type(error).__name__}: {first_line(error)}): "
                "install it, or name the Python file"
            ) from error

    def _run(self) -> ModuleType:
        assert self.file is not None
        assert self.read_source is not None
        path, source = Path(self.file), self.read_source
        folder = Path(self.folder) if self.folder else remembered_folder(source)
        digest = hashlib.sha256(f"{folder}\n{source}".encode()).hexdigest()
        name = f"attn_nas_code_{re.sub(r'[^0-9A-Za-z_]', '_', path.stem)}_{digest[:8]}"
        if name in sys.modules:
            return sys.modules[name]
        place = path if folder is None else folder / path.name
        if folder and str(folder) not in sys.path:
            sys.path.append(str(folder))  # at the end: it hides no installed module
        module = ModuleType(name)
        module.__file__ = str(place)
        linecache.cache[module.__file__] = (len(source), None, source.splitlines(keepends=True), module.__file__)
        sys.modules[name] = module
        try:
            exec(compile(source, module.__file__, "exec"), vars(module))  # noqa: S102  the user's own file
        except (Exception, SystemExit) as error:
            del sys.modules[name]
            raise SpaceError(f"{self.file}{_line(error, module.__file__)} fails: {_reason(error)}") from error
        return module


def _variable(given: object) -> tuple[str, ModuleType | None]:
    """The variable at the top level of ``__main__``, or of another module that is not installed, that holds ``given``."""
    main, others = sys.modules.get("__main__"), [*sys.modules.values()]
    for module in (main, *others):
        path = getattr(module, "__file__", None)
        if isinstance(module, ModuleType) and path and (module is main or not is_installed(path)):
            for name, value in [*vars(module).items()]:
                if value is given and not name.startswith("_"):
                    return name, module
    return "", None


def is_installed(path: str) -> bool:
    """Whether a module's file belongs to the standard library or to an installed package."""
    folders = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    return any(Path(path).resolve().is_relative_to(Path(folder).resolve()) for folder in folders) or "site-packages" in path


def _attribute(module: ModuleType, name: str) -> Any:
    found: Any = module
    for part in name.split("."):
        found = inspect.getattr_static(found, part, None) if found is module else getattr(found, part, None)
    return found


def _line(error: BaseException, file: str) -> str:
    """The line of ``file`` at which an error arose, as ``:12``; empty if it arose elsewhere."""
    if isinstance(error, SyntaxError):
        return f":{error.lineno}"
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    return f":{lines[-1]}" if lines else ""


def _reason(error: BaseException) -> str:
    reason = f"{type(error).__name__}: {first_line(error)}"
    if isinstance(error, ImportError):
        return f"{reason}. Install it, or keep it beside the file"
    return reason
