"""Finds sites in models of other libraries, inserts placements there, and takes them out again."""

from attn_nas.models.insertion.finding import sites
from attn_nas.models.insertion.planning import hosts_of, insert, plan_of
from attn_nas.models.insertion.undoing import remove

__all__ = ["hosts_of", "insert", "plan_of", "remove", "sites"]
