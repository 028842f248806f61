"""Inserts placements into models of other libraries: torchvision, timm, and models made of their blocks."""

from attn_nas.models.insertion.planning import hosts_of, insert, plan_of

__all__ = ["hosts_of", "insert", "plan_of"]
