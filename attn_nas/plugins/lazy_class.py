"""Names a class by module and attribute, so that records of torch classes can be read without importing torch."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from attn_nas.errors import SpaceError


class LazyClass(str):
    """A class given as text, ``"module:Class"``; `load` imports the module and returns the class."""

    __slots__ = ()

    def load(self) -> Any:
        """Import the module and return the class.

        Raises:
            SpaceError: the module cannot be imported, or has no such attribute.

        """
        module, _, name = self.partition(":")
        try:
            return getattr(import_module(module), name)
        except (ImportError, AttributeError, ValueError) as error:
            raise SpaceError(f"there is no class {self}: {error}") from None
