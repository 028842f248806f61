"""The colours of mechanisms, by their family."""

from __future__ import annotations

from attn_nas.attention.catalog import get_mechanism
from attn_nas.attention.mechanism import Family
from attn_nas.drawing.canvas import PALETTE
from attn_nas.space.genotype import Placement

FAMILY_COLOURS: dict[Family, str] = {
    "channel": PALETTE[0],
    "spatial": PALETTE[1],
    "channel and spatial": PALETTE[3],
    "second order": PALETTE[4],
    "self-attention": PALETTE[2],
    "convolution": PALETTE[5],
}


def colour_of(placement: Placement) -> str:
    """The colour ``#rrggbb`` of the mechanism of ``placement``."""
    return FAMILY_COLOURS[get_mechanism(placement.mechanism).family]
