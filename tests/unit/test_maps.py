"""Class activation maps, gates and their pictures, against hand computation, identities and the mechanisms' own gates."""

import numpy as np
import pytest
import torch
from torch import nn

from attn_nas.attention.catalog import get_mechanism, mechanism_names
from attn_nas.attention.zoo.cbam import SpatialGate
from attn_nas.maps import Gate, PooledHead, activation_maps, gates_of, grad_cam, pooled_head, without
from attn_nas.maps.network_comparison import in_turns
from attn_nas.models.build import build_model, build_trunk, fill_slot, get_slot
from attn_nas.report.raster import fitted, gate_map, heated, picture
from attn_nas.space.genotype import Genotype, Placement
from attn_nas.space.trunks import Trunk
from attn_nas.testing import legal_placements, perturbed

SMALL = Trunk("cifar_resnet", 8, 8)


SE = Placement("se", reduction=2)


def _images(number=3, side=16):
    return torch.randn((number, 3, side, side), generator=torch.Generator().manual_seed(1))


def _network(*placements, trunk=SMALL):
    """A genotype, its network away from its start in eval mode, and the modules of its placements."""
    genotype = Genotype(trunk, placements)
    model = perturbed(build_model(genotype, 10, seed=0)).eval()
    attended = [(site, placement) for site, placement in genotype.sites if placement]
    return genotype, model, [get_slot(model, site.slot(placement.position)) for site, placement in attended]


def _received(model, module, images):
    """What ``module`` gets when ``model`` computes ``images``."""
    inputs = []
    handle = module.register_forward_pre_hook(lambda module, given: inputs.append(given[0].clone()))
    with torch.no_grad():
        model(images)
    handle.remove()
    return inputs[0]


def test_a_closed_form_map_is_the_sum_of_weighted_features():
    """Two channels, two classes, by hand: class 0 is A - 2 B, class 1 is 3 B."""
    features = torch.tensor([[[[1.0, 2.0]], [[3.0, 5.0]]]]).expand(2, 2, 1, 2)
    layer = nn.Linear(2, 2)
    layer.weight = nn.Parameter(torch.tensor([[1.0, -2.0], [0.0, 3.0]]))
    found = PooledHead(features, layer).activation(torch.tensor([0, 1]))
    assert found.tolist() == [[[-5.0, -8.0]], [[9.0, 15.0]]]


POOLED = [SMALL, Trunk("resnet", 18, 8), Trunk("resnext", 50, 8), Trunk("mobilenet_v2", 53, 8)]


