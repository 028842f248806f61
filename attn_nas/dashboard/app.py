"""Routes of the dashboard, as an ASGI application."""

from __future__ import annotations

import asyncio
import mimetypes
import threading
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from attn_nas.dashboard.downloads import Downloads
from attn_nas.dashboard.guard import Guard, Rules
from attn_nas.dashboard.library import Library
from attn_nas.dashboard.live import Follower, Scenes
from attn_nas.dashboard.note_forms import NoteForms, note_in
from attn_nas.dashboard.raw_study import PATHS, RawStudies
from attn_nas.dashboard.watched import WatchedRun
from attn_nas.errors import AttnNasError, RunError, SpaceError, UsageError
from attn_nas.events.log import EventLog
from attn_nas.report.pages.candidate_page import CandidatePage
from attn_nas.report.pages.comparison_page import choice_context, comparison_context
from attn_nas.report.pages.environment import SCRIPTS, render, static, static_version
from attn_nas.report.pages.insight_page import insight_context
from attn_nas.report.pages.links import Addresses
from attn_nas.report.pages.reading import RunReading
from attn_nas.report.pages.run_page import RunPage
from attn_nas.report.pages.runs_page import grouped
from attn_nas.runs.comparison import SideBySide
from attn_nas.runs.gate_effects import gate_effects
from attn_nas.runs.notes import Note, read_notes, write_note
from attn_nas.sampling.insight import Insight

ASSETS = ("style.css", "charts.css", "theme.js", *SCRIPTS, "live.js", "icon.svg")
_UPDATE_SECONDS, _HEARTBEAT_SECONDS, _PORTION_SECONDS = 1.0, 10.0, 0.05
"""Time between updates, between signs of life of a silent stream, and between portions of one update."""
_MAX_INSIGHTS = 16


