"""The errors that a user of attn-nas can meet; every message says what, with which value, and what to choose instead."""

from collections.abc import Iterable
from difflib import get_close_matches


class AttnNasError(Exception):
    """Base of every error raised on purpose by this package; ``exit_code`` is what the command line ends with."""

    exit_code = 1


class UsageError(AttnNasError, ValueError):
    """An argument that cannot be used, alone or with the run it is given for."""

    exit_code = 2


class SpaceError(AttnNasError, ValueError):
    """A search space, genotype or placement that cannot be."""

    exit_code = 2


class DeviceError(AttnNasError, ValueError):
    """A device or precision that this machine does not have."""

    exit_code = 2


class DeviceLostError(AttnNasError):
    """A GPU that does nothing any more in this process."""


class CostError(AttnNasError):
    """A model whose cost cannot be counted in full."""


class DataError(AttnNasError):
    """A data set that is missing, damaged or unfit."""


class RunError(AttnNasError):
    """A run folder that cannot be read or written as asked."""


class WriteError(RunError):
    """A file of a run that cannot be written now, as on a full disk: no fault of what was to be kept in it."""


class StudyError(RunError):
    """A study that its storage does not give any more, or that somebody else works on."""


class TableError(AttnNasError):
    """A table of trainings that cannot be read or written, or that has no such network."""


class ExportError(AttnNasError):
    """A model that could not be written, or failed its verification."""


def choose_from(value: object, choices: Iterable[object]) -> str:
    """``choose from a, b, c``, with a question after it when ``value`` looks like one of them misspelt."""
    names = [str(choice) for choice in choices]
    close = get_close_matches(str(value), names, n=1) or [name for name in names if str(value) and str(value) in name]
    hint = f" (did you mean {close[0]}?)" if close else ""
    return f"choose from {', '.join(names)}{hint}"


def unknown(kind: str, value: object, choices: Iterable[str]) -> str:
    """A message for an unknown name: the value, all choices, and the closest if one is close."""
    return f"unknown {kind} {value!r}: {choose_from(value, choices)}"


def first_line(error: BaseException) -> str:
    """The first line of an error's message, or its name."""
    return (str(error).splitlines() or [type(error).__name__])[0]
