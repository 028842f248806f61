"""Access checks of the dashboard: allowed host names, no requests from other sites, a token, and what may be written.

The Host header must be an allowed name, against DNS rebinding. Sec-Fetch-Site and Origin must be those of this site, against
requests of other sites (https://web.dev/articles/fetch-metadata).
"""

from __future__ import annotations

import re
import socket
from collections.abc import Collection
from dataclasses import dataclass
from ipaddress import ip_address
from secrets import compare_digest
from urllib.parse import quote, urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE = "attn-nas-token"
POLICY = "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
_HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    # "no-referrer" would make browsers send "Origin: null" with the forms of our own pages.
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_READ_METHODS = ("GET", "HEAD")
_NOTE = re.compile(r"/runs/[^/]+/candidates/[^/]+/note")
_HOST = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[^\[\]:/?#@\\\s]+)(:[0-9]+)?")


def is_loopback(host: str) -> bool:
    """True if a server that listens on ``host`` can be reached only from this machine."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@dataclass(frozen=True)
class Rules:
    """Rules of access.

    ``hosts`` are the allowed host names beside those of loopback. ``by_address`` allows every numeric address: no DNS name of
    another site can equal it. ``token`` is required of every request unless it is None. ``editable`` are the prefixes of paths
    that may be written to. With ``notes``, notes of candidates may be written.
    """

    hosts: Collection[str] = ()
    by_address: bool = False
    token: str | None = None
    editable: tuple[str, ...] = ()
    notes: bool = False

    @classmethod
    def of(
        cls,
        host: str,
        token: str | None,
        more_hosts: Collection[str] = (),
        editable: tuple[str, ...] = (),
        *,
        notes: bool = False,
    ) -> Rules:
        """Make the rules of a server that listens on ``host``."""
        if is_loopback(host):
            return cls({host, *more_hosts}, token=token, editable=editable, notes=notes)
        name = socket.gethostname()
        return cls({host, name, socket.getfqdn(), *more_hosts}, by_address=True, token=token, editable=editable, notes=notes)

    def allows(self, method: str, path: str) -> bool:
        """True if a request of this ``method`` may be made to ``path``."""
        if method in _READ_METHODS or path.startswith(self.editable or ("\0",)):
            return True
        return self.notes and method == "POST" and _NOTE.fullmatch(path) is not None

    def knows(self, host: str) -> bool:
        """True if ``host``, the value of a Host header, is allowed."""
        found = _HOST.fullmatch(host.lower())
        if found is None:
            return False
        name = found["name"].strip("[]")
        if name in (*_LOOPBACK, *(each.lower() for each in self.hosts)):
            return True
        try:
            ip_address(name)
        except ValueError:
            return False
        return self.by_address


class Guard:
    """ASGI application that passes allowed requests to ``app`` and adds security headers to its responses."""

    def __init__(self, app: ASGIApp, rules: Rules, foreign: tuple[str, ...] = ()) -> None:
        """``foreign`` are the prefixes of paths whose pages set a content security policy of their own."""
        self._app, self._rules, self._foreign = app, rules, foreign

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                if scope["path"].startswith(self._foreign):
                    headers.setdefault("content-security-policy", POLICY)
                else:
                    headers["content-security-policy"] = POLICY
            await send(message)

        refusal = self._refusal(Request(scope))
        await (refusal or self._app)(scope, receive, guarded)

    def _refusal(self, request: Request) -> Response | None:
        headers, path = request.headers, request.scope["path"]
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not self._rules.knows(hosts[0]):
            return _refused(400, "this host name is not allowed; add --allow-host NAME to allow it")
        if not self._rules.allows(request.method, path):
            return _refused(405, "this dashboard is read-only")
        if not _is_own(headers, request):
            return _refused(403, "requests of other sites are not allowed")
        return self._check_token(request) if self._rules.token else None

    def _check_token(self, request: Request) -> Response | None:
        """Return None if the request has the token, else a refusal.

        If the token is in the address, return a redirect to the address without it, which sets the token as a cookie.
        """
        token = self._rules.token or ""
        given = request.query_params.get("token")
        if given is not None and _same(given, token) and request.method == "GET":
            rest = [(name, value) for name, value in request.query_params.multi_items() if name != "token"]
            # A path that starts with two slashes would be the address of another host.
            path = "/" + quote(request.scope["path"].lstrip("/"))
            answer = RedirectResponse(path + (f"?{urlencode(rest)}" if rest else ""), status_code=303)
            answer.set_cookie(_cookie(request), token, httponly=True, samesite="lax")
            return answer
        bearer = request.headers.get("authorization", "").removeprefix("Bearer ")
        if any(_same(found, token) for found in (bearer, request.cookies.get(_cookie(request), ""))):
            return None
        return _refused(401, "this dashboard needs its token: open the address that it printed when it started")


def _is_own(headers: Headers, request: Request) -> bool:
    """True if the request comes from a page of this site, has no origin, or follows a link on another site."""
    origin, site = headers.get("origin"), headers.get("sec-fetch-site")
    own = f"{request.scope['scheme']}://{headers['host']}"
    if origin is not None and origin != own:
        return False
    if site in (None, "same-origin", "none"):
        return True
    is_link = headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"
    return is_link and request.method == "GET"


def _cookie(request: Request) -> str:
    """Name of the cookie with the token; it has the port, since browsers share cookies between the ports of a host."""
    return f"{COOKIE}-{(request.scope.get('server') or ('', 0))[1]}"


def _same(given: str, token: str) -> bool:
    return compare_digest(given.encode(), token.encode())


def _refused(status: int, reason: str) -> Response:
    return PlainTextResponse(f"refused: {reason}\n", status_code=status)
