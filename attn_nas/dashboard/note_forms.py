"""Forms for notes and stars of candidates: the only thing that pages of the dashboard write."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from urllib.parse import parse_qs

from starlette.requests import Request

from attn_nas.errors import UsageError
from attn_nas.runs.notes import LONGEST, Note

_MAX_BYTES = 12 * LONGEST + 1000
"""Maximum size of a form: each character of a note may take four bytes, each of which is written as %XX."""
_TYPE = "application/x-www-form-urlencoded"


class NoteForms:
    """Reads the forms of one server; a form has its secret ``token``, which a page of another site cannot read."""

    def __init__(self) -> None:
        self.token = secrets.token_urlsafe(18)

    async def read(self, request: Request) -> dict[str, str]:
        """Return the fields of the form in ``request``.

        Raises:
            UsageError: it is not such a form, it is too long, or its token is not that of this server.

        """
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _TYPE:
            raise UsageError(f"a note is sent as {_TYPE}")
        body = b""
        async for part in request.stream():
            body += part
            if len(body) > _MAX_BYTES:
                raise UsageError(f"the form has more than {_MAX_BYTES:,} bytes: write a note of at most {LONGEST:,} characters")
        try:
            fields = {name: values[-1] for name, values in parse_qs(body.decode(), max_num_fields=10, errors="strict").items()}
        except ValueError:
            raise UsageError("the form cannot be read: send text in UTF-8") from None
        if not secrets.compare_digest(fields.get("token", "").encode(), self.token.encode()):
            raise UsageError(
                "nothing was saved: this page was loaded before the dashboard was started again. Go back, copy your note, "
                "reload the page and save it again"
            )
        return fields


def note_in(fields: Mapping[str, str], earlier: Note) -> Note:
    """The note that a form sets; a form without text, such as that of a star alone, leaves the ``earlier`` text as it is."""
    text = fields.get("text", "").replace("\r\n", "\n").strip() if "has_text" in fields else earlier.text
    return Note(text, "star" in fields)
