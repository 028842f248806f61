"""Who may ask for what: known hosts, this site's own pages, a token where others can reach the server, no writing.

Against DNS rebinding the Host header must be one that is allowed; against requests of other sites Sec-Fetch-Site and Origin
must be this site's own (https://web.dev/articles/fetch-metadata).
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
_ALWAYS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_READING = ("GET", "HEAD")
_HOST = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[^\[\]:/?#@\\\s]+)(:[0-9]+)?")


def is_loopback(host: str) -> bool:
    """Whether a server that listens on ``host`` can be reached from this machine alone."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@dataclass(frozen=True)
class Rules:
    """What is allowed.

    ``hosts`` are the names by which the server may be called, beside loopback's; ``by_address`` allows any numeric address,
    which no other site can pretend to have. ``token`` is demanded of everyone unless it is None. ``editable`` are the
    beginnings of paths that may be written to.
    """

    hosts: Collection[str] = ()
    by_address: bool = False
    token: str | None = None
    editable: tuple[str, ...] = ()

    @classmethod
    def of(cls, host: str, token: str | None, more_hosts: Collection[str] = (), editable: tuple[str, ...] = ()) -> Rules:
        """Those of a server that listens on ``host``."""
        if is_loopback(host):
            return cls({host, *more_hosts}, token=token, editable=editable)
        name = socket.gethostname()
        return cls({host, name, socket.getfqdn(), *more_hosts}, by_address=True, token=token, editable=editable)

    def knows(self, host: str) -> bool:
        """Whether the server may be called ``host``, a Host header."""
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
    """Passes on to ``app`` what ``rules`` allow, and adds the headers that keep pages to themselves."""

    def __init__(self, app: ASGIApp, rules: Rules, foreign: tuple[str, ...] = ()) -> None:
        """``foreign`` are the beginnings of paths whose pages have a policy of their own."""
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
                for name, value in _ALWAYS.items():
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
            return _refused(400, "this server is not called so; name it with --allow-host if it is")
        if request.method not in _READING and not path.startswith(self._rules.editable or ("\0",)):
            return _refused(405, "nothing can be changed here")
        if not _is_own(headers, request):
            return _refused(403, "only this site's own pages may ask for that")
        return self._unknown(request) if self._rules.token else None

    def _unknown(self, request: Request) -> Response | None:
        """What is answered to who does not have the token; the address that brings it is replaced by a cookie."""
        token = self._rules.token or ""
        brought = request.query_params.get("token")
        if brought is not None and _same(brought, token) and request.method == "GET":
            rest = [(name, value) for name, value in request.query_params.multi_items() if name != "token"]
            # Two slashes at the beginning would name another host.
            path = "/" + quote(request.scope["path"].lstrip("/"))
            answer = RedirectResponse(path + (f"?{urlencode(rest)}" if rest else ""), status_code=303)
            answer.set_cookie(_cookie(request), token, httponly=True, samesite="lax")
            return answer
        bearer = request.headers.get("authorization", "").removeprefix("Bearer ")
        if any(_same(found, token) for found in (bearer, request.cookies.get(_cookie(request), ""))):
            return None
        return _refused(401, "this dashboard needs its token: open the address that it printed when it started")


def _is_own(headers: Headers, request: Request) -> bool:
    """Whether the request comes from this site's own pages, from nowhere, or is a plain link from elsewhere."""
    origin, site = headers.get("origin"), headers.get("sec-fetch-site")
    own = f"{request.scope['scheme']}://{headers['host']}"
    if origin is not None and origin != own:
        return False
    if site in (None, "same-origin", "none"):
        return True
    is_link = headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"
    return is_link and request.method == "GET"


def _cookie(request: Request) -> str:
    """The name of the cookie with the token: a browser shares cookies among the ports of a host."""
    return f"{COOKIE}-{(request.scope.get('server') or ('', 0))[1]}"


def _same(given: str, token: str) -> bool:
    return compare_digest(given.encode(), token.encode())


def _refused(status: int, why: str) -> Response:
    return PlainTextResponse(f"refused: {why}\n", status_code=status)
