"""Trainings that were paused: state and result so far, in a file each."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from attn_nas.files import write_whole
from attn_nas.training import Checkpoint
from attn_nas.training.protocol import Replicate, Trained


class Paused(NamedTuple):
    """What a training had reached, and the state to go on from."""

    trained: Trained
    state: Checkpoint


@dataclass(frozen=True)
class Pause:
    """The files of one training in ``folder``; any process may read them."""

    folder: Path
    replicate: Replicate

    def load(self) -> Paused | None:
        """What was kept; None if there is nothing, or if it is damaged: then the training begins anew."""
        try:
            trained = Trained.from_dict(json.loads(self._result.read_text(encoding="utf-8")))
        except Exception:  # noqa: BLE001 - a file of any content may be there
            return None
        state = Checkpoint.kept_in(self._state(trained.result.epochs))
        return Paused(trained, state) if state else None

    def keep(self, trained: Trained, state: Checkpoint) -> None:
        """Write both; raises OSError. The result names the state that it belongs to, and is written last."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self._state(trained.result.epochs)
        state.save(path)
        write_whole(self._result, json.dumps(trained.to_dict()))
        for other in self.folder.glob(f"{self.replicate}.*.safetensors"):
            if other != path:
                other.unlink(missing_ok=True)

    def files(self, epochs: int) -> dict[str, Path]:
        """All files that it may have in a training of ``epochs`` epochs, by their names, the result last."""
        paths = (*(self._state(epoch) for epoch in range(1, epochs)), self._result)
        return {path.name: path for path in paths}

    def drop(self) -> None:
        """Remove both."""
        self._result.unlink(missing_ok=True)
        for path in self.folder.glob(f"{self.replicate}.*.safetensors"):
            path.unlink(missing_ok=True)

    @property
    def _result(self) -> Path:
        return self.folder / f"{self.replicate}.json"

    def _state(self, epochs: int) -> Path:
        return self.folder / f"{self.replicate}.{epochs}.safetensors"
