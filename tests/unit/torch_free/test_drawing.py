"""Drawings of genotypes: text and picture say what sits where, and the layouts they follow are those of the modules."""

import re
import subprocess
import sys
from itertools import cycle, pairwise
from pathlib import Path
from xml.etree import ElementTree

import pytest

from attn_nas.attention.catalog import get_mechanism, mechanism_names
from attn_nas.drawing import draw_svg, draw_text
from attn_nas.drawing.canvas import ink_on, text_width
from attn_nas.drawing.colours import FAMILY_COLOURS, colour_of
from attn_nas.errors import SpaceError
from attn_nas.space.genotype import Genotype, Placement
from attn_nas.space.geometry import Block, Layout, TrunkFamily
from attn_nas.space.trunks import Trunk, register_trunk
from attn_nas.terminal.drawing import drawing

ROOT = Path(__file__).parents[3]


SVG = "{http://www.w3.org/2000/svg}"


GATES = cycle(
    [
        {"mechanism": "se", "reduction": 2},
        {"mechanism": "ema_attention", "groups": 2, "identity_init": False},
        {"mechanism": "psa_pointwise", "reduction": 2, "kernel_size": 7},
        {"mechanism": "cbam", "reduction": 2, "kernel_size": 7, "identity_init": True},
    ]
)


def _everything(trunk):
    """A placement at every site, at its positions in turn."""
    found = []
    for site in trunk.sites:
        position = site.positions[site.index % len(site.positions)]
        if position == "stage_end":
            found.append(Placement("bam", position, reduction=2))
        elif position == "replace":
            found.append(Placement("split_attention", position, reduction=2))
        else:
            found.append(Placement(position=position, **next(GATES)))
    return Genotype.of_sites(trunk, found)


def _documented():
    """The genotype of docs/placements.svg."""
    placements = (
        Placement("se", "pre", reduction=4),
        Placement("cam_gate", "inner", reduction=4),
        Placement("sam", "inner", kernel_size=3),
    )
    return Genotype(Trunk("cifar_resnet", 8, 16), placements)


def _with_layout(name, layout):
    """A user's family that is ResNet-50 but for the layout of its blocks."""
    theirs = Trunk("resnet", 50, 8)
    blocks = tuple(Block(**{**vars(block), "layout": layout}) for block in theirs.blocks)
    target, arguments = theirs.family.target, theirs.family.arguments
    register_trunk(TrunkFamily(name, "", target, "50", lambda depth: depth == 50, lambda depth, width: blocks, arguments))
    return Trunk(name, 50, 8)


def test_text_shows_what_sits_where():
    """Every position of a basic block, at the place where an image passes it; the shortcut meets the addition."""
    se, end = Placement("se", reduction=4), Placement("bam", "stage_end", reduction=4)
    at = [Placement("se", position, reduction=4) for position in ("pre", "inner", "pre_norm", "identity", "post")]
    placed = (at[0], at[1], at[2], at[3], at[4], Placement("sk", "replace", reduction=4), se, None, None)
    genotype = Genotype(Trunk("cifar_resnet", 20, 16), placed, (end, None))
    assert (
        draw_text(genotype)
        == """\
cifar_resnet depth 20 width 16: attention at 8 of 11 sites

stage 0: 16 channels
  block 0          16                  ◆ se r4 at pre
    ┬─◆─ conv 3x3 norm relu ─ conv 3x3 ─ norm ─ + relu ─
    └───────────────────────────────────────────┘
  block 1          16                  ◆ se r4 at inner
    ┬─ conv 3x3 norm relu ─◆─ conv 3x3 ─ norm ─ + relu ─
    └───────────────────────────────────────────┘
  block 2          16                  ◆ se r4 at pre_norm
    ┬─ conv 3x3 norm relu ─ conv 3x3 ─◆─ norm ─ + relu ─
    └───────────────────────────────────────────┘
  end of stage 0                       ◆ bam r4
stage 1: 16 → 32 channels, stride 2
  block 3          16 → 32, stride 2   ◆ se r4 at identity
    ┬─ conv 3x3 norm relu ─ conv 3x3 ─ norm ─ + relu ─
    └─ subsample pad ─◆───────────────────────┘
  block 4          32                  ◆ se r4 at post
    ┬─ conv 3x3 norm relu ─ conv 3x3 ─ norm ─ + relu ─◆─
    └─────────────────────────────────────────┘
  block 5          32                  ◆ sk r4 at replace (conv 3x3)
    ┬─ conv 3x3 norm relu ─ ◆ ─ norm ─ + relu ─
    └──────────────────────────────────┘
stage 2: 32 → 64 channels, stride 2
  block 6          32 → 64, stride 2   ◆ se r4 at standard
    ┬─ conv 3x3 norm relu ─ conv 3x3 ─ norm ─◆─ + relu ─
    └─ subsample pad ───────────────────────────┘
  blocks 7-8       64

◆ attention   ─ possible position   └ shortcut"""
    )


