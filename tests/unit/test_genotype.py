"""The genotype: equal networks have equal keys, different networks different ones."""

import json

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from attn_nas.attention.catalog import get_mechanism, mechanism_names
from attn_nas.attention.sizes import canonical_reduction, hidden_width
from attn_nas.cost import count_cost
from attn_nas.errors import SpaceError
from attn_nas.models.build import build_model
from attn_nas.space.genotype import Genotype, Placement
from attn_nas.space.task import Task
from attn_nas.space.trunks import Trunk

TRUNK = Trunk("cifar_resnet", 8, 16)


@st.composite
def placements(draw, site):
    """None, or any legal placement with raw hyperparameters, needed or not."""
    mechanism = get_mechanism(draw(st.sampled_from(mechanism_names())))
    positions = [position for position in mechanism.positions if position in site.positions]
    if not positions or draw(st.booleans()):
        return None
    kernel_sizes = (mechanism.closed and mechanism.kernel_sizes) or (3, 5, 7)
    return Placement(
        mechanism.name,
        draw(st.sampled_from(positions)),
        draw(st.sampled_from([1, 2, 3, 4, 8, 16, 32])),
        draw(st.sampled_from([*kernel_sizes, *mechanism.kernel_sizes[:1]])),
        draw(st.sampled_from([1, 2, 4, 8])),
        mechanism.identity_init and draw(st.booleans()),
    )


genotypes = st.tuples(*map(placements, TRUNK.sites)).map(lambda chosen: Genotype.of_sites(TRUNK, chosen))


def _network(genotype):
    """What tells networks apart: tensors of the state dict, output at a fixed input away from any start at zero, cost."""
    model = build_model(genotype, 10, seed=0).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, buffer in model.named_buffers():
            if name.endswith("running_mean"):
                buffer.add_(0.1)
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
        logits = model(torch.linspace(-1, 1, 2 * 3 * 16 * 16).reshape(2, 3, 16, 16))
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    return shapes, logits, count_cost(model, Task(3, 16, 16, 10))


@settings(max_examples=60, deadline=None)
@given(genotypes, genotypes)
def test_keys_are_equal_exactly_for_equal_networks(one, two):
    """Same parameter tensors, output and FLOPs if and only if same key."""
    shapes_one, logits_one, cost_one = _network(one)
    shapes_two, logits_two, cost_two = _network(two)
    same = shapes_one == shapes_two and torch.equal(logits_one, logits_two) and cost_one == cost_two
    assert same == (one.key == two.key)
    assert (one == two) == (one.key == two.key)


@settings(max_examples=60, deadline=None)
@given(st.data(), st.integers(0, 4), st.sampled_from([1, 2, 3, 4, 5, 8, 16, 32, 64]), st.sampled_from([3, 7, 15]))
def test_rewritten_hyperparameters_keep_the_key_exactly_if_the_network_is_kept(data, site, reduction, kernel_size):
    """Changing a hyperparameter changes the key if and only if it changes the network."""
    placement = data.draw(placements(TRUNK.sites[site]))
    assume(placement is not None)
    groups = data.draw(st.sampled_from([1, 2, 4, 8]))
    rewritten = Placement(placement.mechanism, placement.position, reduction, kernel_size, groups, placement.identity_init)
    chosen = [[None] * 5, [None] * 5]
    chosen[0][site], chosen[1][site] = placement, rewritten
    one, two = (Genotype.of_sites(TRUNK, found) for found in chosen)
    shapes_one, logits_one, _ = _network(one)
    shapes_two, logits_two, _ = _network(two)
    assert (shapes_one == shapes_two and torch.equal(logits_one, logits_two)) == (one.key == two.key)


@given(genotypes)
def test_json_round_trip(genotype):
    """A genotype survives JSON, and so do its hash and key."""
    again = Genotype.from_json(genotype.to_json())
    assert again == genotype
    assert hash(again) == hash(genotype)
    assert again.key == genotype.key
    json.loads(genotype.to_json())


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
