"""The genotype: equal networks have equal keys, different networks different ones."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attn_nas.attention.sizes import canonical_reduction, hidden_width
from attn_nas.errors import SpaceError
from attn_nas.space.genotype import Genotype, Placement
from attn_nas.space.trunks import Trunk

TRUNK = Trunk("cifar_resnet", 8, 16)


@given(st.integers(1, 600), st.integers(1, 600))
def test_the_canonical_reduction_keeps_the_hidden_width(channels, reduction):
    """The representative gives the same width, and all reductions of that width have the same one."""
    canonical = canonical_reduction(channels, reduction)
    assert hidden_width(channels, canonical) == hidden_width(channels, reduction) == max(4, channels // reduction)
    assert canonical_reduction(channels, canonical) == canonical


def test_unused_hyperparameters_and_aliases_are_dropped():
    """An SE has no kernel, an ECA no reduction, an alias no name of its own."""
    se = Placement("SELayer", reduction=4, kernel_size=7)
    assert Genotype(TRUNK, (se, None, None)).placements[0] == Placement("se", reduction=4)
    eca = Placement("eca", reduction=8, kernel_size="adaptive")
    assert Genotype(TRUNK, (eca, None, None)).placements[0] == Placement("eca", kernel_size=3)


def test_keys_do_not_change_between_releases():
    """Stored runs name networks by these keys."""
    assert Genotype.bare(TRUNK).key == "ec8a01060227"
    assert Genotype(TRUNK, (Placement("cbam", reduction=4, kernel_size=7), None, None)).key == "c1ad5986cc2c"


@pytest.mark.parametrize(
    ("placement", "message"),
    [
        (Placement("see"), "did you mean se"),
        (Placement("se", "standart", reduction=4), "did you mean standard"),
        (Placement("se"), "se needs a reduction"),
        (Placement("se", reduction=0), "reduction = 0"),
        (Placement("sam", kernel_size=4), "kernel_size = 4: choose an odd integer"),
        (Placement("sam", kernel_size="adaptive"), "sam cannot have kernel_size 'adaptive'"),
        (Placement("eca"), "eca cannot have kernel_size None"),
        (Placement("eca", kernel_size=True), "eca cannot have kernel_size True"),
        (Placement("se", reduction="4"), "reduction = '4': choose an integer"),
        (Placement("se", reduction=4.0), "reduction = 4.0: choose an integer"),
        (Placement("sge"), "sge needs groups, such as 1, 2, 4"),
        (Placement("sge", groups=True), "groups = True: choose an integer"),
        (Placement("sge", groups=3), "sge: groups = 3 with channels = 32: choose from 1, 2, 4, 8, 16, 32"),
        (Placement("fca", reduction=4, groups=3), "fca cannot have 3 groups: choose from 1, 2, 4, 8, 16, 32"),
        (Placement("se", reduction=4, identity_init=1), "identity_init = 1: choose true or false"),
        (Placement("simam", identity_init=True), "simam has no identity_init"),
        (Placement("sam", kernel_size=10**30 + 1), "choose an odd integer from 1 to 255"),
    ],
    ids=str,
)
def test_impossible_placements_name_the_block_the_value_and_the_choices(placement, message):
    """Nothing impossible becomes a genotype."""
    with pytest.raises(SpaceError, match=f"block 1: .*{message}"):
        Genotype(TRUNK, (None, placement, None))


def test_stage_ends_have_a_place_of_their_own():
    """Round trip, text, key, and one entry between each two stages."""
    bam = Placement("bam", "stage_end", reduction=4)
    genotype = Genotype(TRUNK, (None, Placement("se", reduction=4), None), (bam, None))
    assert str(genotype) == "- |bam r4| se r4 | -"
    assert Genotype.from_json(genotype.to_json()) == genotype
    assert genotype.num_attended == 2
    assert Genotype(TRUNK, (None,) * 3, (None, None)) == Genotype.bare(TRUNK)
    assert "stage_ends" not in Genotype.bare(TRUNK).to_dict()
    with pytest.raises(SpaceError, match="has 2 stage ends, but 1 placements were given"):
        Genotype(TRUNK, (None,) * 3, (bam,))


def test_a_trunk_of_wrong_types_is_refused():
    """Depth and width are integers, so that equal trunks have one key."""
    for depth, width in (("8", 16), (8, "16"), (8, 16.0), (8, True)):
        with pytest.raises(SpaceError, match="choose an integer"):
            Trunk("cifar_resnet", depth, width)


def test_the_number_of_placements_must_be_the_number_of_blocks():
    """Too few are refused."""
    with pytest.raises(SpaceError, match="has 3 blocks, but 2 placements"):
        Genotype(TRUNK, (None, None))


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"trunk": {}, "placements": []}', '{"trunk": 1, "placements": 2}'])
def test_foreign_json_is_refused(text):
    """What is not a genotype says so."""
    with pytest.raises(SpaceError, match="not a genotype"):
        Genotype.from_json(text)


def test_unknown_fields_are_refused_with_the_choices():
    """A misspelt hyperparameter is not dropped in silence."""
    data = {
        "trunk": {"name": "cifar_resnet", "depth": 8, "width": 16},
        "placements": [{"mechanism": "se", "redution": 4}, None, None],
    }
    with pytest.raises(SpaceError, match=r"placement has no field 'redution'.*did you mean reduction"):
        Genotype.from_dict(data)


def test_text_shows_stages_and_repetition():
    """Equal blocks of a stage are written once."""
    deep = Trunk("cifar_resnet", 14, 16)
    se = Placement("se", "pre", reduction=4)
    assert str(Genotype(deep, (se, se, None, None, None, Placement("eca", kernel_size=5)))) == "se r4@pre x2 | - x2 | -, eca k5"
