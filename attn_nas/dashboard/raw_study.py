"""The raw study of a run in optuna-dashboard; a cookie names the run."""

from __future__ import annotations

from collections import OrderedDict
from html import escape
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import quote, unquote

import optuna_dashboard
from a2wsgi import WSGIMiddleware
from starlette.datastructures import URL, Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import Message, Receive, Scope, Send

from attn_nas.dashboard.library import Library
from attn_nas.errors import AttnNasError, RunError
from attn_nas.runs.folder import RunFolder
from attn_nas.storage.location import StudyLocation

PATHS = ("/dashboard", "/api/", "/static/", "/csv/", "/artifacts/", "/favicon.ico")
"""Prefixes of the paths of optuna-dashboard; they are absolute, so they cannot be served below the path of a run."""
_COOKIE = "attn-nas-raw"
_MAX_OPEN = 4
_WAY_BACK = (
    '<a href="/runs/{address}" style="position:fixed;left:1rem;bottom:1rem;z-index:9999;padding:.5rem .9rem;border-radius:6px;'
    'background:#0b5cad;color:#fff;font:600 15px system-ui,sans-serif;text-decoration:none">\u2190 back to {name}</a>'
)
"""Link for a page of optuna-dashboard, whose own policy allows styles in its elements."""


def _cookie(port: int | None) -> str:
    """Name of the cookie; it has the port, since browsers share cookies between the ports of a host."""
    return f"{_COOKIE}-{port}"


def _with_way_back(send: Send, name: str) -> Send:
    """Pass a page of optuna-dashboard on to ``send`` with a link to the run ``name``, which the page itself lacks."""
    begun: list[Message] = []
    body = b""

    async def passed(message: Message) -> None:
        nonlocal body
        if message["type"] == "http.response.start":
            headers = Headers(raw=message["headers"])
            if message["status"] != 200 or "html" not in headers.get("content-type", "") or "content-encoding" in headers:
                await send(message)
            else:
                begun.append(message)
            return
        if not begun:
            await send(message)
            return
        body += message.get("body", b"")
        if message.get("more_body"):
            return
        page = body.replace(b"</body>", _WAY_BACK.format(address=quote(name), name=escape(name)).encode() + b"</body>", 1)
        if body:
            MutableHeaders(scope=begun[0])["content-length"] = str(len(page))
        await send(begun[0])
        await send({"type": "http.response.body", "body": page})

    return passed


class RawStudies:
    """ASGI application for `PATHS`: passes requests to optuna-dashboard on the study of the run in the cookie."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self._open: OrderedDict[tuple[str, object], Any] = OrderedDict()

    def enter(self, name: str, port: int | None) -> Response:
        """Redirect to the study of the run ``name`` and set the cookie; ``port`` is that of the request.

        Raises:
            RunError: there is no such run, or its study is on a server with others.

        """
        study = self._place(name).open()
        answer = RedirectResponse(f"/dashboard/studies/{study._study_id}", status_code=303)
        answer.set_cookie(_cookie(port), quote(name, safe=""), httponly=True, samesite="strict")
        return answer

    def _place(self, name: str) -> StudyLocation:
        """Return the location of the study of a run.

        Raises:
            RunError: the storage holds other studies too, which optuna-dashboard would show.

        """
        place = RunFolder(self._library.run(name).path).study
        if place.is_shared:
            raise RunError(f"the study of {name} is on a server with other studies, and optuna-dashboard would show them all")
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
        # optuna-dashboard fails on requests without this header.
        MutableHeaders(scope=scope).setdefault("accept-encoding", "identity")
        await app(scope, receive, _with_way_back(send, str(name)) if scope["path"].startswith(PATHS[0]) else send)

    def _app(self, name: str) -> Any:
        place = self._place(name)
        # A run may be replaced by another of the same name.
        key = (name, place.signature()[0])
        found = self._open.pop(key, None)
        if found is None:
            found = WSGIMiddleware(optuna_dashboard.wsgi(place.open()._storage), workers=2)
        self._open[key] = found
        while len(self._open) > _MAX_OPEN:
            self._open.popitem(last=False)
        return found
