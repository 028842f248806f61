"""Found placements in a model that is not ours: torchvision's, timm's, or any that is made of their blocks."""

from attn_nas.models.insertion.planning import hosts_of, insert, plan_of

__all__ = ["hosts_of", "insert", "plan_of"]
