"""The narrow drawing of a network: every gate is in it, within its width, with text that can be read on a phone."""

import re
import xml.etree.ElementTree as ElementTree

import pytest

from attn_nas.drawing import draw_compact_svg
from attn_nas.space.genotype import Genotype, Placement
from attn_nas.space.trunks import Trunk

SMALL = Trunk("cifar_resnet", depth=8, width=16)
DEEP = Trunk("cifar_resnet", depth=56, width=16)
POSITIONS = ("pre", "standard", "pre_norm", "inner", "identity", "post")
SVG = "{http://www.w3.org/2000/svg}"


def drawn(genotype):
    return ElementTree.fromstring(draw_compact_svg(genotype))


def gates(picture):
    """The titles, left ends and right ends of all gates."""
    found = []
    for group in picture.iter(f"{SVG}g"):
        box = group.find(f"{SVG}rect")
        left = float(box.get("x"))
        found.append((group.find(f"{SVG}title").text, left, left + float(box.get("width"))))
    return found


@pytest.mark.parametrize("position", POSITIONS)
def test_a_gate_is_drawn_where_it_is(position):
    """Before, in, behind or over its block, within the width of the picture."""
    picture = drawn(Genotype(SMALL, (None, Placement("se", position, reduction=4), None)))
    ((title, left, right),) = gates(picture)
    assert title.startswith(f"block 1: se r4 at {position}")
    _, _, width, _ = map(float, picture.get("viewBox").split())
    assert 0 <= left < right <= width
    block = next(each for each in picture.iter(f"{SVG}rect") if each.get("class") == "layer")
    begin = float(block.get("x"))
    end = begin + float(block.get("width"))
    place = {"pre": right <= begin, "post": left >= end, "identity": left >= end}
    assert place.get(position, begin < left < right < end)


def test_empty_blocks_are_on_one_line():
    """A deep network without attention has one line for each stage; its text is never smaller than 12 pixels."""
    empty, filled = drawn(Genotype.bare(DEEP)), drawn(Genotype(DEEP, (Placement("se", reduction=4), *[None] * 26)))
    assert float(empty.get("viewBox").split()[3]) < 250
    assert len(gates(empty)) == 0
    assert len(gates(filled)) == 1
    assert empty.get("font-size") == "12"
    assert not re.search(r"<text[^>]*font-size=\"(?!12)", draw_compact_svg(Genotype.bare(DEEP)))


def test_gates_in_all_blocks_and_between_stages_are_seen():
    """Equal neighbours share a row that says how many they are."""
    everywhere = Genotype(DEEP, (Placement("se", reduction=4),) * 27)
    assert "(9 blocks)" in draw_compact_svg(everywhere) or "(8 blocks)" in draw_compact_svg(everywhere)
    between = Genotype(SMALL, (None,) * 3, (Placement("bam", "stage_end", reduction=4), None))
    assert any(title.startswith("after stage 0: bam r4") for title, _, _ in gates(drawn(between)))
