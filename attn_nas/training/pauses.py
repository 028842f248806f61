"""Paused trainings: the state and the result so far, in one file each."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from attn_nas.files import write_whole
from attn_nas.training import Checkpoint
from attn_nas.training.protocol import Replicate, Trained


class Paused(NamedTuple):
    """The result of a training so far, and the state to continue from."""

    trained: Trained
    state: Checkpoint


@dataclass(frozen=True)
class Pause:
    """The files of one paused training in ``folder``, which any process may continue."""

    folder: Path
    replicate: Replicate

    def load(self) -> Paused | None:
        """Read result and state; None if they are missing or damaged: the training then starts from the beginning."""
        try:
            trained = Trained.from_dict(json.loads(self._result.read_text(encoding="utf-8")))
        except Exception:  # noqa: BLE001 - a file of any content may be there
            return None
        state = Checkpoint.kept_in(self._state(trained.result.epochs))
        return Paused(trained, state) if state else None

    def keep(self, trained: Trained, state: Checkpoint) -> None:
        """Write both; raises OSError. The result is written last, and says which state file it belongs to."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self._state(trained.result.epochs)
        state.save(path)
        write_whole(self._result, json.dumps(trained.to_dict()))
        for other in self.folder.glob(f"{self.replicate}.*.safetensors"):
            if other != path:
                other.unlink(missing_ok=True)

    def files(self, epochs: int) -> dict[str, Path]:
        """Return all files that a training of ``epochs`` epochs may have while it is paused, by name, the result last."""
        paths = (*(self._state(epoch) for epoch in range(1, epochs)), self._result)
        return {path.name: path for path in paths}

    def drop(self) -> None:
        """Remove result and state; raises OSError."""
        self._result.unlink(missing_ok=True)
        for path in self.folder.glob(f"{self.replicate}.*.safetensors"):
            path.unlink(missing_ok=True)

    @property
    def _result(self) -> Path:
        return self.folder / f"{self.replicate}.json"

    def _state(self, epochs: int) -> Path:
        return self.folder / f"{self.replicate}.{epochs}.safetensors"
