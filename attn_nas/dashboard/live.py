"""Live updates of the page of a run: changed parts, charts and candidates, in small portions."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar
from zlib import crc32

from attn_nas.dashboard.watched import WatchedRun
from attn_nas.report.charts.candidate_rows import Row
from attn_nas.report.pages.links import Addresses
from attn_nas.report.pages.run_page import LIVE_PARTS, RESTLESS_PARTS, RunPage

_MAX_LENGTH = 10_000
"""Approximate maximum length of one update in characters; the rest follows in the next. A part is never divided."""
_MAX_SCENES = 4

_Name = TypeVar("_Name", bound=Hashable)
_Content = TypeVar("_Content", bound=Hashable)


@dataclass(frozen=True)
class Scene:
    """Everything on the page of a run that changes with its trials.

    ``parts`` maps element ids to HTML, ``charts`` names to JSON, and ``rows`` keys to the figures of candidates (see
    `RunCharts`). ``trials`` is a fingerprint of the table of trials.
    """

    version: str
    parts: Mapping[str, str]
    charts: Mapping[str, str]
    rows: Mapping[str, Row]
    trials: str

    @classmethod
    def of(cls, page: RunPage) -> Scene:
        """Make the scene of a run's page."""
        return cls(
            page.reading.version,
            {f"part-{name}": page.part(name) for name in LIVE_PARTS},
            {name: json.dumps(chart, separators=(",", ":")) for name, chart in page.charts.charts.items()},
            page.charts.rows,
            f"{crc32(' '.join(record.state for record in page.reading.run.records).encode()):x}",
        )


class Scenes:
    """Cache of scenes by run and version; each scene is made once for all browsers."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, str], Scene] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, page: RunPage) -> Scene:
        """Return the scene of a page."""
        name = (page.reading.name, page.reading.version)
        with self._lock:
            if name not in self._kept:
                self._kept[name] = Scene.of(page)
                while len(self._kept) > _MAX_SCENES:
                    self._kept.popitem(last=False)
            return self._kept[name]

    def get(self, page: RunPage, version: str) -> Scene | None:
        """Return the scene of an earlier version; None if it is no longer cached."""
        with self._lock:
            return self._kept.get((page.reading.name, version))


class Follower:
    """Makes the updates of one browser, which shows ``version`` of the page of ``watched``.

    ``has_more`` is true if the last update was only a portion of the changes.
    """

    def __init__(self, watched: WatchedRun, links: Addresses, query: Mapping[str, str], version: str, scenes: Scenes) -> None:
        self._watched, self._links, self._query, self._scenes = watched, links, query, scenes
        self._version = version
        self._sent: dict[Hashable, int] = {}
        self._is_new = True
        self.has_more = False

    def update(self) -> str | None:
        """Return the changes since the last call as JSON; None without changes.

        Raises:
            RunError: the run cannot be read.

        """
        reading = self._watched.reading()
        page = RunPage(reading, self._links, self._query)
        scene = self._scenes.of(page)
        if self._is_new:
            seen = self._scenes.get(page, self._version)
            if seen:
                self._note(seen)
            self._is_new = False
        parts = {f"part-{name}": page.part(name) for name in RESTLESS_PARTS}
        parts = {name: html for name, html in parts.items() if self._is_changed(name, html)}
        portion = _Portion(self._sent)
        parts |= portion.of((name, html) for name, html in scene.parts.items())
        charts = portion.of((("chart", name), data) for name, data in scene.charts.items())
        rows = portion.of((("row", key), scene.rows[key]) for key in reversed([*scene.rows]))
        self.has_more = portion.is_full
        if not (parts or charts or rows):
            return None
        update: dict[str, Any] = {
            "version": scene.version,
            "more": self.has_more,
            "parts": parts,
            "charts": {name: data for (_, name), data in charts.items()},
            "rows": [*rows.values()],
            "trials": scene.trials,
        }
        return json.dumps(update, separators=(",", ":"))

    def _note(self, scene: Scene) -> None:
        """Record all of ``scene`` as sent."""
        self._sent |= {name: hash(html) for name, html in scene.parts.items()}
        self._sent |= {("chart", name): hash(data) for name, data in scene.charts.items()}
        self._sent |= {("row", key): hash(row) for key, row in scene.rows.items()}

    def _is_changed(self, name: str, content: str) -> bool:
        """True if ``content`` differs from the content last sent as ``name``; records it as sent."""
        found = hash(content)
        changed = self._sent.get(name) != found
        self._sent[name] = found
        return changed


class _Portion:
    """Selects unsent content up to the maximum length of an update, and records it in ``sent``."""

    def __init__(self, sent: dict[Hashable, int]) -> None:
        self._sent = sent
        self._room = _MAX_LENGTH
        self.is_full = False

    def of(self, items: Iterable[tuple[_Name, _Content]]) -> dict[_Name, _Content]:
        """Return the named ``items`` that changed and fit, in their order; the first item of an update always fits."""
        found: dict[_Name, _Content] = {}
        for name, content in items:
            seen = hash(content)
            if self._sent.get(name) == seen:
                continue
            size = len(json.dumps(content))
            if size > self._room < _MAX_LENGTH:
                self.is_full = True
                break
            self._sent[name] = seen
            self._room -= size
            found[name] = content
        return found