@pytest.mark.parametrize("trunk", POOLED, ids=str)
def test_the_mean_of_a_map_and_the_bias_are_the_logit(trunk):
    """Where the head is a linear layer on the mean over places, and it is found there."""
    model, images = perturbed(build_trunk(trunk, 5)).eval(), _images(side=64)
    head = pooled_head(model, images)
    for label in range(5):
        classes = torch.full((3,), label)
        with torch.no_grad():
            logits = head.activation(classes).mean((1, 2)) + head.layer.bias[label]
            assert torch.allclose(logits, model(images)[:, label], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("trunk", [Trunk("mobilenet_v3_large", 48, 8), Trunk("convnext", 59, 8)], ids=str)
def test_other_heads_get_gradients_instead(trunk):
    """Two linear layers, or a norm behind the average: no closed form, Grad-CAM of the last stage in its place."""
    model, images = perturbed(build_trunk(trunk, 5)).eval(), _images(side=64)
    assert pooled_head(model, images) is None
    last, before = activation_maps(model, trunk, images, torch.tensor([0, 1, 2]))
    assert (last.method, before.method) == ("Grad-CAM", "Grad-CAM")
    assert (last.where, before.where) == (f"stage {trunk.num_stages - 1}", f"stage {trunk.num_stages - 2}")
    assert last.values.shape == (3, 2, 2)
    assert before.values.shape == (3, 4, 4)


def test_gradients_at_the_last_map_are_the_closed_form():
    """Grad-CAM times the number of places is the positive part of CAM, which comes first among the maps."""
    _, model, _ = _network(SE, None, SE)
    images, classes = _images(), torch.tensor([0, 3, 9])
    closed, before = activation_maps(model, SMALL, images, classes)
    assert (closed.method, closed.where, closed.values.shape) == ("CAM", "last map", (3, 4, 4))
    assert (before.method, before.where, before.values.shape) == ("Grad-CAM", "stage 1", (3, 8, 8))
    assert (closed.values < 0).any()
    found = grad_cam(model, model.blocks[-1], images, classes)
    assert torch.allclose(16 * found, closed.values.relu(), rtol=1e-4, atol=1e-5)


def test_gradients_at_an_earlier_map_are_the_slopes_of_the_logit():
    """A channel's weight is how much the logit rises when a little is added to it everywhere, over the places."""
    _, model, _ = _network(None, SE, None)
    model, images, classes = model.double(), _images(1).double(), torch.tensor([4])
    layer, step = model.blocks[1], 1e-6
    features = []

    def logit(channel, size):
        def raise_channel(module, inputs, output):
            features[:] = [output.clone()]
            output[:, channel] += size
            return output

        handle = layer.register_forward_hook(raise_channel)
        with torch.no_grad():
            found = model(images)[0, 4]
        handle.remove()
        return found

    slopes = torch.stack([(logit(channel, step) - logit(channel, -step)) / (2 * step) for channel in range(16)])
    expected = (slopes[None, :, None, None] / 64 * features[0]).sum(1).relu()
    assert torch.allclose(grad_cam(model, layer, images, classes), expected, rtol=1e-5, atol=1e-9)
    assert expected.max() > 0


def test_a_trunk_of_one_stage_has_one_map():
    """There is no stage before the last."""
    model = nn.Module()
    model.blocks = nn.ModuleList([nn.Conv2d(3, 4, 3)])
    model.forward = lambda x: model.blocks[0](x).square().mean((2, 3))

    class OneStage:
        blocks, sites, stage_name = SMALL.blocks[:1], SMALL.sites[:1], SMALL.stage_name

    (only,) = activation_maps(model, OneStage(), _images(), torch.tensor([0, 1, 2]))
    assert (only.method, only.where, only.values.shape) == ("Grad-CAM", "stage 0", (3, 14, 14))


@pytest.mark.parametrize("position", ["standard", "pre", "inner", "post"])
def test_the_gate_of_squeeze_and_excitation_is_its_sigmoid(position):
    """Channel by channel, where the input is zero too; the same at every place."""
    genotype, model, (se,) = _network(None, Placement("se", position, reduction=2), None)
    images = _images()
    logits, (found,) = gates_of(model, genotype, images)
    with torch.no_grad():
        assert torch.equal(logits, model(images))
        gate = se.gate(_received(model, se, images))[:, :, 0, 0]
    assert found.kind == "gate"
    assert torch.allclose(found.by_channel, gate, atol=1e-5)
    assert torch.allclose(found.by_place, gate.mean(1)[:, None, None].expand_as(found.by_place), atol=1e-5)
    spread = found.spread
    assert spread.mean == pytest.approx(float(gate.mean()), abs=1e-5)
    assert spread.channels == pytest.approx(float(gate.mean(0).std(correction=0)), abs=1e-5)
    assert spread.places == pytest.approx(0, abs=1e-5)


def test_the_gate_of_spatial_attention_is_its_map():
    """Place by place; the same for every channel."""
    genotype, model, (sam,) = _network(Placement("sam", "post", kernel_size=3), None, None)
    images = _images()
    _, (found,) = gates_of(model, genotype, images)
    with torch.no_grad():
        gate = sam.gate(_received(model, sam, images))[:, 0]
    assert isinstance(sam, SpatialGate)
    assert torch.allclose(found.by_place, gate, atol=1e-5)
    assert torch.allclose(found.by_channel, gate.mean((1, 2))[:, None].expand_as(found.by_channel), atol=1e-5)
    assert found.spread.channels == pytest.approx(0, abs=1e-5)
    assert found.finding == "differs between places and images"


def test_a_module_that_does_nothing_has_gate_one():
    """A fresh gate that starts at the identity, and is said to be no more than a scale."""
    genotype = Genotype(SMALL, (Placement("se", reduction=2, identity_init=True), Placement("gct"), None))
    model = build_model(genotype, 10, seed=0).eval()
    for gate in gates_of(model, genotype, _images())[1]:
        assert torch.allclose(gate.by_place, torch.ones(()), atol=1e-6)
        assert torch.allclose(gate.by_channel, torch.ones(()), atol=1e-6)
        assert gate.finding == "constant: only a scale"


def test_what_is_added_is_a_change_over_the_input():
    """Global context adds one vector everywhere: its norm over the mean norm of the input's places."""
    genotype, model, (context,) = _network(None, Placement("gc", reduction=4), None)
    images = _images()
    _, (found,) = gates_of(model, genotype, images)
    x = _received(model, context, images)
    with torch.no_grad():
        added = (context(x) - x)[:, :, 0, 0]
    assert found.kind == "change"
    expected = added.norm(dim=1) / x.norm(dim=1).mean((1, 2))
    assert torch.allclose(found.by_place, expected[:, None, None].expand_as(found.by_place), rtol=1e-3)
    of_channels = 8 * added.abs() / x.flatten(2).norm(dim=2).mean(1, keepdim=True)
    assert torch.allclose(found.by_channel, of_channels, rtol=1e-3)


CHANGES = {"gc", "danet_cam", "danet_pam", "nonlocal", "psa_pointwise", "shuffle"}


OUTPUTS = {"sk", "split_attention", "mhsa"}


@pytest.mark.parametrize("name", mechanism_names())
def test_every_mechanism_is_shown_for_what_it_is(name):
    """Most multiply their input; the others change it, or stand in the place of a convolution, whatever its stride."""
    placements = [next(iter(legal_placements(get_mechanism(name), site)), None) for site in SMALL.sites]
    genotype = Genotype.of_sites(SMALL, placements)
    model = perturbed(build_model(genotype, 10, seed=0)).eval()
    _, gates = gates_of(model, genotype, _images())
    assert len(gates) == genotype.num_attended > 0
    expected = "change" if name in CHANGES else "output" if name in OUTPUTS else "gate"
    for gate in gates:
        if name != "mhsa" or gate.placement.position == "replace":
            assert gate.kind == expected
        assert gate.by_place.shape[0] == gate.by_channel.shape[0] == 3
        assert gate.by_place.isfinite().all()
        assert gate.by_channel.isfinite().all()
        assert gate.finding


def test_the_output_of_a_replaced_convolution_is_relative():
    """Its mean over places, and over channels, is one."""
    genotype, model, _ = _network(None, Placement("split_attention", "replace", reduction=2), None)
    _, (found,) = gates_of(model, genotype, _images())
    assert torch.allclose(found.by_place.mean((1, 2)), torch.ones(3), atol=1e-5)
    assert torch.allclose(found.by_channel.mean(1), torch.ones(3), atol=1e-5)


def _gate(by_channel, by_place=None, kind="gate"):
    channels = torch.tensor(by_channel)
    places = channels.mean(1)[:, None, None].expand(-1, 2, 1) if by_place is None else torch.tensor(by_place)[:, :, None]
    return Gate(SMALL.sites[0], SE, kind, places, channels)


def test_spreads_are_standard_deviations():
    """By hand: channels 0.2 and 0.6 on average, places 0.3 apart in the second image, channels that move by 0.1."""
    spread = _gate([[0.1, 0.5], [0.3, 0.7]], [[0.3, 0.3], [0.35, 0.65]]).spread
    assert spread.mean == pytest.approx(0.4)
    assert spread.channels == pytest.approx(0.2)
    assert spread.places == pytest.approx(0.075)
    assert spread.images == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("gate", "finding"),
    [
        (_gate([[0.5, 0.5], [0.51, 0.51]]), "constant: only a scale"),
        (_gate([[0.2, 0.8], [0.2, 0.8]]), "one value per channel, equal for all images"),
        (_gate([[0.4, 0.4], [0.6, 0.6]]), "differs between images"),
        (_gate([[0.2, 0.8], [0.8, 0.2]]), "differs between images"),
        (_gate([[0.1, 0.9], [0.3, 1.0]], [[0.1, 0.9], [0.5, 0.5]]), "differs between channels, places and images"),
        (_gate([[0.01, 0.04], [0.0, 0.0]], kind="change"), "changes its input by less than 5 %"),
        (_gate([[1.0, 1.0], [1.0, 1.0]], kind="output"), "constant"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_findings_say_what_a_gate_tells_apart(gate, finding):
    """Less than 5 % of the mean is nothing."""
    assert gate.finding == finding


def test_gates_of_batches_are_those_of_all_images():
    """Joined in order."""
    genotype, model, _ = _network(SE, None, Placement("sam", kernel_size=3))
    images = _images(5)
    whole = gates_of(model, genotype, images)[1]
    parts = [gates_of(model, genotype, batch)[1] for batch in images.split(2)]
    for gate, pieces in zip(whole, zip(*parts, strict=True), strict=True):
        found = Gate.joined(pieces)
        assert torch.allclose(found.by_place, gate.by_place, atol=1e-6)
        assert torch.allclose(found.by_channel, gate.by_channel, atol=1e-6)


class _Scale(nn.Module):
    def __init__(self, scale):
        super().__init__()
        self.scale = scale

    def forward(self, x):
        return self.scale * x


def test_a_network_without_a_gate_scales_by_its_mean():
    """The same logits as of a network that has the mean in the gate's place, or nothing in that of a change."""
    genotype, model, _ = _network(SE, None, Placement("gc", reduction=4))
    images = _images()
    gate, change = gates_of(model, genotype, images)[1]
    for found, stand_in in ((gate, _Scale(gate.by_channel.mean())), (change, nn.Identity())):
        logits = without(model, found, images)
        expected = _network(SE, None, Placement("gc", reduction=4))[1]
        fill_slot(expected, found.site.slot("standard"), stand_in)
        with torch.no_grad():
            assert torch.allclose(logits, expected(images), atol=1e-5)
            assert not torch.allclose(logits, model(images), atol=1e-3)


def test_images_are_dealt_in_turns_and_shown_by_group():
    """The first of each group, then the second; an exhausted group is passed over."""
    groups = [torch.tensor([4, 5, 9]), torch.tensor([], dtype=torch.long), torch.tensor([0]), torch.tensor([7, 8])]
    assert in_turns(groups, 5).tolist() == [4, 5, 0, 7, 8]
    assert in_turns(groups, 2).tolist() == [4, 0]
    assert in_turns(groups, 50).tolist() == [4, 5, 9, 0, 7, 8]


def test_small_images_are_enlarged_pixel_by_pixel():
    """By a whole number; large ones are fitted."""
    assert fitted(16, 28, 140) == (80, 140)
    assert fitted(448, 224, 140) == (140, 70)
    pixels = torch.randint(256, (3, 4, 2), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    shown = torch.from_numpy(np.array(picture(pixels, (4, 8)))).permute(2, 0, 1)
    assert torch.equal(shown, pixels.repeat_interleave(2, 1).repeat_interleave(2, 2))
    assert np.array(picture(pixels[:1], (2, 4)))[..., 2].tolist() == pixels[0].tolist()


def test_heat_lies_where_the_evidence_is():
    """Brightest at the maximum, the grey image elsewhere, no heat at all where nothing speaks for the class."""
    black = torch.zeros((3, 8, 8), dtype=torch.uint8)
    evidence = torch.tensor([[5.0, -3.0], [0.0, -1.0]])
    shown = np.array(heated(black, evidence, (32, 32)))
    assert shown[0, 0].tolist() == [189, 191, 123]
    assert shown[31, 31].tolist() == [0, 0, 0]
    assert not np.array(heated(black, -evidence.abs(), (32, 32))).any()


def test_gates_are_coloured_between_their_limits():
    """Dark violet at the lower, yellow at the upper, beyond them the same."""
    shown = np.array(gate_map(torch.tensor([[0.2, 0.4, 0.6, 9.0]]), (0.2, 0.6), (4, 1)))[0].tolist()
    assert shown == [[68, 1, 84], [33, 145, 140], [253, 231, 37], [253, 231, 37]]
