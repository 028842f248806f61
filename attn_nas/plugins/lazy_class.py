"""A class named by where it is, so that records about torch classes can be read without importing torch."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from attn_nas.errors import SpaceError


class Target(str):
    """``module:Class``; `load` imports the module."""

    __slots__ = ()

    def load(self) -> Any:
        """The class itself.

        Raises:
            SpaceError: there is no such module, or no such class in it.

        """
        module, _, name = self.partition(":")
        try:
            return getattr(import_module(module), name)
        except (ImportError, AttributeError, ValueError) as error:
            raise SpaceError(f"there is no class {self}: {error}") from None
