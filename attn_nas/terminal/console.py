"""Consoles for stdout and stderr, as wide as tables need."""

import os

from rich.console import Console

_PIPED_WIDTH = 200


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Raise BrokenPipeError, where rich would exit: `attn_nas.cli.pipes` handles closed pipes."""
        raise BrokenPipeError


def console(*, stderr: bool = False, highlight: bool = True) -> Console:
    """Make a console as wide as the terminal; 200 columns in a pipe or a file, unless ``COLUMNS`` is set."""
    made = _Console(stderr=stderr, highlight=highlight)
    if not made.is_terminal and "COLUMNS" not in os.environ:
        made.width = _PIPED_WIDTH
    return made


def can_redraw(*consoles: Console) -> bool:
    """True if all ``consoles`` are terminals with cursor movement, so that the live view can redraw itself."""
    return all(each.is_terminal and not each.is_dumb_terminal for each in consoles)
