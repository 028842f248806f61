"""Numbers of the rules by which files become images: a run keeps those that it was begun with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

KNOWN: Mapping[str, tuple[int, ...]] = {"decoding": (1, 2), "split": (1, 2), "digest": (0, 1), "augmentation": (1, 2)}
"""The numbers that this version can follow, by rule; the last is that of new runs."""


@dataclass(frozen=True)
class DataRules:
    """Numbers of the rules that a run follows to read its data.

    ``decoding`` says which files count and how they become pixels. ``split`` says how training and validation images are drawn
    from a folder of images: 1 draws from all of them, 2 from each class. ``digest`` says how the identity of the images is
    computed: 0 keeps none, 1 hashes them. ``augmentation`` says what happens to the training images of a folder unless the
    search space says something else: 1 mirrors half of them, 2 none.
    """

    decoding: int = KNOWN["decoding"][-1]
    split: int = KNOWN["split"][-1]
    digest: int = KNOWN["digest"][-1]
    augmentation: int = KNOWN["augmentation"][-1]

    @property
    def unknown(self) -> list[str]:
        """The rules that this version cannot follow, as texts such as ``"decoding rule 2"``."""
        numbers = {field.name: getattr(self, field.name) for field in fields(self)}
        return [f"{name} rule {number}" for name, number in numbers.items() if number not in KNOWN[name]]
