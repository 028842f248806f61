"""The log of a run that a dashboard serves, read while it is written."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse, InvalidURL
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import parse_qs, urlsplit, urlunsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from attn_nas.errors import RunError, UsageError, first_line
from attn_nas.monitor.follow import News

KIND = "application/x-ndjson"
_WAITS = (1.0, 2.0, 4.0, 8.0, 15.0)
"""Seconds before each further attempt after the connection was lost."""
_AGAIN = 2.0
"""Seconds after which a log that was closed is opened again."""
_SILENCE = 30.0
"""Seconds without a sign of life after which the connection counts as lost."""
_MOMENT = 0.5
"""Seconds of silence after which all lines so far are there."""
_LONGEST = 3.0
"""Seconds after which what is there is told, though more is coming."""


_FOR_NOW = {502, 503, 504}
"""Answers of a server behind which another one is missing at the moment."""


class _LostError(Exception):
    """The connection could not be made, or broke."""


class _NoRedirects(HTTPRedirectHandler):
    """Takes the token nowhere else."""

    def redirect_request(self, *_: Any) -> None:
        """See `HTTPRedirectHandler`."""


@dataclass(frozen=True)
class RunAddress:
    """The address of a run in a dashboard, and the ``token`` that the dashboard may demand."""

    page: str
    token: str | None

    @classmethod
    def of(cls, url: str) -> RunAddress:
        """That of any page of the run, such as ``http://host:port/runs/NAME?token=...``; raises UsageError."""
        try:
            parts = urlsplit(url)
        except ValueError as error:
            raise UsageError(f"{url} is no address: {first_line(error)}") from None
        found = re.match(r"(.*?/runs/[^/]+)", parts.path)
        if not found or not parts.netloc or parts.scheme not in {"http", "https"}:
            raise UsageError(f"{url}: give the address of a run, such as http://127.0.0.1:8090/runs/NAME")
        tokens = parse_qs(parts.query).get("token")
        return cls(urlunsplit((parts.scheme, parts.netloc, found[1], "", "")), tokens[0] if tokens else None)

    def open(self) -> HTTPResponse:
        """Its log from the beginning; raises RunError, or _LostError where another attempt may help."""
        headers = {"Accept": KIND, **({"Authorization": f"Bearer {self.token}"} if self.token else {})}
        try:
            request = Request(f"{self.page}/events", headers=headers)  # noqa: S310 - it is of HTTP, see `of`
            response: HTTPResponse = build_opener(_NoRedirects).open(request, timeout=_SILENCE)
        except HTTPError as error:
            raise self._refused(error) from None
        except (InvalidURL, ValueError) as error:
            raise UsageError(f"{self.page} is no address: {first_line(error)}") from None
        except (URLError, HTTPException, OSError) as error:
            reason = error.reason if isinstance(error, URLError) else error
            raise _LostError(f"nothing answers at {self.page}: {reason}") from None
        if response.headers.get_content_type() != KIND:
            response.close()
            raise RunError(f"what answers at {self.page} is not a dashboard of attn-nas")
        return response

    def _refused(self, error: HTTPError) -> Exception:
        with error:
            if error.code in {401, 403}:
                what = "does not accept this token" if self.token else "needs its token"
                return UsageError(f"the dashboard {what}: add ?token=... as in the address that it printed when it started")
            if error.code == 404:
                return RunError(f"there is no run at {self.page}")
            message = f"{self.page} answers {error.code} {error.reason}"
            return _LostError(message) if error.code in _FOR_NOW else RunError(message)


def remote_news(url: str, waits: Sequence[float] = _WAITS) -> Iterator[News]:
    """What is new in the log of the run at ``url``, all that there is first, again and again.

    A lost connection is made again after each of ``waits``; what was told already is not told again.

    Raises:
        UsageError, RunError: it is no address of a run, nobody answers there, or not any more.

    """
    address, told, failed, reached = RunAddress.of(url), 0, 0, False
    while True:
        passed = 0
        try:
            response, reached = address.open(), True
            for index, news in enumerate(_read(response)):
                fresh = news.lines[max(0, told - passed) :]
                passed += len(news.lines)
                told = max(told, passed)
                failed = 0 if fresh or index else failed
                yield News(fresh, news.works)
        except _LostError as error:
            if not reached:
                raise RunError(str(error)) from None
            if failed == len(waits):
                raise RunError(f"the connection was lost, and could not be made again in {failed} attempts: {error}") from None
            time.sleep(waits[failed])
            failed += 1
        else:
            time.sleep(_AGAIN)


def _read(response: HTTPResponse) -> Iterator[News]:
    """The log from its beginning to the end of the connection; where that is in order, nothing works on the run any more."""
    arrived: SimpleQueue[str | Exception | None] = SimpleQueue()
    # The thread keeps the response to itself: closing it here would wait until something comes.
    Thread(target=_receive, args=(response, arrived), daemon=True).start()
    works, moment = True, _MOMENT
    while works:
        *items, last = _together(arrived, moment)
        works = last is not None
        yield News([item for item in (*items, last) if isinstance(item, str) and item], works)
        if isinstance(last, Exception):
            raise _LostError(f"the connection broke: {first_line(last)}")
        moment = 0.0


def _receive(response: HTTPResponse, arrived: SimpleQueue[str | Exception | None]) -> None:
    """Put lines as they come, None at the end, or what went wrong."""
    rest = b""
    try:
        with response:
            # Line by line it would take a connection that is cut for one that has ended.
            while piece := response.read1():
                *lines, rest = (rest + piece).split(b"\n")
                for line in lines:
                    arrived.put(line.decode(errors="replace").strip())
        arrived.put(None)
    except (HTTPException, OSError, ValueError) as error:
        arrived.put(error)


def _together(arrived: SimpleQueue[str | Exception | None], moment: float) -> Iterator[str | Exception | None]:
    """What comes next, and all that follows each within a ``moment``; ends with a sign of life, or an end."""
    item, until = arrived.get(), time.monotonic() + _LONGEST
    while True:
        yield item
        if not item or isinstance(item, Exception) or time.monotonic() > until:
            return
        try:
            item = arrived.get(timeout=moment) if moment else arrived.get_nowait()
        except Empty:
            return