class Dashboard:
    """Answers the requests for pages of a ``library``; its streams end when ``is_stopping`` returns true.

    With ``takes_notes`` the pages of candidates have a form for notes.
    """

    def __init__(self, library: Library, is_stopping: Callable[[], bool], *, takes_notes: bool = False) -> None:
        self._library = library
        self._notes = NoteForms() if takes_notes else None
        self._is_stopping = is_stopping
        self._scenes = Scenes()
        self._downloads = Downloads()
        self._insights: OrderedDict[Path, tuple[str, Insight | None]] = OrderedDict()
        self._plugins = threading.Lock()
        self.raw = RawStudies(library)

    def runs(self, request: Request) -> Response:
        """Page with the list of runs; redirects to the run if the library has only one."""
        if self._library.is_single:
            return RedirectResponse(f"/runs/{quote(self._library.path.name)}")
        groups, broken = grouped(self._library.summaries())
        return _page("runs.html", groups=groups, broken=broken, folder=self._library.path, title="Runs")

    def run(self, request: Request) -> Response:
        """Page of a run; its scene is cached, so that updates contain only later changes."""
        page = self._run_page(request)
        self._scenes.of(page)
        return HTMLResponse(page.html())

    def part(self, name: str, request: Request) -> Response:
        """Part ``name`` of the page of a run, as HTML."""
        return HTMLResponse(self._run_page(request).part(name))

    def candidate(self, request: Request) -> Response:
        """Page of a candidate; for an unknown key one that offers the closest."""
        try:
            return HTMLResponse(self._candidate_page(request).html())
        except RunError as error:
            reading, links = self._reading(request), self._links(request)
            nearest = [(links.candidate(each.record.key), each) for each in reading.run.closest(request.path_params["key"])]
            return _page(
                "error.html", 404, title="Not found", message=str(error), nearest=nearest, back=(links.run(), reading.name)
            )

    def gates(self, request: Request) -> Response:
        """Part of the page of a candidate with the effect of each gate, which takes a while to estimate."""
        page = self._candidate_page(request)
        try:
            effects = gate_effects(page.reading.run, [page.candidate]).get(page.candidate.record.key, {})
        except SpaceError as error:
            return HTMLResponse(replace(page, problem=str(error)).gates())
        return HTMLResponse(replace(page, effects=effects).gates())

    def download(self, request: Request) -> Response:
        """File of a candidate."""
        return self._downloads.file(self._candidate_page(request), request.path_params["file"])

    def compare(self, request: Request) -> Response:
        """Page that compares two to four candidates."""
        reading, links = self._reading(request), self._links(request)
        keys = request.query_params.getlist("key")
        try:
            compared = SideBySide.of(reading.run, keys)
        except (RunError, UsageError) as error:
            status = 404 if isinstance(error, RunError) else 400
            return _page("choose.html", status, **choice_context(reading, keys, str(error), links))
        return _page("compare.html", **comparison_context(reading, compared, links))

    def insight(self, template: str, request: Request) -> Response:
        """Effect of each mechanism at each site, as a page or a part of one; computed once for each state of the run."""
        watched = self._watched(request)
        reading = watched.reading()
        version, insight = self._insights.pop(watched.path, ("", None))
        if version != reading.version:
            try:
                insight = reading.run.insight
            except RunError:
                insight = None
        self._insights[watched.path] = (reading.version, insight)
        while len(self._insights) > _MAX_INSIGHTS:
            self._insights.popitem(last=False)
        return _page(template, **insight_context(reading, insight, self._links(request)))

    async def note(self, request: Request) -> Response:
        """Save the note of a candidate from a form, and lead back to the page that has the form."""
        if self._notes is None:
            raise UsageError("this dashboard takes no notes")
        fields = await self._notes.read(request)
        return await run_in_threadpool(self._save_note, request, fields)

    def _save_note(self, request: Request, fields: Mapping[str, str]) -> Response:
        watched, links = self._watched(request), self._links(request)
        run = watched.reading().run
        key = run.candidate(request.path_params["key"]).record.key
        note = note_in(fields, Note())
        try:
            note = note_in(fields, read_notes(run.folder).get(key, Note()))
            write_note(run.folder, key, note)
        except (RunError, UsageError) as error:
            return _page("error.html", 409, title="Not saved", message=str(error), unsaved=note.text)
        watched.expire()
        return RedirectResponse(f"{links.candidate(key)}#note", status_code=303)

    def raw_study(self, request: Request) -> Response:
        """Redirect to the study of a run in Optuna's dashboard."""
        return self.raw.enter(request.path_params["name"], request.url.port)

    async def updates(self, request: Request) -> Response:
        """Stream of the changes of a run's page, as server-sent events."""
        watched = await run_in_threadpool(self._watched, request)
        query = _query(request)
        follower = Follower(watched, self._links(request), query, query.get("version", ""), self._scenes)
        return StreamingResponse(_events(follower, self._is_stopping), media_type="text/event-stream")

    async def log(self, request: Request) -> Response:
        """Stream of a run's events as JSON Lines, until no process works on the run."""
        watched = await run_in_threadpool(self._watched, request)
        reading = await run_in_threadpool(watched.reading)
        lines = _lines(EventLog(reading.run.folder.events), watched, self._is_stopping)
        return StreamingResponse(lines, media_type="application/x-ndjson")

    def with_plugins(self, page: Callable[[Request], Response]) -> Callable[[Request], Response]:
        """Wrap ``page`` so that the run's own versions of its plug-ins are loaded; such pages are made one at a time.

        Plug-ins are registered for the whole process, and two runs may have different versions.
        """

        def answer(request: Request) -> Response:
            run = self._reading(request).run
            if not run.plugins:
                return page(request)
            with self._plugins:
                run.load_plugins()
                return page(request)

        return answer

    def _watched(self, request: Request) -> WatchedRun:
        return self._library.run(request.path_params["name"])

    def _reading(self, request: Request) -> RunReading:
        return self._watched(request).reading()

    def _links(self, request: Request) -> Addresses:
        token = self._notes.token if self._notes else ""
        return Addresses(quote(request.path_params["name"]), has_runs=not self._library.is_single, form_token=token)

    def _run_page(self, request: Request) -> RunPage:
        return RunPage(self._reading(request), self._links(request), _query(request))

    def _candidate_page(self, request: Request) -> CandidatePage:
        reading = self._reading(request)
        return CandidatePage(reading, reading.run.candidate(request.path_params["key"]), self._links(request))


