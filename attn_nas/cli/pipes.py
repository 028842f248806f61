"""What becomes of a command whose reader has gone, as in ``attn-nas front RUN | head``."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from typer import BadParameter
from typer.core import TyperGroup

from attn_nas.cli.failures import told_failures
from attn_nas.errors import WriteError

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
_CLOSED_PIPE = 141
"""What a shell says of a command that a closed pipe has ended."""


@contextmanager
def quiet_pipe() -> Iterator[None]:
    """End without a word when stdout or stderr is a pipe that nobody reads any more.

    Raises:
        WriteError: there is no room for what is printed.

    """
    try:
        try:
            yield
        finally:
            if sys.stdout:
                sys.stdout.flush()
    except BrokenPipeError:
        _forget_output()
        raise SystemExit(_CLOSED_PIPE) from None
    except OSError as error:
        if error.errno not in _NO_ROOM or error.filename is not None:
            raise
        _forget_output()
        raise WriteError(f"the output cannot be written: {error.strerror}") from None


def _forget_output() -> None:
    """What is still buffered would be complained about when the interpreter ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class Commands(TyperGroup):
    """The commands, none of which minds a closed pipe, and all of which fail in words."""

    def make_context(self, *arguments: Any, **named: Any) -> Any:
        """Read what is asked for; answers ``--help``."""
        with quiet_pipe():
            return super().make_context(*arguments, **named)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read what stands before the command; an empty argument is refused: it would mean this folder, or nothing at all."""
        for arg in args:
            name, given, value = arg.partition("=")
            if not arg or (name.startswith("--") and given and not value):
                raise BadParameter(f"{name or 'an argument'} is empty: write a value, or leave it out", ctx)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run one."""
        with told_failures(debug=ctx.params["debug"]), quiet_pipe():
            return super().invoke(ctx)
