"""Start the server of the dashboard."""

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
_NUM_PORTS_TRIED = 20
_SHUTDOWN_SECONDS = 3
"""Time for open streams to notice that the server is stopping."""


def serve(
    path: Path,
    *,
    host: str = "127.0.0.1",
    port: int | None = None,
    token: str | None = None,
    allow_hosts: Sequence[str] = (),
    allow_edit: bool = False,
    read_only: bool = False,
    browse: bool = False,
    on_address: Callable[[str], None] = print,
) -> None:
    """Serve the run, or the runs of the folder, at ``path`` until interrupted.

    A ``token`` is required on every ``host`` other than loopback, and generated if none is given; on loopback it is optional.
    ``port`` is by default the first free port from 8090 on. ``allow_hosts`` are further allowed host names, ``allow_edit``
    allows changes of the raw study, ``browse`` opens a browser. With ``read_only`` nobody can write notes of candidates.
    ``on_address`` is called with the address of the first page.

    Raises:
        RunError: ``path`` is not a folder.
        UsageError: the token is too short, ``allow_edit`` contradicts ``read_only``, or the server cannot listen there.

    """
    if read_only and allow_edit:
        raise UsageError("--read-only and --allow-edit contradict each other: leave one out")
    library = Library(path)
    if token is not None and len(token) < 8:
        raise UsageError("--token: choose at least 8 characters")
    needed = token or (None if is_loopback(host) else secrets.token_urlsafe(18))
    torch.set_num_threads(1)
    listening = _listen(host, port)
    rules = Rules.of(host, needed, allow_hosts, PATHS if allow_edit else (), notes=not read_only)
    name = socket.gethostname() if host in ("0.0.0.0", "::") else host  # noqa: S104  only compared with
    name = f"[{name}]" if ":" in name else name
    address = f"http://{name}:{listening.getsockname()[1]}/"
    if library.is_single:
        address += f"runs/{quote(library.path.name)}"
    address += f"?token={quote(needed)}" if needed else ""
    _warm_up(library)
    on_address(address)
    if browse:
        webbrowser.open(address)
    app = dashboard_app(library, rules, is_stopping=lambda: server.should_exit)
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
            lifespan="off",
            ws="none",
            proxy_headers=False,
        )
    )
    with listening:
        server.run(sockets=[listening])


def _warm_up(library: Library) -> None:
    """Read the last active run, which is likely to be opened first; its page reports errors, so they are ignored here."""
    with suppress(AttnNasError, OSError):
        latest = next((each for each in library.summaries() if each.state != "broken"), None)
        if latest:
            library.run(latest.name).reading()


def _listen(host: str, port: int | None) -> socket.socket:
    """Return a socket that listens on ``port``, or on the first free port.

    Raises:
        UsageError: it cannot listen on any of the ports.

    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    tried = range(DEFAULT_PORT, DEFAULT_PORT + _NUM_PORTS_TRIED) if port is None else (port,)
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
