"""Handling of a closed pipe, as in ``attn-nas show RUN | head``, and of a full disk behind stdout."""

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from typer import BadParameter
from typer.core import TyperGroup

from attn_nas.cli.failures import reported_failures
from attn_nas.errors import WriteError

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
_CLOSED_PIPE = 141
"""Exit code that a shell reports for a command ended by SIGPIPE (128 + 13)."""


@contextmanager
def quiet_pipe() -> Iterator[None]:
    """Exit with code 141 and without a message if the reader of stdout or stderr has gone.

    Raises:
        WriteError: the device behind stdout is full.

    """
    try:
        try:
            yield
        finally:
            if sys.stdout:
                sys.stdout.flush()
    except BrokenPipeError:
        _discard_output()
        raise SystemExit(_CLOSED_PIPE) from None
    except OSError as error:
        if error.errno not in _NO_SPACE or error.filename is not None:
            raise
        _discard_output()
        raise WriteError(f"the output cannot be written: {error.strerror}") from None


def _discard_output() -> None:
    """Redirect stdout to /dev/null, so that flushing its buffer at exit raises no further error."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class Commands(TyperGroup):
    """The group of all commands: handles closed pipes, reports failures, refuses empty arguments."""

    def make_context(self, *arguments: Any, **named: Any) -> Any:
        """Parse the options before the command; prints ``--help``."""
        with quiet_pipe():
            return super().make_context(*arguments, **named)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Refuse empty arguments, which would name the current folder, or nothing.

        Raises:
            BadParameter: an argument, or the value of an option, is empty.

        """
        for arg in args:
            name, given, value = arg.partition("=")
            if not arg or (name.startswith("--") and given and not value):
                raise BadParameter(f"{name or 'an argument'} is empty: write a value, or leave it out", ctx)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run the chosen command."""
        with reported_failures(debug=ctx.params["debug"]), quiet_pipe():
            return super().invoke(ctx)
