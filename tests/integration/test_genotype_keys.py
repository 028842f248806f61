"""Keys of genotypes: equal exactly if the networks are."""

import json

import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from attn_nas.attention.catalog import get_mechanism, mechanism_names
from attn_nas.cost import count_cost
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
    """The network, its tensors' shapes, and its output at a fixed input away from any start at zero."""
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
    return model, shapes, logits


def _same(one, two):
    """Whether two genotypes are one network, by all that tells networks apart: tensors, output, and at last the cost."""
    (model_one, shapes_one, logits_one), (model_two, shapes_two, logits_two) = _network(one), _network(two)
    alike = shapes_one == shapes_two and torch.equal(logits_one, logits_two)
    task = Task(3, 16, 16, 10)
    return alike and count_cost(model_one, task) == count_cost(model_two, task)


@settings(max_examples=60, deadline=None)
@given(genotypes, genotypes)
def test_keys_are_equal_exactly_for_equal_networks(one, two):
    """Same parameter tensors, output and FLOPs if and only if same key."""
    assert _same(one, two) == (one.key == two.key)
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
    assert _same(one, two) == (one.key == two.key)


@given(genotypes)
def test_json_round_trip(genotype):
    """A genotype survives JSON, and so do its hash and key."""
    again = Genotype.from_json(genotype.to_json())
    assert again == genotype
    assert hash(again) == hash(genotype)
    assert again.key == genotype.key
    json.loads(genotype.to_json())
