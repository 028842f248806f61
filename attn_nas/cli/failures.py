"""How a command that fails says so: in one message, or with its traceback where that is asked for."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from typer import Abort, BadParameter, Exit

from attn_nas.errors import AttnNasError, first_line

_UNFORESEEN = 1
_OF_TYPER: tuple[type[Exception], ...] = (
    Abort,
    Exit,
    *(kind for kind in BadParameter.__mro__ if issubclass(kind, Exception) and kind is not Exception),
)
"""What typer answers itself; the base class of its errors has no public name."""


@contextmanager
def told_failures(*, debug: bool) -> Iterator[None]:
    """End a failing block with one message on stderr and its exit code; with ``debug`` after the traceback.

    What was not foreseen is a failure like others, but called by its name.
    """
    try:
        yield
    except _OF_TYPER:
        raise
    except AttnNasError as error:
        _tell(error, str(error), debug)
        raise SystemExit(error.exit_code) from None
    except Exception as error:  # noqa: BLE001  whatever it is, a user gets words
        kind, said = type(error).__name__, first_line(error)
        what = kind if said == kind else f"{kind}: {said}"
        more = "" if debug else ". See where with attn-nas --debug, written before the command"
        _tell(error, f"{what}\nNobody foresaw this: it is a fault of this machine, or a bug of attn-nas{more}", debug)
        raise SystemExit(_UNFORESEEN) from None


def _tell(error: BaseException, message: str, debug: bool) -> None:
    if debug:
        _uncover(error)
        traceback.print_exception(error)
    print(f"attn-nas: {message}", file=sys.stderr)


def _uncover(error: BaseException | None) -> None:
    """Have the traceback show also what an error was raised instead of."""
    while error is not None:
        error.__suppress_context__ = error.__cause__ is not None
        error = error.__cause__ or error.__context__
