"""Events of a search as lines of JSON for other programs, in values of its metric."""

from __future__ import annotations

import json
from typing import Any, TextIO

from attn_nas.events.log import event_in
from attn_nas.events.types import Event, SearchStarted
from attn_nas.space.metric import ACCURACY, Metric


class EventLines:
    """Writes each event to ``stream`` as one line of JSON.

    Where the metric is not accuracy, its name takes the place of ``accuracy``, and its values that of the scores, which the
    events have.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._metric = ACCURACY

    def __call__(self, event: Event) -> None:
        """Write ``event`` and flush."""
        if isinstance(event, SearchStarted):
            self._metric = Metric.of_event(event.metric)
        self._write(json.dumps(self._valued(event.to_dict())))

    def pass_on(self, line: str) -> None:
        """Write a ``line`` of the log of a run, and flush."""
        event = event_in(line)
        if event is None or (self._metric == ACCURACY and not getattr(event, "metric", None)):
            self._write(line)
        else:
            self(event)

    def _write(self, line: str) -> None:
        self._stream.write(f"{line}\n")
        self._stream.flush()

    def _valued(self, entry: Any) -> Any:
        if isinstance(entry, list | tuple):
            return [self._valued(each) for each in entry]
        if not isinstance(entry, dict) or self._metric == ACCURACY:
            return entry
        metric = self._metric
        return {
            metric.name if name == "accuracy" else name: metric.value(value) if name == "accuracy" else self._valued(value)
            for name, value in entry.items()
        }
