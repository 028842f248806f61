"""Winners as files: standalone source, weights, graphs, configuration and model card, each verified before it is kept."""

from attn_nas.export.formats import DEFAULT_FORMATS, FORMATS, chosen_formats
from attn_nas.export.winner import Recorded, Winner
from attn_nas.export.write import export_candidates, export_front, export_winners

__all__ = [
    "DEFAULT_FORMATS",
    "FORMATS",
    "Recorded",
    "Winner",
    "chosen_formats",
    "export_candidates",
    "export_front",
    "export_winners",
]
