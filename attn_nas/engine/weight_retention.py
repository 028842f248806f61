"""Which trained weights a run keeps."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from attn_nas.runs.beliefs import beliefs_of
from attn_nas.runs.record import Record

_MARGIN = 16
"""Files that may be added, beside as many again as were kept, before the folder is pruned the next time."""
_MIN_CHANCE = 0.01


class WeightRetention:
    """Deletes the files ``KEY.safetensors`` of candidates that have next to no chance to be on the front.

    While a search goes on, candidates with a chance of 1 % keep theirs. The chances take time, so the folder is pruned only
    when its number of files has doubled.
    """

    def __init__(self, folder: Path, axes: Sequence[str], *, bounded: bool = True) -> None:
        self._bounded = bounded
        self._folder = folder
        self._axes = axes
        self._limit = _MARGIN

    @property
    def due(self) -> bool:
        """Whether there are enough files to prune."""
        return len([*self._folder.glob("*.safetensors")]) > self._limit

    def prune(self, records: Sequence[Record], wanted: Collection[str], *, last: bool) -> None:
        """Keep the ``wanted`` keys and the estimated front, and unless it is the ``last`` time what has a chance of 1 %."""
        scored = {record.key for record in records if record.result}
        files = {path.stem: path for path in self._folder.glob("*.safetensors") if path.stem in scored}
        beliefs = beliefs_of(records, self._axes, bounded=self._bounded)
        likely: set[str] = set(beliefs.front) if beliefs else set()
        if beliefs and not last:
            likely |= {key for key, belief in beliefs.networks.items() if belief.chance >= _MIN_CHANCE}
        kept = files.keys() & (likely | set(wanted))
        for key in files.keys() - kept:
            files[key].unlink(missing_ok=True)
        self._limit = 2 * len(kept) + _MARGIN
