"""Winners as files: standalone source, weights, configuration and model card, each verified before it is kept."""

from attn_nas.export.write import export_candidates, export_front

__all__ = ["export_candidates", "export_front"]
