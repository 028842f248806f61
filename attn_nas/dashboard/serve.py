"""The server of the dashboard."""

from __future__ import annotations

import secrets
import socket
import webbrowser
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import torch
import uvicorn

from attn_nas.dashboard.app import dashboard_app
from attn_nas.dashboard.guard import Rules, is_loopback
from attn_nas.dashboard.library import Library
from attn_nas.dashboard.raw_study import PATHS
from attn_nas.errors import AttnNasError, UsageError

DEFAULT_PORT = 8090
_PORTS_TRIED = 20
_PATIENCE = 3
"""Seconds in which streams notice that the server ends."""


def serve(
    path: Path,
    *,
    host: str = "127.0.0.1",
    port: int | None = None,
    token: str | None = None,
    allow_hosts: Sequence[str] = (),
    allow_edit: bool = False,
    browse: bool = False,
    say: Callable[[str], None] = print,
) -> None:
    """Show the run, or the runs, at ``path`` until interrupted; ``say`` is told the address.

    On loopback anybody of this machine may look, unless there is a ``token``; on any other ``host`` one is demanded, and made
    if none is given. Without a ``port`` the first free one from 8090 on is taken.

    Raises:
        RunError: there is no such folder.
        UsageError: the address cannot be listened on.

    """
    library = Library(path)
    if token is not None and len(token) < 8:
        raise UsageError("--token: choose at least 8 characters")
    needed = token or (None if is_loopback(host) else secrets.token_urlsafe(18))
    torch.set_num_threads(1)
    listening = _listen(host, port)
    rules = Rules.of(host, needed, allow_hosts, PATHS if allow_edit else ())
    reached = socket.gethostname() if host in ("0.0.0.0", "::") else host  # noqa: S104  what was asked for
    named = f"[{reached}]" if ":" in reached else reached
    address = f"http://{named}:{listening.getsockname()[1]}/"
    if library.is_single:
        address += f"runs/{quote(library.path.name)}"
    address += f"?token={quote(needed)}" if needed else ""
    _warm_up(library)
    say(address)
    if browse:
        webbrowser.open(address)
    app = dashboard_app(library, rules, is_leaving=lambda: server.should_exit)
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            timeout_graceful_shutdown=_PATIENCE,
            lifespan="off",
            ws="none",
            proxy_headers=False,
        )
    )
    with listening:
        server.run(sockets=[listening])


def _warm_up(library: Library) -> None:
    """Read the run that is most likely to be looked at first; what is wrong with it is for its page to say."""
    with suppress(AttnNasError, OSError):
        latest = next((each for each in library.summaries() if each.state != "broken"), None)
        if latest:
            library.run(latest.name).reading()


def _listen(host: str, port: int | None) -> socket.socket:
    """A socket that listens on ``port``, or on the first free one."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    tried = range(DEFAULT_PORT, DEFAULT_PORT + _PORTS_TRIED) if port is None else (port,)
    problem: OSError | None = None
    for number in tried:
        listening = socket.socket(family, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((host, number))
            listening.listen()
        except (OSError, OverflowError) as error:
            listening.close()
            problem = error if isinstance(error, OSError) else OSError(str(error))
            continue
        return listening
    reason = (problem.strerror or str(problem)) if problem else ""
    raise UsageError(
        f"cannot listen on {host}, port {tried[0] if port is None else port}: {reason}; choose another --port or --host"
    )
