"""Follow a search over HTTP: reads the event log that a dashboard serves while the search writes it."""

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
from attn_nas.monitor.follow import LogUpdate

CONTENT_TYPE = "application/x-ndjson"
_RETRY_SECONDS = (1.0, 2.0, 4.0, 8.0, 15.0)
"""Seconds to wait before each attempt to restore a lost connection."""
_REOPEN_SECONDS = 2.0
"""Seconds to wait before reading the log again after the server has closed it in order."""
_TIMEOUT_SECONDS = 30.0
"""Seconds without a byte after which the connection counts as lost."""
_QUIET_SECONDS = 0.5
"""Seconds of silence that mark the end of the lines written so far."""
_LONGEST_UPDATE_SECONDS = 3.0
"""Seconds after which an update is passed on though more lines are coming."""
_TEMPORARY_STATUSES = {502, 503, 504}
"""HTTP statuses of a proxy whose server is missing for the moment."""


class _LostError(Exception):
    """The connection could not be made, or broke."""


class _NoRedirects(HTTPRedirectHandler):
    """Follows no redirect, so that the token is sent to one server only."""

    def redirect_request(self, *_: Any) -> None:
        """See `HTTPRedirectHandler`."""


@dataclass(frozen=True)
class RunAddress:
    """Address of a run in a dashboard, with the ``token`` that the dashboard may demand."""

    page: str
    token: str | None

    @classmethod
    def of(cls, url: str) -> RunAddress:
        """Parse the address of any page of the run, such as ``http://host:port/runs/NAME?token=...``.

        Raises:
            UsageError: ``url`` is not the address of a run.

        """
        try:
            parts = urlsplit(url)
        except ValueError as error:
            raise UsageError(f"{url} is not an address: {first_line(error)}") from None
        found = re.match(r"(.*?/runs/[^/]+)", parts.path)
        if not found or not parts.netloc or parts.scheme not in {"http", "https"}:
            raise UsageError(f"{url}: give the address of a run, such as http://127.0.0.1:8090/runs/NAME")
        tokens = parse_qs(parts.query).get("token")
        return cls(urlunsplit((parts.scheme, parts.netloc, found[1], "", "")), tokens[0] if tokens else None)

    def open(self) -> HTTPResponse:
        """Open the event log from its beginning.

        Raises:
            RunError: the server refuses, has no such run, or is not a dashboard.
            UsageError: the address is malformed, or the token is missing or wrong.
            _LostError: no answer; another attempt may help.

        """
        headers = {"Accept": CONTENT_TYPE, **({"Authorization": f"Bearer {self.token}"} if self.token else {})}
        try:
            request = Request(f"{self.page}/events", headers=headers)  # noqa: S310  `of` lets only http and https pass
            response: HTTPResponse = build_opener(_NoRedirects).open(request, timeout=_TIMEOUT_SECONDS)
        except HTTPError as error:
            raise self._refused(error) from None
        except (InvalidURL, ValueError) as error:
            raise UsageError(f"{self.page} is not an address: {first_line(error)}") from None
        except (URLError, HTTPException, OSError) as error:
            reason = error.reason if isinstance(error, URLError) else error
            raise _LostError(f"no server answers at {self.page}: {reason}") from None
        if response.headers.get_content_type() != CONTENT_TYPE:
            response.close()
            raise RunError(f"the server at {self.page} is not a dashboard of attn-nas")
        return response

    def _refused(self, error: HTTPError) -> Exception:
        with error:
            if error.code in {401, 403}:
                reason = "does not accept this token" if self.token else "needs its token"
                return UsageError(f"the dashboard {reason}: add ?token=... as in the address that it printed when it started")
            if error.code == 404:
                return RunError(f"there is no run at {self.page}")
            message = f"{self.page} answers {error.code} {error.reason}"
            return _LostError(message) if error.code in _TEMPORARY_STATUSES else RunError(message)


def remote_updates(url: str, retry_seconds: Sequence[float] = _RETRY_SECONDS) -> Iterator[LogUpdate]:
    """Read the event log of the run at ``url``, without end; the first update holds all lines so far.

    A lost connection is made again after each of ``retry_seconds``. No line is passed on twice.

    Raises:
        UsageError: ``url`` is not the address of a run, or its token is missing or wrong.
        RunError: no server answers at ``url``, or the connection was lost and could not be restored.

    """
    address, passed_on, failed, reached = RunAddress.of(url), 0, 0, False
    while True:
        received = 0
        try:
            response, reached = address.open(), True
            for index, update in enumerate(_read(response)):
                fresh = update.lines[max(0, passed_on - received) :]
                received += len(update.lines)
                passed_on = max(passed_on, received)
                failed = 0 if fresh or index else failed
                yield LogUpdate(fresh, update.is_active)
        except _LostError as error:
            if not reached:
                raise RunError(str(error)) from None
            if failed == len(retry_seconds):
                raise RunError(f"the connection was lost, and could not be made again in {failed} attempts: {error}") from None
            time.sleep(retry_seconds[failed])
            failed += 1
        else:
            time.sleep(_REOPEN_SECONDS)


def _read(response: HTTPResponse) -> Iterator[LogUpdate]:
    """Read the log until the connection ends; the last update is inactive if the server ended it in order."""
    arrived: SimpleQueue[str | Exception | None] = SimpleQueue()
    # Only the thread touches the response: closing it here would block until the next byte.
    Thread(target=_receive, args=(response, arrived), daemon=True).start()
    is_active, quiet_seconds = True, _QUIET_SECONDS
    while is_active:
        *items, last = _batch(arrived, quiet_seconds)
        is_active = last is not None
        yield LogUpdate([item for item in (*items, last) if isinstance(item, str) and item], is_active)
        if isinstance(last, Exception):
            raise _LostError(f"the connection broke: {first_line(last)}")
        quiet_seconds = 0.0


def _receive(response: HTTPResponse, arrived: SimpleQueue[str | Exception | None]) -> None:
    """Put each line into ``arrived`` as it comes; then None if the server ended in order, else the error."""
    rest = b""
    try:
        with response:
            # `read1` raises IncompleteRead for a cut connection; `readline` would report it as an end in order.
            while piece := response.read1():
                *lines, rest = (rest + piece).split(b"\n")
                for line in lines:
                    arrived.put(line.decode(errors="replace").strip())
        arrived.put(None)
    except (HTTPException, OSError, ValueError) as error:
        arrived.put(error)


def _batch(arrived: SimpleQueue[str | Exception | None], quiet_seconds: float) -> Iterator[str | Exception | None]:
    """Yield the next item, and those that follow each other within ``quiet_seconds``.

    An empty line (the server's sign of life), None or an error ends the batch.
    """
    item, until = arrived.get(), time.monotonic() + _LONGEST_UPDATE_SECONDS
    while True:
        yield item
        if not item or isinstance(item, Exception) or time.monotonic() > until:
            return
        try:
            item = arrived.get(timeout=quiet_seconds) if quiet_seconds else arrived.get_nowait()
        except Empty:
            return
