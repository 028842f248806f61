"""Export trained candidates: standalone source, weights, graphs, configuration and model card, verified before use."""

from attn_nas.export.model_formats import DEFAULT_FORMATS, FORMATS, chosen_formats
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
