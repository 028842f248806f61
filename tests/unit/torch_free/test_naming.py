"""Names and glyphs of networks."""

from itertools import product

import pytest

from attn_nas.format import reference_label, written
from attn_nas.space.genotype import Genotype, Placement
from attn_nas.space.host import Host, HostModule
from attn_nas.space.naming import LONGEST, Names, glyph_of, names_of
from attn_nas.space.trunks import Trunk
from attn_nas.terminal.placement_text import glyph

SMALL = Trunk("cifar_resnet", 8, 16)
DEEPER = Trunk("cifar_resnet", 20, 16)
SE, ECA, GSOP = Placement("se", reduction=4), Placement("eca", "pre", kernel_size=3), Placement("gsop", "post", reduction=4)


def name(genotype):
    return names_of([genotype])[genotype.key]


@pytest.mark.parametrize(
    ("trunk", "placements", "expected", "glyph"),
    [
        (SMALL, (None, None, None), "no attention", "□│□│□"),
        (SMALL, (ECA, None, None), "ECA before block 0", "■│□│□"),
        (SMALL, (SE, SE, SE), "SE in all blocks", "■│■│■"),
        (SMALL, (SE, None, GSOP), "SE in block 0, GSoP after block 2", "■│□│■"),
        (DEEPER, (None,) * 6 + (SE,) * 3, "SE in stage 2", "□□□│□□□│■■■"),
        (DEEPER, (SE,) * 3 + (None,) * 3 + (SE,) * 3, "SE in stages 0 and 2", "■■■│□□□│■■■"),
        (DEEPER, (None, SE, SE, SE, SE, None, None, ECA, None), "SE in blocks 1-4, ECA before block 7", "□■■│■■□│□■□"),
        (DEEPER, (SE, SE, None, None, SE, None, None, None, None), "SE in blocks 0, 1 and 4", "■■□│□■□│□□□"),
    ],
)
def test_the_name_says_which_mechanism_is_where(trunk, placements, expected, glyph):
    genotype = Genotype(trunk, placements)
    assert name(genotype) == expected
    assert glyph_of(genotype) == glyph


def test_a_placement_between_stages_is_named_by_its_stage():
    genotype = Genotype(SMALL, (None, None, SE), (Placement("bam", "stage_end", reduction=4), None))
    assert name(genotype) == "SE in block 2, BAM after stage 0"
    assert glyph_of(genotype) == "□◆□│■"


def test_names_of_a_run_differ_and_are_short():
    """Every network of a space with two sizes of SE, at two positions: sizes are named only where they are needed."""
    options = [
        None,
        *(Placement("se", position, reduction) for position in ("standard", "pre") for reduction in (2, 4)),
        ECA,
        GSOP,
    ]
    genotypes = [Genotype(SMALL, placements) for placements in product(options, repeat=3)]
    names = names_of(genotypes)
    assert len({*names.values()}) == len({*names}) == len(options) ** 3
    assert max(map(len, names.values())) <= LONGEST
    assert names[Genotype(SMALL, (ECA, None, None)).key] == "ECA before block 0"
    assert names[Genotype(SMALL, (None, None, Placement("se", reduction=4))).key] == "SE r4 in block 2"


def test_many_different_placements_are_counted():
    mixed = [Placement("se", position, 4) for position in ("standard", "pre", "inner", "post")] * 2 + [ECA]
    assert name(Genotype(DEEPER, mixed)) == "SE and ECA in 9 of 11 places"


def test_a_deep_trunk_has_one_character_for_each_stage():
    deep = Trunk("cifar_resnet", 110, 16)
    placements = [SE] * 18 + [None] * 17 + [SE] + [None] * 18
    assert glyph_of(Genotype(deep, placements)) == "■│◧│□"


def test_mechanisms_are_written_as_in_their_papers():
    assert [written(each) for each in ("se", "gsop", "cam_gate", "split_attention")] == [
        "SE",
        "GSoP",
        "CAM gate",
        "split attention",
    ]


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("none", "no attention"),
        ("se everywhere", "SE everywhere"),
        ("cam_gate everywhere", "CAM gate everywhere"),
        ("se last stage", "SE in the last stage"),
        ("width 17", "width 17"),
    ],
)
def test_references_are_called_as_networks_are(name, label):
    assert reference_label(name) == label


def test_networks_that_come_one_by_one_have_names_that_differ_and_stay():
    """Sizes tell later ones from earlier ones, and where they do not help, the key."""
    names = Names()
    four, two = (Genotype(SMALL, (Placement("se", reduction=size), None, None)) for size in (4, 2))
    assert [names.of(four), names.of(two), names.of(four)] == ["SE in block 0", "SE r2 in block 0", "SE in block 0"]
    options = [Placement("se", position, reduction) for position in ("standard", "pre", "post") for reduction in (2, 4)]
    assert names_of([four, two]) == {four.key: "SE in block 0", two.key: "SE r2 in block 0"}
    mixed = [Genotype(DEEPER, (*each, *[ECA] * 6)) for each in product(options, repeat=3)]
    found = [names.of(genotype) for genotype in mixed]
    assert len({*found}) == len(mixed)
    assert max(map(len, found)) <= LONGEST
    assert found[2] == f"SE and ECA in 9 of 11 places ({mixed[2].key[:4]})"


def test_a_network_of_the_users_own_is_named_by_its_modules():
    """Modules that are no blocks of a known kind have stages by the size of their maps, and no stage ends."""
    modules = [
        HostModule(stage, 8, 8, 8, 8, name=name, kind="Sequential", shape=(8, 8, 8), at=("pre", "post"))
        for stage, name in enumerate(["encoder.0", "encoder.1", "decoder.0"])
    ]
    host = Host("unet.py:make", "1", "{}", (3, 32, 32), tuple(modules))
    gate = Placement("se", "post", reduction=2)
    some, every = Genotype(host, (gate, None, gate)), Genotype(host, (gate,) * 3)
    assert names_of([some, every]) == {some.key: "SE after encoder.0 and decoder.0", every.key: "SE after all modules"}
    assert glyph_of(some) == "■│□│■"


@pytest.mark.parametrize("genotype", [Genotype(SMALL, (SE, None, GSOP)), Genotype(DEEPER, [ECA] * 9)], ids=str)
def test_the_terminal_draws_the_same_glyph(genotype):
    assert glyph(str(genotype)).plain == glyph_of(genotype)
    deep = Genotype(Trunk("cifar_resnet", 110, 16), [SE] * 18 + [None] * 17 + [SE] + [None] * 18)
    assert glyph(str(deep)).plain == glyph_of(deep)