def test_equal_blocks_are_drawn_once():
    """ResNet-101 with SE in its third stage has one drawing for the strided block and one for the 22 after it."""
    trunk = Trunk("resnet", 101, 64)
    se = Placement("se", reduction=16)
    text = draw_text(Genotype(trunk, tuple(se if block.stage == 2 else None for block in trunk.blocks)))
    names = re.findall(r"^  (blocks? [\d-]+)", text, re.MULTILINE)
    assert names == ["blocks 0-2", "blocks 3-6", "block 7", "blocks 8-29", "blocks 30-32"]
    assert text.count("┬─ conv 1x1 norm relu conv 3x3 norm relu ─ conv 1x1 ─ norm ─◆─ + relu ─") == 2


def test_a_bare_trunk_is_a_line_for_each_stage():
    """Without attention there is nothing to explain."""
    assert draw_text(Genotype.bare(Trunk("cifar_resnet", 8, 16))).splitlines()[2:] == [
        "stage 0: 16 channels",
        "  block 0   16",
        "stage 1: 16 → 32 channels, stride 2",
        "  block 1   16 → 32, stride 2",
        "stage 2: 32 → 64 channels, stride 2",
        "  block 2   32 → 64, stride 2",
    ]


def test_text_is_narrow_and_complete(each_trunk):
    """At most 88 characters wide with layers spelt out; each placement is named once, in order, and marked in its block."""
    genotype = _everything(each_trunk)
    text = draw_text(genotype)
    assert max(map(len, text.splitlines())) <= 88
    assert "…" not in text
    named = re.findall(r"◆ (\w+(?: [rkg]\d+| init=1)+)(?: at (\w+))?", text)
    sites = sorted(genotype.sites, key=lambda each: (each[0].block.stage, each[0].at_stage_end))
    labels = [(p.label, "" if p.position == "stage_end" else p.position) for _, p in sites]
    assert named == labels
    assert text.count("◆") == 2 * len(each_trunk.blocks) + len(each_trunk.sites) - len(each_trunk.blocks) + 1


def test_a_layout_names_every_position_once():
    """Missing, doubled or misplaced positions are refused, with those that are wanted."""
    for wrong in (
        {"branch": ("pre", "inner", "pre_norm", "standard")},
        {"branch": ("pre", "pre", "inner", "replace", "pre_norm", "standard")},
        {"branch": ("pre", "inner", "replace", "pre_norm", "standard", "identity")},
    ):
        with pytest.raises(SpaceError, match="name each of pre, standard, inner, pre_norm, replace once"):
            Layout(**wrong)
    with pytest.raises(SpaceError, match="the after of a block's layout passes no position: name each of post once"):
        Layout(after=("relu",))


def test_a_users_trunk_is_drawn_without_a_layout():
    """Its insertion points alone."""
    trunk = _with_layout("without_layout", Layout())
    genotype = Genotype(trunk, (Placement("se", "pre_norm", reduction=2), *[None] * 15))
    assert draw_text(genotype).splitlines()[3:6] == [
        "  block 0        8 → 32   ◆ se r2 at pre_norm",
        "    ┬─ ─ conv ─◆─ ─ + ─",
        "    └───────────────┘",
    ]
    assert draw_svg(genotype).count(": free</title>") == 5


def test_layers_that_do_not_fit_are_left_out():
    """Of the text alone."""
    long = ("pre", *["a layer of some length"] * 5, "inner", "replace", "pre_norm", "standard")
    genotype = Genotype(_with_layout("long", Layout(long)), (Placement("se", "inner", reduction=2), *[None] * 15))
    assert draw_text(genotype).splitlines()[4:6] == ["    ┬─ … ─◆─ … ─ ─ + ─", "    └──────────────┘"]
    assert draw_svg(genotype).count("a layer of some length") == 5


def _texts(root):
    """Left end, right end, baseline and content of every text of a picture."""
    for text in root.iter(f"{SVG}text"):
        width = text_width(text.text, float(text.get("font-size")))
        x = float(text.get("x")) - (width / 2 if text.get("text-anchor") == "middle" else 0)
        yield x, x + width, float(text.get("y")), text.text


def test_no_text_of_a_picture_leaves_its_place(each_trunk):
    """Every text lies on the paper, texts on one line do not touch, and those of boxes lie within them."""
    _check_texts(each_trunk)


@pytest.mark.parametrize("trunk", [Trunk("cifar_resnet", 110, 16), Trunk("resnet", 101, 64)], ids=str)
def test_no_text_of_a_large_picture_leaves_its_place(trunk):
    """The same with a hundred blocks."""
    _check_texts(trunk)


def _check_texts(trunk):
    root = ElementTree.fromstring(draw_svg(_everything(trunk)))
    width, height = map(float, root.get("viewBox").split()[2:])
    lines = {}
    for left, right, y, content in _texts(root):
        assert left >= 0, content
        assert right <= width, content
        assert 0 < y < height
        lines.setdefault(round(y), []).append((left, right, content))
    for found in lines.values():
        found.sort()
        for (_, right, before), (left, _, after) in pairwise(found):
            assert right <= left, (before, after)
    for group in root.iter(f"{SVG}g"):
        box, text = group.find(f"{SVG}rect"), group.find(f"{SVG}text")
        if text is not None:
            assert text_width(text.text, float(text.get("font-size"))) < float(box.get("width"))


