"""Results to look at, as documents, tables and pictures."""

from attn_nas.report.files import write_front, write_insight
from attn_nas.report.maps import write_maps

__all__ = ["write_front", "write_insight", "write_maps"]
