"""Error handling of all commands: one message on stderr, with the traceback if ``--debug`` asks for it."""

import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from typer import Abort, BadParameter, Exit

from attn_nas.errors import AttnNasError, first_line

_UNEXPECTED = 1
_TYPER_ERRORS: tuple[type[Exception], ...] = (
    Abort,
    Exit,
    *(kind for kind in BadParameter.__mro__ if issubclass(kind, Exception) and kind is not Exception),
)
"""Exceptions that typer handles itself; the base class of its errors has no public name."""


@contextmanager
def reported_failures(*, debug: bool) -> Iterator[None]:
    """Turn an exception of the block into one message on stderr and SystemExit with its exit code.

    With ``debug`` the traceback is printed before the message. An exception that is not an AttnNasError is reported as an
    unexpected error.
    """
    try:
        yield
    except _TYPER_ERRORS:
        raise
    except AttnNasError as error:
        _report(error, str(error), debug)
        raise SystemExit(error.exit_code) from None
    except Exception as error:  # noqa: BLE001  every other exception is reported too
        kind, message = type(error).__name__, first_line(error)
        summary = kind if message == kind else f"{kind}: {message}"
        advice = "report it with the traceback above" if debug else "rerun with attn-nas --debug COMMAND and report it"
        _report(error, f"{summary}\nUnexpected error; {advice}.", debug)
        raise SystemExit(_UNEXPECTED) from None


def _report(error: BaseException, message: str, debug: bool) -> None:
    if debug:
        _show_context(error)
        traceback.print_exception(error)
    print(f"attn-nas: {message}", file=sys.stderr)


def _show_context(error: BaseException | None) -> None:
    """Make the traceback include exceptions that were replaced with ``raise ... from None``."""
    while error is not None:
        error.__suppress_context__ = error.__cause__ is not None
        error = error.__cause__ or error.__context__