def test_a_picture_has_every_placement_with_what_it_is(each_trunk):
    """One box for each in the colour of its family, with its place and paper for those who point at it."""
    genotype = _everything(each_trunk)
    root = ElementTree.fromstring(draw_svg(genotype))
    boxes = {g.find(f"{SVG}title").text: g for g in root.iter(f"{SVG}g") if g.find(f"{SVG}text") is not None}
    for site, placement in genotype.sites:
        channels = site.block.channels_at(placement.position)
        mechanism = get_mechanism(placement.mechanism)
        start = f"{site}: {placement.label} at {placement.position}, {channels} channels; {mechanism.title}"
        (found,) = [title for title in boxes if title.startswith(start)]
        assert boxes[found].find(f"{SVG}text").text == placement.label
        assert boxes[found].find(f"{SVG}rect").get("fill") == colour_of(placement)
    assert len(boxes) == len(each_trunk.sites)


def test_a_picture_stands_alone():
    """No script, no reference to anything elsewhere; a rule for dark schemes that stays within the picture."""
    text = draw_svg(_documented())
    assert re.findall(r"https?://[^\"]+", text) == ["http://www.w3.org/2000/svg"]
    assert not re.search(r"<script|<image|href|@import|url\(", text)
    light, dark = re.search(r"<style>(.*)@media\(prefers-color-scheme:dark\)\{(.*)\}</style>", text).groups()
    assert set(re.findall(r"[^{}]+(?=\{)", light)) == set(re.findall(r"[^{}]+(?=\{)", dark))
    assert all(selector.startswith(".genotype ") for selector in re.findall(r"([^{}]+)\{", light))


@pytest.mark.parametrize(
    ("text", "width"),
    [
        ("depthwise 7x7", 7325),
        ("bam r16", 4223),
        ("cbam r16 k7 init=1", 9680),
        ("512 → 1024 channels, stride 2", 15165),
    ],
)
def test_texts_are_not_wider_than_is_counted_on(text, width):
    """Thousandths of an em in DejaVu Sans, the widest of the fonts that ``sans-serif`` usually is; not by far either."""
    assert width <= text_width(text, 1000) <= 1.3 * width


def test_bare_blocks_are_squares():
    """As many as there are blocks."""
    root = ElementTree.fromstring(draw_svg(Genotype.bare(Trunk("resnet", 101, 64))))
    assert sum(rect.get("class") == "bare" for rect in root.iter(f"{SVG}rect")) == 33


def test_colours_are_of_families_and_legible():
    """Each family has its own; labels contrast with them by 4.5 at least, and so do texts with both papers."""
    assert {get_mechanism(name).family for name in mechanism_names()} <= set(FAMILY_COLOURS)
    assert len(set(FAMILY_COLOURS.values())) == 6

    def luminance(colour):
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    def contrast(one, two):
        low, high = sorted((luminance(one), luminance(two)))
        return (high + 0.05) / (low + 0.05)

    assert all(contrast(ink_on(colour), colour) >= 4.5 for colour in FAMILY_COLOURS.values())
    rules = re.findall(r"\.genotype \.(\w+)\{fill:(#\w+)", draw_svg(_documented()))
    for sheet in (dict(rules[: len(rules) // 2]), dict(rules[len(rules) // 2 :])):
        for ink, ground in (("ink", "paper"), ("ink", "panel"), ("pale", "panel"), ("ink", "layer")):
            assert contrast(sheet[ink], sheet[ground]) >= 4.5, (ink, ground)


def test_the_terminal_colours_the_drawing_and_changes_no_letter():
    """The mark in a block and the mechanism's name have the family's colour, and nothing else has."""
    coloured = drawing(_documented())
    assert coloured.plain == draw_text(_documented())
    blue, orange = FAMILY_COLOURS["channel"], FAMILY_COLOURS["spatial"]
    found = [(coloured.plain[span.start : span.end], str(span.style).removeprefix("bold ")) for span in coloured.spans]
    assert set(found) == {("◆ se r4", blue), ("◆ cam_gate r4", blue), ("◆ sam k3", orange), ("◆", blue), ("◆", orange)}


def test_drawing_does_not_import_torch():
    """A report or a dashboard draws at once."""
    code = (
        "import sys; from attn_nas.drawing import draw_svg, draw_text; from attn_nas import Genotype, Trunk;"
        "g = Genotype.bare(Trunk('convnext', 59, 96)); draw_svg(g), draw_text(g); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_the_documented_picture_is_up_to_date():
    """docs/placements.svg is what this code draws; the same as text stands in the documentation."""
    assert (ROOT / "docs" / "placements.svg").read_text() == draw_svg(_documented())
    assert draw_text(_documented()) in (ROOT / "docs" / "reading.md").read_text()
