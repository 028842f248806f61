"""What becomes of a command whose reader has gone, as in ``attn-nas front RUN | head``."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from typer.core import TyperGroup

_CLOSED_PIPE = 141
"""What a shell says of a command that a closed pipe has ended."""


@contextmanager
def quiet_pipe() -> Iterator[None]:
    """End without a word when stdout or stderr is a pipe that nobody reads any more."""
    try:
        try:
            yield
        finally:
            if sys.stdout:
                sys.stdout.flush()
    except BrokenPipeError:
        # What is still buffered would be complained about when the interpreter ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(_CLOSED_PIPE) from None


class Commands(TyperGroup):
    """The commands, none of which minds a closed pipe."""

    def make_context(self, *arguments: Any, **named: Any) -> Any:
        """Read what is asked for; answers ``--help``."""
        with quiet_pipe():
            return super().make_context(*arguments, **named)

    def invoke(self, ctx: Any) -> Any:
        """Run one."""
        with quiet_pipe():
            return super().invoke(ctx)
