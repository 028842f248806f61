"""Write results of a run as documents, tables and pictures."""

from attn_nas.report.maps_picture import write_maps
from attn_nas.report.result_files import write_front, write_insight

__all__ = ["write_front", "write_insight", "write_maps"]
