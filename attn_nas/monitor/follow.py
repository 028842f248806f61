"""A search followed by who does not run it, until it has ended or nobody works on it any more."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

from attn_nas.errors import RunError
from attn_nas.events.log import EventLog, event_in
from attn_nas.events.progress import Progress
from attn_nas.events.types import Event
from attn_nas.runs.folder import RunFolder

PATIENCE = 10.0
"""Seconds for which a search that was at work may be silent and nowhere to be found: somebody may begin it again."""
_EVERY = 0.5


@dataclass(frozen=True)
class News:
    """Lines by which the log of a run has grown, and whether something ``works`` on the run that may add to it."""

    lines: list[str]
    works: bool

    @property
    def events(self) -> list[Event]:
        """What the lines say."""
        found = map(event_in, self.lines)
        return [event for event in found if event is not None]


def news_of(path: str) -> Iterator[News]:
    """What is new in a run folder, all that there is first, again and again; raises RunError."""
    folder = RunFolder(path)
    if not (folder.study.exists() or folder.events.exists() or folder.is_worked_in):
        raise RunError(f"{folder.path} is not a run: it has no study.db")
    log = EventLog(folder.events)
    while True:
        # In this order: what a search that is gone has written was written before.
        works = folder.is_worked_in
        yield News(log.new_lines(), works)
        time.sleep(_EVERY)


class Watch:
    """A search that is followed by its ``news``; ``progress`` is where it stands."""

    def __init__(self, news: Iterator[News], patience: float = PATIENCE) -> None:
        self.progress = Progress()
        self._news = news
        self._patience = patience
        self._worked = False
        self._missed_since: float | None = None

    def __iter__(self) -> Iterator[News]:
        """What has happened so far, then what happens, until the search has ended or nothing works on it any more."""
        for news in self._news:
            for event in news.events:
                self.progress(event)
            yield news
            if self.progress.ended or self._is_given_up(news):
                return

    def _is_given_up(self, news: News) -> bool:
        """Whether nothing works on the run, and nothing will; who begins it again needs a moment."""
        if news.works:
            self._worked, self._missed_since = True, None
            return False
        if self._missed_since is None:
            self._missed_since = time.monotonic()
        return not self._worked or time.monotonic() - self._missed_since >= self._patience
