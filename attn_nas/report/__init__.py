"""Results to look at: the front as a document, a table and a picture."""

from attn_nas.report.files import write_front

__all__ = ["write_front"]
