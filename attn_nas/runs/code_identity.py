"""Tells whether modules that the own code of a run imports are as they were when the run was begun."""

from __future__ import annotations

import json
from collections.abc import Iterable

from attn_nas.errors import RunError
from attn_nas.format import listed
from attn_nas.plugins.user_code import UserCode
from attn_nas.runs.folder import RunFolder

_DOCUMENT = "code.json"
"""File in a run folder with the digests of the imported modules, from the first time that they were known."""


def note_of_changed_modules(folder: RunFolder, codes: Iterable[UserCode]) -> str | None:
    """A sentence that names the modules beside ``codes`` that have changed since the run began; None if none has.

    A run keeps the file of its own code, but not what this imports. Digests of it are written into the run folder the first
    time.

    Raises:
        RunError: the digests cannot be read or written.

    """
    now = {path: digest for code in codes for path, digest in code.companions().items()}
    path = folder.path / _DOCUMENT
    try:
        before = json.loads(path.read_text(encoding="utf-8"))["modules"]
        changed = sorted(name for name, digest in now.items() if before.get(name, digest) != digest)
    except FileNotFoundError:
        if now:
            folder.write_document(_DOCUMENT, {"modules": now})
        return None
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise RunError(f"{path} cannot be read ({error}): restore it, or delete it") from None
    if not changed:
        return None
    return (
        f"{listed(changed)} {'has' if len(changed) == 1 else 'have'} changed since the run was begun: candidates that are "
        "trained now may not be comparable with earlier ones. Restore what the run was begun with, or begin a new run"
    )
