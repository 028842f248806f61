"""Live updates of the page of a run: changed parts, points and lines, in small portions."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar
from zlib import crc32

from attn_nas.dashboard.watched import WatchedRun
from attn_nas.report.charts.front_chart import FrontChart, described
from attn_nas.report.pages.links import Addresses
from attn_nas.report.pages.run_page import LIVE_PARTS, RESTLESS_PARTS, RunPage
from attn_nas.runs.candidate import Candidate

_MAX_LENGTH = 10_000
"""Approximate maximum length of one update in characters; the rest follows in the next. A part is never divided."""
_MAX_SCENES = 4

_Name = TypeVar("_Name", bound=Hashable)
_Content = TypeVar("_Content", bound=Hashable)


@dataclass(frozen=True)
class Scene:
    """Everything on the page of a run that changes with its trials.

    ``parts`` maps element ids to HTML, ``points`` (front chart) and ``wires`` (parallel coordinates) map trial numbers to
    positions and paths. ``axes`` and ``trials`` are fingerprints of the axes and of the table of trials.
    """

    version: str
    parts: Mapping[str, str]
    points: Mapping[int, tuple[int, int, int, str]]
    wires: Mapping[int, tuple[int, str]]
    axes: str
    scored: int
    trials: str

    @classmethod
    def of(cls, page: RunPage) -> Scene:
        """Make the scene of a run's page."""
        run, chart = page.reading.run, page.chart
        parts = {f"part-{name}": page.part(name) for name in LIVE_PARTS}
        parts["front-axes"] = "\n".join(chart.axes())
        parts["front-marks"] = "\n".join(chart.marks(page.link))
        numbered = {candidate.record.number: candidate for candidate in run.candidates}
        return cls(
            page.reading.version,
            parts,
            {number: _point(number, each, chart) for number, each in numbered.items()},
            {number: (number, page.parallel.shape(each)) for number, each in numbered.items()},
            page.parallel.axes,
            len(numbered),
            f"{crc32(' '.join(record.state for record in run.records).encode()):x}",
        )


def _point(number: int, candidate: Candidate, chart: FrontChart) -> tuple[int, int, int, str]:
    x, y = chart.of(candidate)
    return number, round(x), round(y), described(candidate)


class Scenes:
    """Cache of scenes by run, version and view; each scene is made once for all browsers."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, ...], Scene] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, page: RunPage) -> Scene:
        """Return the scene of a page."""
        name = (page.reading.name, page.reading.version, *page.view.values())
        with self._lock:
            if name not in self._kept:
                self._kept[name] = Scene.of(page)
                while len(self._kept) > _MAX_SCENES:
                    self._kept.popitem(last=False)
            return self._kept[name]

    def get(self, page: RunPage, version: str) -> Scene | None:
        """Return the scene of an earlier version; None if it is no longer cached."""
        with self._lock:
            return self._kept.get((page.reading.name, version, *page.view.values()))


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
        points = portion.of((("point", number), scene.points[number]) for number in sorted(scene.points, reverse=True))
        wires = portion.of((("wire", number), scene.wires[number]) for number in sorted(scene.wires, reverse=True))
        self.has_more = portion.is_full
        if not (self._is_changed("axes", scene.axes) or parts or points or wires):
            return None
        update: dict[str, Any] = {
            "version": scene.version,
            "more": self.has_more,
            "parts": parts,
            "points": [*points.values()],
            "wires": [*wires.values()],
            "axes": scene.axes,
            "scored": scene.scored,
            "trials": scene.trials,
        }
        return json.dumps(update, separators=(",", ":"))

    def _note(self, scene: Scene) -> None:
        """Record all of ``scene`` as sent."""
        self._sent |= {name: hash(html) for name, html in scene.parts.items()}
        self._sent |= {("point", number): hash(point) for number, point in scene.points.items()}
        self._sent |= {("wire", number): hash(wire) for number, wire in scene.wires.items()}
        self._sent["axes"] = hash(scene.axes)

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
