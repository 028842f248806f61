"""Where the commands print."""

import os

from rich.console import Console

_PIPED_WIDTH = 200


def console(*, stderr: bool = False, highlight: bool = True) -> Console:
    """A console as wide as the terminal; in a pipe or a file wide enough for a table, unless ``COLUMNS`` says how wide."""
    made = Console(stderr=stderr, highlight=highlight)
    if not made.is_terminal and "COLUMNS" not in os.environ:
        made.width = _PIPED_WIDTH
    return made
