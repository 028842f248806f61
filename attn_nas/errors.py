"""The errors of attn-nas. Every message names the input, its value and a value that works."""

from collections.abc import Iterable
from difflib import get_close_matches


class AttnNasError(Exception):
    """Base class of all errors that this package raises on purpose.

    ``exit_code`` is the exit status of the command line.
    """

    exit_code = 1


class UsageError(AttnNasError, ValueError):
    """An argument is invalid, or does not fit the run that it is given for."""

    exit_code = 2


class SpaceError(AttnNasError, ValueError):
    """A search space, genotype or placement is invalid."""

    exit_code = 2


class DeviceError(AttnNasError, ValueError):
    """The machine lacks the requested device or precision."""

    exit_code = 2


class DeviceLostError(AttnNasError):
    """A GPU has failed; this process cannot use it any more."""


class CostError(AttnNasError):
    """The cost of a model cannot be counted completely."""


class DataError(AttnNasError):
    """A data set is missing, damaged or unsuitable."""


class RunError(AttnNasError):
    """A run folder cannot be read or written."""


class WriteError(RunError):
    """A file of a run cannot be written now, for example because the disk is full; its content is valid."""


class StudyError(RunError):
    """A study cannot be read from its storage, or another process has locked it."""


class TableError(AttnNasError):
    """A table of trainings cannot be read or written, or lacks a network."""


class ExportError(AttnNasError):
    """A model cannot be exported, or its exported form failed verification."""


def choose_from(value: object, choices: Iterable[object]) -> str:
    """The text ``choose from a, b, c``, followed by ``(did you mean b?)`` if ``value`` resembles a choice.

    If it differs from a choice in upper and lower case alone, the text names that choice and no other.
    """
    names, given = [str(choice) for choice in choices], str(value).strip().lower()
    lower = {name.lower(): name for name in reversed(names)}
    if given in lower and str(value) not in names:
        return f"did you mean {lower[given]}? Write names in the same case"
    close = [lower[name] for name in get_close_matches(given, lower, n=1)]
    close = close or [name for name in names if given and given in name.lower()]
    hint = f" (did you mean {close[0]}?)" if close else ""
    return f"choose from {', '.join(names)}{hint}"


def unknown(kind: str, value: object, choices: Iterable[str]) -> str:
    """The message for an unknown name: the value, all choices, and the most similar choice if there is one."""
    return f"unknown {kind} {value!r}: {choose_from(value, choices)}"


def first_line(error: BaseException) -> str:
    """The first line of an error's message; the name of its class if the message is empty."""
    return (str(error).splitlines() or [type(error).__name__])[0]
