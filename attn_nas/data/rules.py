"""Numbers of the rules by which files become images: a run keeps those that it was begun with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

KNOWN: Mapping[str, tuple[int, ...]] = {"decoding": (1, 2), "split": (1,), "digest": (0,)}
"""The numbers that this version can follow, by rule; the last is that of new runs."""


@dataclass(frozen=True)
class DataRules:
    """Numbers of the rules that a run follows to read its data.

    ``decoding`` says which files count and how they become pixels, ``split`` how training and validation images are drawn,
    ``digest`` how the identity of the images is computed; digest 0 keeps none.
    """

    decoding: int = KNOWN["decoding"][-1]
    split: int = KNOWN["split"][-1]
    digest: int = KNOWN["digest"][-1]

    @property
    def unknown(self) -> list[str]:
        """The rules that this version cannot follow, as texts such as ``"decoding rule 2"``."""
        numbers = {field.name: getattr(self, field.name) for field in fields(self)}
        return [f"{name} rule {number}" for name, number in numbers.items() if number not in KNOWN[name]]
