"""Which trained weights a run keeps."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from attn_nas.runs.beliefs import beliefs_of
from attn_nas.runs.record import Record

_MORE = 16
_LEAST_CHANCE = 0.01


class KeptWeights:
    """The files ``KEY.safetensors`` of a run, from which those of hopeless candidates are dropped.

    What may come to be on the front is not known while one is dominated by luck, so it is asked for a chance of 1 %; and only
    whenever the number of files has doubled, for the answer takes time.
    """

    def __init__(self, folder: Path, axes: Sequence[str]) -> None:
        self._folder = folder
        self._axes = axes
        self._allowed = _MORE

    @property
    def many(self) -> bool:
        """Whether it is time to prune."""
        return len([*self._folder.glob("*.safetensors")]) > self._allowed

    def prune(self, records: Sequence[Record], wanted: Collection[str], *, last: bool) -> None:
        """Keep ``wanted`` keys and the believed front, and until the ``last`` time what may come to be on it."""
        scored = {record.key for record in records if record.result}
        files = {path.stem: path for path in self._folder.glob("*.safetensors") if path.stem in scored}
        beliefs = beliefs_of(records, self._axes)
        likely: set[str] = set(beliefs.front) if beliefs else set()
        if beliefs and not last:
            likely |= {key for key, belief in beliefs.networks.items() if belief.chance >= _LEAST_CHANCE}
        kept = files.keys() & (likely | set(wanted))
        for key in files.keys() - kept:
            files[key].unlink(missing_ok=True)
        self._allowed = 2 * len(kept) + _MORE
