"""Where the commands print."""

import os

from rich.console import Console

_PIPED_WIDTH = 200


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Leave the end of a closed pipe to the caller."""
        raise BrokenPipeError


def console(*, stderr: bool = False, highlight: bool = True) -> Console:
    """A console as wide as the terminal; in a pipe or a file wide enough for a table, unless ``COLUMNS`` says how wide."""
    made = _Console(stderr=stderr, highlight=highlight)
    if not made.is_terminal and "COLUMNS" not in os.environ:
        made.width = _PIPED_WIDTH
    return made


def can_redraw(*consoles: Console) -> bool:
    """Whether all of them are terminals on which a picture can be drawn anew in its place."""
    return all(each.is_terminal and not each.is_dumb_terminal for each in consoles)
