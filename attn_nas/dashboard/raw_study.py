"""The raw study: optuna-dashboard on the study of one run at a time, the one that a cookie names."""

from __future__ import annotations

from collections import OrderedDict
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import quote, unquote

import optuna_dashboard
from a2wsgi import WSGIMiddleware
from starlette.datastructures import URL, Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import Receive, Scope, Send

from attn_nas.dashboard.library import Library
from attn_nas.errors import AttnNasError, RunError
from attn_nas.runs.folder import RunFolder
from attn_nas.storage.location import StudyLocation

PATHS = ("/dashboard", "/api/", "/static/", "/csv/", "/artifacts/", "/favicon.ico")
"""What optuna-dashboard answers; its pages have absolute addresses."""
_COOKIE = "attn-nas-raw"
_MOST_OPEN = 4


def _cookie(port: int | None) -> str:
    """Its name; a browser keeps the cookies of all ports of a host together."""
    return f"{_COOKIE}-{port}"


class RawStudies:
    """An ASGI application for `PATHS`."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self._open: OrderedDict[tuple[str, object], Any] = OrderedDict()

    def enter(self, name: str, port: int | None) -> Response:
        """Lead to the study of the run ``name``, for who asks at ``port``; raises RunError."""
        study = self._place(name).open()
        answer = RedirectResponse(f"/dashboard/studies/{study._study_id}", status_code=303)
        answer.set_cookie(_cookie(port), quote(name, safe=""), httponly=True, samesite="strict")
        return answer

    def _place(self, name: str) -> StudyLocation:
        """Where the study of a run is; raises RunError if others are there too, which are not to be shown."""
        place = RunFolder(self._library.run(name).path).study
        if place.is_shared:
            raise RunError(f"the study of {name} is on a server, beside those of other runs: optuna-dashboard shows them all")
        return place

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        headers = Headers(scope=scope)
        cookie = SimpleCookie(headers.get("cookie", "")).get(_cookie(URL(scope=scope).port))
        asked = unquote(cookie.value) if cookie else None
        try:
            names = self._library.names()
            name = names[0] if len(names) == 1 else asked
            app = self._app(name) if name in names else None
        except (AttnNasError, OSError) as error:
            await PlainTextResponse(f"{error}\n", status_code=500)(scope, receive, send)
            return
        if app is None:
            await PlainTextResponse("choose a run, and its raw study there\n", status_code=404)(scope, receive, send)
            return
        # It takes this header for granted.
        MutableHeaders(scope=scope).setdefault("accept-encoding", "identity")
        await app(scope, receive, send)

    def _app(self, name: str) -> Any:
        place = self._place(name)
        # A run may be replaced by another of the same name.
        key = (name, place.signature()[0])
        found = self._open.pop(key, None)
        if found is None:
            found = WSGIMiddleware(optuna_dashboard.wsgi(place.open()._storage), workers=2)
        self._open[key] = found
        while len(self._open) > _MOST_OPEN:
            self._open.popitem(last=False)
        return found
