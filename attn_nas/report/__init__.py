"""Results to look at, as documents, tables and pictures."""

from attn_nas.report.files import write_front, write_insight

__all__ = ["write_front", "write_insight"]