def dashboard_app(library: Library, rules: Rules, is_stopping: Callable[[], bool] = lambda: False) -> Guard:
    """Make the ASGI application: pages and Optuna's dashboard, behind the access checks of ``rules``."""
    pages = Dashboard(library, is_stopping, takes_notes=rules.notes)
    run = "/runs/{name}"
    routes = [
        Route("/", pages.runs),
        Route("/assets/{file}", _asset),
        Route(run, pages.with_plugins(pages.run)),
        Route(f"{run}/trials", pages.with_plugins(partial(pages.part, "trials"))),
        Route(f"{run}/candidates", pages.with_plugins(partial(pages.part, "candidates"))),
        Route(f"{run}/updates", pages.updates),
        Route(f"{run}/events", pages.log),
        Route(f"{run}/compare", pages.with_plugins(pages.compare)),
        Route(f"{run}/insight", pages.with_plugins(partial(pages.insight, "insight.html"))),
        Route(f"{run}/why", pages.with_plugins(partial(pages.insight, "parts/why.html"))),
        Route(f"{run}/raw", pages.raw_study),
        Route(f"{run}/candidates/{{key}}", pages.with_plugins(pages.candidate)),
        Route(f"{run}/candidates/{{key}}/gates", pages.with_plugins(pages.gates)),
        Route(f"{run}/candidates/{{key}}/note", pages.note, methods=["POST"]),
        Route(f"{run}/candidates/{{key}}/{{file}}", pages.with_plugins(pages.download)),
    ]
    app = Starlette(
        routes=routes,
        middleware=[Middleware(GZipMiddleware, minimum_size=1000, compresslevel=6)],
        exception_handlers={AttnNasError: _error, 404: _missing},
    )
    return Guard(_Split(app, pages.raw), rules, PATHS)


class _Split:
    """Sends requests for paths of optuna-dashboard to it, all others to the pages of this package."""

    def __init__(self, own: Any, raw: Any) -> None:
        self._own, self._raw = own, raw

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        is_raw = scope["type"] == "http" and scope["path"].startswith(PATHS)
        await (self._raw if is_raw else self._own)(scope, receive, send)


def _asset(request: Request) -> Response:
    name = request.path_params["file"]
    if name not in ASSETS:
        return PlainTextResponse("there is no such file\n", status_code=404)
    # An address with the version of the file has no other content later.
    is_lasting = request.query_params.get("v") == static_version(name)
    headers = {"cache-control": "private, max-age=31536000, immutable"} if is_lasting else None
    return Response(static(name), media_type=mimetypes.guess_type(name)[0], headers=headers)


async def _events(follower: Follower, is_stopping: Callable[[], bool]) -> AsyncIterator[str]:
    silent_seconds = 0.0
    while not is_stopping():
        try:
            update = await run_in_threadpool(follower.update)
        except AttnNasError:
            update = None  # the run is being replaced, or cannot be read at present
        silent_seconds = 0.0 if update else silent_seconds + _UPDATE_SECONDS
        if update:
            yield f"data: {update}\n\n"
        elif silent_seconds >= _HEARTBEAT_SECONDS:
            silent_seconds = 0.0
            yield ": still here\n\n"
        await asyncio.sleep(_PORTION_SECONDS if follower.has_more else _UPDATE_SECONDS)


async def _lines(log: EventLog, watched: WatchedRun, is_stopping: Callable[[], bool]) -> AsyncIterator[str]:
    silent_seconds = 0.0
    while not is_stopping():
        is_active = await run_in_threadpool(_is_worked_in, watched)
        lines = await run_in_threadpool(log.new_lines)
        silent_seconds = 0.0 if lines else silent_seconds + _UPDATE_SECONDS
        if lines:
            yield "".join(f"{line}\n" for line in lines)
        elif silent_seconds >= _HEARTBEAT_SECONDS / 2:
            silent_seconds = 0.0
            yield "\n"
        if not is_active:
            return
        await asyncio.sleep(_UPDATE_SECONDS)


def _is_worked_in(watched: WatchedRun) -> bool:
    try:
        return watched.reading().is_worked_in
    except AttnNasError:
        return False


def _query(request: Request) -> Mapping[str, str]:
    return dict(request.query_params)


def _page(template: str, status: int = 200, **context: Any) -> Response:
    return HTMLResponse(render(template, **context), status_code=status)


def _error(request: Request, error: Exception) -> Response:
    title, status = ("Not found", 404) if isinstance(error, RunError) else ("Invalid request", 400)
    if not isinstance(error, RunError | UsageError):
        title, status = "Error", 500
    return _page("error.html", status, title=title, message=str(error))


def _missing(request: Request, error: Exception) -> Response:
    return _page("error.html", 404, title="Not found", message="There is no such page.")
