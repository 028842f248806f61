"""How far the decoding of images has come, for whoever listens: before a search begins there is no log of events."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Progress = Callable[[int, int], None]
"""Called with the number of decoded images and the number of all images."""

_listener: ContextVar[Progress | None] = ContextVar("_listener", default=None)


@contextmanager
def decoding_reported_to(listener: Progress) -> Iterator[None]:
    """Call ``listener`` while images are decoded in this block."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def report_decoded(done: int, total: int) -> None:
    """Report to the listener, if there is one, that ``done`` of ``total`` images are decoded."""
    if listener := _listener.get():
        listener(done, total)
