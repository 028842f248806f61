"""Trainings that were paused: state and result so far, in a file each."""

from __future__ import annotations

import json
from collections.abc import Mapping
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

    def pack(self) -> dict[str, bytes]:
        """The contents of both by the names of their files; none if there is nothing."""
        names = (self._result, *self.folder.glob(f"{self.replicate}.*.safetensors"))
        return {path.name: path.read_bytes() for path in names if path.exists()}

    def unpack(self, files: Mapping[str, bytes]) -> None:
        """Write what another folder has packed; raises OSError."""
        if not files:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        for name in sorted(files, key=lambda name: name == self._result.name):
            write_whole(self.folder / name, files[name])
        for other in self.folder.glob(f"{self.replicate}.*.safetensors"):
            if other.name not in files:
                other.unlink(missing_ok=True)

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
