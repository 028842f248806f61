"""Notes and stars that people give to candidates; they are kept in the run folder, beside the study."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass

from attn_nas.errors import RunError, UsageError
from attn_nas.runs.folder import RunFolder

LONGEST = 2000
"""Largest number of characters of a note."""
_WRITING = threading.Lock()


@dataclass(frozen=True)
class Note:
    """What a person has written about a candidate, and whether it is ``starred``."""

    text: str = ""
    starred: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to keep."""
        return not (self.text or self.starred)


def read_notes(folder: RunFolder) -> dict[str, Note]:
    """The notes of a run by key of the candidate; empty if there are none.

    Raises:
        RunError: the file cannot be read, or is not as `write_note` writes it.

    """
    path = folder.notes
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        return {key: _note(entry) for key, entry in document["notes"].items()}
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise RunError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise RunError(f"{path} is damaged: mend it, or move it away to begin new notes") from None


def write_note(folder: RunFolder, key: str, note: Note) -> None:
    """Keep the ``note`` of the candidate ``key`` in the place of an earlier one; an empty note is removed.

    The file is replaced as a whole. Notes of other candidates stay as they are.

    Raises:
        UsageError: the text is longer than `LONGEST` characters.
        RunError: the file cannot be written, or the earlier one cannot be read.

    """
    if len(note.text) > LONGEST:
        raise UsageError(f"a note of {len(note.text):,} characters: write at most {LONGEST:,}")
    with _WRITING:
        notes = {**read_notes(folder), key: note}
        kept = {name: {"text": each.text, "star": each.starred} for name, each in notes.items() if not each.is_empty}
        folder.write_document(folder.notes.name, {"notes": kept})


def _note(entry: Mapping[str, object]) -> Note:
    text, starred = entry["text"], entry["star"]
    if not isinstance(text, str) or not isinstance(starred, bool):
        raise TypeError(f"{entry!r} is not a note")
    return Note(text, starred)
