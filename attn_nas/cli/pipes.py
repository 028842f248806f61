"""What becomes of a command whose reader has gone, as in ``attn-nas front RUN | head``."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from typer import BadParameter
from typer.core import TyperGroup

from attn_nas.cli.failures import told_failures

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
    """The commands, none of which minds a closed pipe, and all of which fail in words."""

    def make_context(self, *arguments: Any, **named: Any) -> Any:
        """Read what is asked for; answers ``--help``."""
        with quiet_pipe():
            return super().make_context(*arguments, **named)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read what stands before the command; an empty argument is refused: it would mean this folder, or nothing at all."""
        empty = next((arg for arg in args if not arg or (arg.startswith("--") and arg.endswith("="))), None)
        if empty is not None:
            raise BadParameter(f"{empty or 'an argument'} is empty: write a value, or leave it out", ctx)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run one."""
        with told_failures(debug=ctx.params["debug"]), quiet_pipe():
            return super().invoke(ctx)
